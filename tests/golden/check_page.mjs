// The page's arithmetic beside that of the program: check_page.mjs COST_JS CASES_PROGRAM
import {execFileSync} from "node:child_process";
import {createRequire} from "node:module";
const [costFile, program] = process.argv.slice(2);
const {evaluate, total, breakEven} = createRequire(import.meta.url)(costFile);
const cases = JSON.parse(execFileSync(program, {maxBuffer: 1 << 26}));
const near = (a, b) => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b));
let bad = 0;
cases.forEach((c, i) => {
  const r = total(c.parts.map(p => evaluate(p.demand, p.cost, c.inputs)));
  const tokens = evaluate(c.parts[0].demand, c.tokens.cost, c.inputs);
  r.break_even = breakEven(r, tokens) ?? -1;
  for (const key of ["npv_usd", "usd_per_million_tokens", "utilisation", "kwh_per_million_tokens",
    "paid_usd", "devices", "break_even"]) {
    if (!near(r[key], c[key])) {
      console.log(`# case ${i}: ${key} is ${r[key]}, should be ${c[key]}`);
      bad++;
    }
  }
});
const good = cases.length >= 100 && bad === 0;
console.log("1..1");
console.log(`${good ? "ok" : "not ok"} 1 - ${cases.length} random settings come to the same`);
process.exit(good ? 0 : 1);
