// Our logits against llama.cpp's, teacher-forced, for every architecture and weight format.
import assert from "node:assert/strict";
import {test} from "node:test";
import {SEEDS, judge, measure} from "./compare.mjs";
import {makeModel, ourLogits, sameBits, someTokens} from "./files.mjs";
import {compareWithLlama, report} from "./teacher.mjs";

// `rest` is for the long suite (TW_ORACLE=rest): formats that another architecture has tested
// here, and rare ones.
const models = [
    {preset: "qwen2-tiny", types: "Q8_0 Q4_K_M", rest: "F32 F16 BF16 Q4_0 Q6_K"},
    {preset: "qwen3-tiny", types: "Q4_K_M", rest: "F32 F16 Q8_0 Q4_0 Q6_K"},
    {preset: "qwen3moe-tiny", types: "Q4_K_M", rest: "F32 F16 Q8_0 Q4_0 Q6_K"},
    {preset: "qwen3moe-odd-tiny", rest: "F32 Q8_0 Q4_K_M"},
    {preset: "llama3-tiny", types: "Q6_K", rest: "F32 F16 Q4_0 Q8_0 Q4_K_M"},
    {preset: "llama2-tiny", rest: "F32 F16 Q8_0 Q4_K_M"},
    {preset: "qwen2-odd-tiny", rest: "F32 Q8_0 Q4_K_M"},
    {preset: "qwen3-odd-tiny", types: "Q4_0", rest: "F32 Q4_K_M"},
    {preset: "qwen2-yarn-tiny", types: "F32", rest: "F16 Q8_0 Q4_K_M"},
    {preset: "llama-narrow-tiny", types: "F32", rest: "F16"},
    {preset: "qwen2-tiny", flags: ["--pure"],
        types: "IQ4_NL", rest: "Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K"}
];
const rest = process.env.TW_ORACLE === "rest";

for (const model of models) {
    for (const type of ((rest ? model.rest : model.types) ?? "").split(" ").filter(Boolean)) {
        const name = [model.preset, ...(model.flags ?? []), type].join(" ");
        test(`${name}: logits are llama.cpp's`, (t) =>
            compareWithLlama(t, model, SEEDS, type, someTokens()));
    }
}

test("a prompt cut into pieces of any size gives the same bits", () => {
    const file = makeModel("qwen3-tiny", 1, "Q4_K_M"), tokens = someTokens();
    const whole = ourLogits(file, tokens, {chunk: 224, threads: 1});
    for (const chunk of [1, 7, 64, 100])
        assert.ok(sameBits(whole, ourLogits(file, tokens, {chunk})), `pieces of ${chunk}`);
});

test("half-precision weights give the bits of the same weights in f32", () => {
    const tokens = someTokens();
    for (const type of ["F16", "BF16"]) {
        const half = ourLogits(makeModel("qwen2-tiny", 1, type), tokens);
        const full = ourLogits(makeModel("qwen2-tiny", 1, type, "--dequantised"), tokens);
        assert.ok(sameBits(half, full), type);
    }
});

test("an 8-bit cache stays close to the half-precision one", (t) => {
    const file = makeModel("llama3-tiny", 1, "Q8_0"), tokens = someTokens();
    const plain = ourLogits(file, tokens), small = ourLogits(file, tokens, {kv: "q8_0"});
    assert.ok(!sameBits(plain, small));
    assert.deepEqual(report(t, judge([measure(small, plain, plain, false)])), []);
});
