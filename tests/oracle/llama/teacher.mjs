// One comparison with llama.cpp, both sides reading the same tokens.
//
// The reference of a quantised file is llama.cpp on the same weights in f32: what is measured is
// the error of computing with blocks, not that of having rounded to them.
import assert from "node:assert/strict";
import {judge} from "./compare.mjs";
import {discard, makeModel, ourLogits} from "./files.mjs";
import {llamaLogits} from "./llama_cpp.mjs";

const isFloat = (type) => ["F32", "F16", "BF16"].includes(type);

export async function compareWithLlama(t, {preset, seed, flags = []}, type, tokens) {
    const file = makeModel(preset, seed, type, ...flags);
    const plain = makeModel(preset, seed, type, ...flags, "--dequantised");
    const reference = await llamaLogits(plain, tokens, "F32");
    const own = isFloat(type) ? undefined : await llamaLogits(file, tokens, "F16");
    const {faults, summary} = judge(ourLogits(file, tokens), reference, own);
    discard(file);
    discard(plain);
    t.diagnostic(summary);
    assert.deepEqual(faults, []);
}
