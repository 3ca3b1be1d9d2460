// The page's arithmetic beside that of the program: check_page.mjs COST_JS CASES_PROGRAM
import {execFileSync} from "node:child_process";
import {createRequire} from "node:module";
const [costFile, program] = process.argv.slice(2);
const {evaluate} = createRequire(import.meta.url)(costFile);
const cases = JSON.parse(execFileSync(program, {maxBuffer: 1 << 26}));
const near = (a, b) => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b));
let bad = 0;
cases.forEach((c, i) => {
  const r = evaluate(c.demand, c.cost, c.inputs);
  for (const key of ["npv_usd", "usd_per_million_tokens", "utilisation", "kwh_per_million_tokens",
    "paid_usd", "devices"]) {
    if (!near(r[key], c[key])) {
      console.log(`# case ${i}, kind ${c.cost.kind}: ${key} is ${r[key]}, should be ${c[key]}`);
      bad++;
    }
  }
});
const good = cases.length >= 100 && bad === 0;
console.log("1..1");
console.log(`${good ? "ok" : "not ok"} 1 - ${cases.length} random settings come to the same`);
process.exit(good ? 0 : 1);
