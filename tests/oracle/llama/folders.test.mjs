// One model in several files stays one model, bit for bit: a Hugging Face folder and a GGUF file of
// the same weights, what `tokenworks model` makes of them, and any instruction set.
import assert from "node:assert/strict";
import {test} from "node:test";
import {
    discard, freshPath, makeModel, ourLogits, sameBits, someTokens, tokenworks
} from "./files.mjs";

const cases = [
    ["llama2-tiny", "F32"], ["llama2-tiny", "F16"], ["llama2-tiny", "BF16"],
    ["llama3-tiny", "BF16"], ["qwen2-tiny", "BF16"], ["qwen2-odd-tiny", "F16"],
    ["qwen2-yarn-tiny", "F32"], ["qwen3-tiny", "BF16"], ["qwen3-odd-tiny", "F32"],
    ["qwen3moe-tiny", "BF16"], ["qwen3moe-odd-tiny", "F32"]
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

for (const [preset, type] of [["llama2-tiny", "F16"], ["llama3-tiny", "BF16"],
    ["qwen2-yarn-tiny", "BF16"], ["qwen3-tiny", "F32"], ["qwen3moe-tiny", "BF16"]]) {
    test(`${preset} ${type}: a converted folder is the same model`, () => {
        const folder = makeModel(preset, 1, type, "--format", "hf"), tokens = someTokens();
        const file = freshPath(".gguf");
        tokenworks("model", "convert", folder, file);
        assert.ok(sameBits(ourLogits(file, tokens), ourLogits(folder, tokens)));
        discard(folder);
        discard(file);
    });
}

for (const [preset, type] of [["qwen2-tiny", "Q4_K_M"], ["qwen2-odd-tiny", "Q4_K_M"],
    ["llama3-tiny", "Q8_0"], ["qwen3-tiny", "Q6_K"], ["llama2-tiny", "Q4_0"],
    ["qwen3moe-tiny", "Q4_K_M"], ["qwen3moe-odd-tiny", "Q4_0"]]) {
    test(`${preset} ${type}: quantising later is quantising at once`, () => {
        const full = makeModel(preset, 1, "F32"), tokens = someTokens();
        const atOnce = makeModel(preset, 1, type), later = freshPath(".gguf");
        tokenworks("model", "quantize", full, later, type);
        assert.ok(sameBits(ourLogits(later, tokens), ourLogits(atOnce, tokens)));
    });
}

test("quantised weights written as F32 are the values of their blocks", () => {
    const file = makeModel("qwen2-odd-tiny", 1, "Q4_K_M"), tokens = someTokens();
    const plain = makeModel("qwen2-odd-tiny", 1, "Q4_K_M", "--dequantised");
    const written = freshPath(".gguf");
    tokenworks("model", "quantize", file, written, "F32");
    assert.ok(sameBits(ourLogits(written, tokens), ourLogits(plain, tokens)));
});

const UNSUPPORTED = 6; // docs/exit-codes.md

// undefined for a level above this machine's, which is refused.
function logitsAt(level, file, tokens) {
    try {
        return ourLogits(file, tokens, {env: {TW_CPU: level}});
    } catch (error) {
        assert.equal(error.status, UNSUPPORTED, error.message);
        return undefined;
    }
}

for (const [preset, type] of [["qwen2-tiny", "Q4_K_M"], ["qwen2-odd-tiny", "Q8_0"],
    ["llama2-tiny", "F16"], ["qwen3moe-tiny", "Q4_K_M"]]) {
    test(`${preset} ${type}: every instruction set gives the same bits`, () => {
        const file = makeModel(preset, 1, type), tokens = someTokens();
        const plain = logitsAt("ref", file, tokens);
        for (const level of ["avx2", "avx512"]) {
            const wide = logitsAt(level, file, tokens);
            assert.ok(wide === undefined || sameBits(plain, wide), level);
        }
    });
}

test("another seed is another model", () => {
    const tokens = someTokens(64);
    const one = ourLogits(makeModel("tiny", 1, "F32"), tokens);
    assert.ok(!sameBits(one, ourLogits(makeModel("tiny", 2, "F32"), tokens)));
});
