// The comparison with llama.cpp, both sides reading the same tokens.
//
// The reference of a quantised file is llama.cpp on the same weights in f32: what is measured is
// the error of computing with blocks, not that of having rounded to them.
import assert from "node:assert/strict";
import {judge, measure} from "./compare.mjs";
import {discard, makeModel, ourLogits} from "./files.mjs";
import {llamaLogits} from "./llama_cpp.mjs";

export const isFloat = (type) => ["F32", "F16", "BF16"].includes(type);

// A model file, and what llama.cpp makes of it: {file, reference, own}.
export async function prepareModel({preset, flags = []}, seed, type, tokens) {
    const file = makeModel(preset, seed, type, ...flags);
    const plain = type === "F32" ? file : makeModel(preset, seed, type, ...flags, "--dequantised");
    const reference = await llamaLogits(plain, tokens, "F32");
    // Of half-precision weights llama.cpp makes less than f32 weights; that is no excuse for us.
    const own = await llamaLogits(isFloat(type) ? plain : file, tokens, "F16");
    if (plain !== file)
        discard(plain);
    return {file, reference, own};
}

export function report(t, {faults, lines}) {
    for (const line of lines)
        t.diagnostic(line);
    return faults;
}

export async function compareWithLlama(t, model, seeds, type, tokens) {
    const measured = [];
    for (const seed of seeds) {
        const {file, reference, own} = await prepareModel(model, seed, type, tokens);
        measured.push(measure(ourLogits(file, tokens), reference, own, isFloat(type)));
        discard(file);
    }
    assert.deepEqual(report(t, judge(measured)), []);
}
