// The vocabularies that tools/synth_model makes cut text as llama.cpp cuts it, from a GGUF file and
// from a folder's tokenizer.json alike. (Texts are in Unicode's composed form: llama.cpp leaves out
// the normalisation that Qwen's tokenizer asks for.)
import assert from "node:assert/strict";
import {test} from "node:test";
import {makeModel, tokenworks} from "./files.mjs";
import {llamaTokens} from "./llama_cpp.mjs";

const texts = [
    "Once upon a time there was only one good year.",
    "the people would have known their first way back",
    "  two  spaces   and\ttabs\n\nand lines \n ",
    "int main(void) { return 1234567 + 89; } // what?",
    "It's what they'd say: I'm, you're, we'll.",
    "Grüße, señor! 你好世界 — привет 🙂👩‍👩‍👧",
    "\u00e9 is one letter", "", " ", "\n", "a", "0"
];

for (const preset of ["qwen2-tiny", "llama3-tiny", "llama2-tiny"]) {
    test(`${preset}: both cut ${texts.length} texts into the same tokens`, async () => {
        const file = makeModel(preset, 1, "Q8_0");
        const folder = makeModel(preset, 1, "BF16", "--format", "hf");
        const theirs = await llamaTokens(file, texts);
        const ours = (model) => texts.map((text) =>
            tokenworks("tokenize", "--model", model, "--ids", text)
                .trim().split(/\s+/).filter(Boolean).map(Number));
        assert.deepEqual(ours(file), theirs);
        assert.deepEqual(ours(folder), theirs);
    });
}
