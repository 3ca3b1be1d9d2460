// A Hugging Face folder and a GGUF file of the same weights are the same model, bit for bit.
import assert from "node:assert/strict";
import {test} from "node:test";
import {discard, makeModel, ourLogits, sameBits, someTokens} from "./files.mjs";

const cases = [
    ["llama2-tiny", "F32"], ["llama2-tiny", "F16"], ["llama2-tiny", "BF16"],
    ["llama3-tiny", "BF16"], ["qwen2-tiny", "BF16"], ["qwen2-odd-tiny", "F16"],
    ["qwen2-yarn-tiny", "F32"], ["qwen3-tiny", "BF16"], ["qwen3-odd-tiny", "F32"]
];

for (const [preset, type] of cases) {
    test(`${preset} ${type}: safetensors give the logits of the GGUF file`, () => {
        const file = makeModel(preset, 1, type, "--pure"), tokens = someTokens();
        const folder = makeModel(preset, 1, type, "--format", "hf");
        assert.ok(sameBits(ourLogits(file, tokens), ourLogits(folder, tokens)));
        discard(file);
        discard(folder);
    });
}

test("another seed is another model", () => {
    const tokens = someTokens(64);
    const one = ourLogits(makeModel("tiny", 1, "F32"), tokens);
    assert.ok(!sameBits(one, ourLogits(makeModel("tiny", 2, "F32"), tokens)));
});
