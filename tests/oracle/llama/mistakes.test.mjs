// A comparison that nothing can fail proves nothing: each of these mistakes in one kernel must be
// noticed, by the same judgement and on the same models as in logits.test.mjs.
import assert from "node:assert/strict";
import {test} from "node:test";
import {judge} from "./compare.mjs";
import {makeModel, ourLogits, sameBits, someTokens} from "./files.mjs";
import {llamaLogits} from "./llama_cpp.mjs";

const tokens = someTokens();
const prepared = new Map();

async function prepare(preset, seed, type) {
    const key = `${preset} ${type}`;
    if (!prepared.has(key)) {
        const file = makeModel(preset, seed, type);
        const plain = type === "F32" ? file : makeModel(preset, seed, type, "--dequantised");
        const reference = await llamaLogits(plain, tokens, "F32");
        const own = type === "F32" ? undefined : await llamaLogits(file, tokens, "F16");
        prepared.set(key, {file, reference, own});
    }
    return prepared.get(key);
}

const broken = (file, name) =>
    ourLogits(file, tokens, {tool: "logits_broken", env: {TW_BROKEN: name}});

const qwen2 = ["qwen2-tiny", 1], qwen3 = ["qwen3-tiny", 1], llama3 = ["llama3-tiny", 1];
const odd = ["qwen2-odd-tiny", 1], llama2 = ["llama2-tiny", 3];

const mistakes = [
    ["minima", "the minima of Q4_K are forgotten", [[...qwen2, "Q4_K_M"], [...llama3, "Q4_K_M"]]],
    ["last-step", "the tail of every row is left out",
        [[...qwen2, "F32"], [...odd, "Q8_0"], [...qwen2, "Q4_K_M"]]],
    ["block-scale", "one scale in a row of 32 is a quarter too large",
        [[...odd, "Q8_0"], [...qwen3, "Q8_0"]]],
    ["epsilon", "the norms forget epsilon", [[...qwen2, "F32"], [...qwen3, "F32"]]],
    ["rope-pairs", "RoPE turns the wrong pairs", [[...qwen2, "Q8_0"], [...llama3, "Q4_K_M"]]],
    ["rope-sign", "RoPE turns the wrong way", [[...qwen2, "Q8_0"], [...llama3, "Q4_K_M"]]],
    ["slow-pairs", "RoPE leaves slow pairs alone", [[...llama2, "F32"], [...odd, "Q8_0"]]],
    ["activation", "SiLU is another sigmoid", [[...qwen2, "F32"], [...qwen3, "F32"]]],
    ["page", "attention reads the page behind", [[...qwen2, "Q8_0"], [...qwen3, "Q4_K_M"]]],
    ["page-end", "attention leaves out a full page's last position",
        [[...qwen2, "F32"], [...llama3, "F32"]]],
    ["score-scale", "scores are scaled by 1/sqrt(d - 4)", [[...qwen2, "F32"], [...qwen3, "F32"]]]
];

for (const [name, what, models] of mistakes) {
    for (const [preset, seed, type] of models) {
        test(`noticed on ${preset} ${type}: ${what}`, async (t) => {
            const {file, reference, own} = await prepare(preset, seed, type);
            const {faults, summary} = judge(broken(file, name), reference, own);
            t.diagnostic(summary);
            assert.notDeepEqual(faults, []);
        });
    }
}

test("without a mistake the same program passes", async () => {
    for (const [preset, seed, type] of [[...qwen2, "F32"], [...qwen3, "Q4_K_M"]]) {
        const {file, reference, own} = await prepare(preset, seed, type);
        const ours = broken(file, "nothing");
        assert.deepEqual(judge(ours, reference, own).faults, []);
        assert.ok(sameBits(ours, ourLogits(file, tokens)));
    }
});
