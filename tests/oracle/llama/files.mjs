// Test models, and our logits of them. Everything is made in a folder that goes when the test ends.
import {execFileSync} from "node:child_process";
import {mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from "node:fs";
import path from "node:path";

export const build = process.env.TW_BUILD ?? path.resolve("build");
export const shared = process.env.TW_SHARED;

const parent = path.join(build, "tests", "oracle");
mkdirSync(parent, {recursive: true});
const folder = mkdtempSync(path.join(parent, "work-"));
process.on("exit", () => rmSync(folder, {recursive: true, force: true}));

let nFiles = 0;

export function freshPath(extension) {
    return path.join(folder, `${nFiles++}${extension}`);
}

export function discard(file) {
    rmSync(file, {recursive: true, force: true});
}

// Random weights of a preset of tools/synth_model; flags: further options of it.
export function makeModel(preset, seed, type, ...flags) {
    const file = freshPath(flags.includes("hf") ? "" : ".gguf");
    execFileSync(path.join(build, "tools", "synth_model"),
        ["--preset", preset, "--seed", String(seed), "--type", type, ...flags, "-o", file]);
    return file;
}

// The program under test.
export function tokenworks(...words) {
    return execFileSync(path.join(build, "src", "app", "tokenworks"), words,
        {encoding: "utf8", stdio: ["ignore", "pipe", "pipe"]});
}

// 224 ids, more than three pages of the cache; a fixed walk of a linear congruence.
export function someTokens(n = 224, most = 700) {
    const tokens = [];
    for (let state = 12345n; tokens.length < n;) {
        state = (state * 1103515245n + 12345n) % 2147483648n;
        tokens.push(Number((state >> 16n) % BigInt(most)));
    }
    return tokens;
}

function runTool(tool, model, tokens, options) {
    const {chunk = 100, threads = 2, kv = "f16", greedy = 0, env = {}} = options;
    const list = freshPath(".txt"), out = freshPath(".f32");
    writeFileSync(list, tokens.join(" "));
    const printed = execFileSync(path.join(build, "tests", "oracle", "llama", tool),
        [model, list, out, "--chunk", String(chunk), "--threads", String(threads), "--kv", kv,
            "--greedy", String(greedy)],
        {env: {...process.env, ...env}, encoding: "utf8"});
    const bytes = readFileSync(out);
    discard(out);
    return {bytes, printed};
}

// Our logits: {values, nVocab} as llamaLogits gives them.
export function ourLogits(model, tokens, options = {}) {
    const {bytes} = runTool(options.tool ?? "logits_tool", model, tokens, options);
    const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    return {values, nVocab: values.length / tokens.length};
}

export function ourGreedy(model, tokens, n, options = {}) {
    const {printed} = runTool("logits_tool", model, tokens, {...options, greedy: n});
    return printed.trim().split("\n").map(Number);
}

export function sameBits(a, b) {
    return Buffer.compare(Buffer.from(a.values.buffer, a.values.byteOffset, a.values.byteLength),
        Buffer.from(b.values.buffer, b.values.byteOffset, b.values.byteLength)) === 0;
}
