/* A tokenizer that was trained here, read by an independent implementation: the same ids.
 *
 *     TW_TOKENWORKS=build/src/app/tokenworks TW_TOKENIZE_TOOL=.../tokenize_tool node --test ...
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Tokenizer } from "@huggingface/tokenizers";
import { generated, plain, specials } from "./texts.mjs";

const texts = [...plain, ...specials, ...generated(600, 20240301)];
const config = { tokenizer_class: "Qwen2Tokenizer", eos_token: "<|im_end|>" };
const ALLOW_SPECIAL = 1;
let folder, path, file;

function run(program, args, input) {
    const done = spawnSync(program, args, { input, maxBuffer: 1 << 30 });
    assert.equal(done.status, 0, done.stderr?.toString() ?? String(done.error));
    return done.stdout.toString();
}

function ourIds(flags) {
    const records = texts.flatMap((text) => {
        const bytes = Buffer.from(text, "utf8");
        return [Buffer.from(`${flags} ${bytes.length}\n`), bytes];
    });
    const lines = run(process.env.TW_TOKENIZE_TOOL, [path], Buffer.concat(records)).split("\n");
    assert.equal(lines.length, texts.length + 1);
    return lines.slice(0, -1).map((line) => line.split("\t")[0]);
}

const theirIds = (tokenizer) =>
    texts.map((text) => tokenizer.encode(text, { add_special_tokens: false }).ids.join(" "));

before(() => {
    folder = mkdtempSync(join(tmpdir(), "trained-"));
    path = join(folder, "tokenizer.json");
    const corpus = join(folder, "corpus.jsonl");
    const rows = texts.map((text) => `${JSON.stringify({ text })}\n`);
    writeFileSync(corpus, rows.join(""));
    const args = ["train", "tokenizer", "--corpus", corpus, "--vocab", "3000", "-o", path];
    run(process.env.TW_TOKENWORKS, args);
    file = JSON.parse(readFileSync(path, "utf8"));
});
after(() => rmSync(folder, { recursive: true }));

test("the file says what was asked for", () => {
    assert.equal(Object.keys(file.model.vocab).length + file.added_tokens.length, 3000);
    assert.equal(file.model.merges.length, 3000 - 256 - file.added_tokens.length);
});

test("texts have the reference's ids, special tokens recognised", () => {
    assert.ok(texts.length > 700);
    assert.deepEqual(ourIds(ALLOW_SPECIAL), theirIds(new Tokenizer(file, config)));
});

test("without permission special tokens are ordinary text, tool markers are not", () => {
    const without = structuredClone(file);
    without.added_tokens = file.added_tokens.filter((token) => !token.special);
    assert.equal(without.added_tokens.length, 4);
    assert.deepEqual(ourIds(0), theirIds(new Tokenizer(without, { ...config, eos_token: null })));
});

test("the reference decodes what it encoded", () => {
    const theirs = new Tokenizer(file, config);
    for (const text of texts.filter((text) => text !== "")) {
        const { ids } = theirs.encode(text, { add_special_tokens: false });
        const decoded = theirs.decode(ids, { clean_up_tokenization_spaces: false });
        assert.equal(decoded, text.normalize("NFC"));
    }
});
