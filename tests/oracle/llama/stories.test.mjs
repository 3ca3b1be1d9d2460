// Trained weights: the small story model goes on as llama.cpp has it go on.
import assert from "node:assert/strict";
import path from "node:path";
import {test} from "node:test";
import {judge, measure} from "./compare.mjs";
import {ourGreedy, ourLogits, shared} from "./files.mjs";
import {llamaGreedy, llamaLogits} from "./llama_cpp.mjs";
import {report} from "./teacher.mjs";

const skip = shared === undefined && "TW_SHARED is not set";
const model = shared && path.join(shared, "testdata", "stories260K.gguf");

for (const prompt of ["Once upon a time", "Lily and Tom went to the", "The big dog"]) {
    test(`"${prompt}" goes on with llama.cpp's 200 tokens`, {skip}, async () => {
        const theirs = await llamaGreedy(model, prompt, 200);
        assert.deepEqual(ourGreedy(model, theirs.prompt, 200), theirs.followers);
    });
}

test("the story of Lily is the known one", {skip}, async () => {
    const {text, followers, prompt} = await llamaGreedy(model, "Once upon a time", 200);
    assert.match(text,
        /there was a little girl named Lily\. She loved to play outside in the park/);
    assert.equal(followers.length, 200);
    assert.equal(prompt.length, 5);
});

test("trained weights: logits are llama.cpp's", {skip}, async (t) => {
    const {prompt, followers} = await llamaGreedy(model, "Once upon a time", 230);
    const tokens = [...prompt, ...followers];
    const reference = await llamaLogits(model, tokens, "F32");
    const own = await llamaLogits(model, tokens, "F16");
    const measured = measure(ourLogits(model, tokens), reference, own, true);
    assert.deepEqual(report(t, judge([measured])), []);
});
