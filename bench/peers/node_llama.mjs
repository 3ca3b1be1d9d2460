// Reads prompts and generates with llama.cpp as the npm package node-llama-cpp brings it:
//     node_llama.mjs FOLDER --model F [--threads N] [--prompt N,...] [--batch N,...]
//         [--depth N] [--gen N]
// FOLDER has the node_modules. Prints {version, points: [{phase, size, depth, tokens_per_s}]}.
//
// Tokens are given, not sampled, so no model can end early; the binding picks a greedy token a step
// all the same, since it computes no logits for nobody. Everything is measured once, warmed up.
import {readFileSync} from "node:fs";
import {createRequire} from "node:module";
import path from "node:path";
import {pathToFileURL} from "node:url";
import {parseArgs} from "node:util";

const CHUNK = 512; // tokens of a prompt in a pass, as everywhere in this comparison
const N_WORDS = 500; // ids to draw from; every vocabulary has as many

const wordsAt = (start, n) => Array.from({length: n}, (_, i) => 100 + (start + i * 7) % N_WORDS);
const seconds = async (work) => {
    const start = process.hrtime.bigint();
    await work();
    return Number(process.hrtime.bigint() - start) / 1e9;
};

// As a resolver would: the binding is a module of the folder, not of this file.
async function binding(folder) {
    const require = createRequire(path.resolve(folder, "index.js"));
    const entry = require.resolve("node-llama-cpp");
    const about = path.join(path.dirname(entry), "..", "package.json");
    return {
        library: await import(pathToFileURL(entry)),
        version: JSON.parse(readFileSync(about, "utf8")).version
    };
}

// Tokens behind what the sequence has; the greedy token that follows them is computed.
async function read(sequence, tokens) {
    await sequence.controlledEvaluate(tokens.map((token, i) =>
        i === tokens.length - 1 ? [token, {generateNext: {token: true}}] : token),
    {evaluationPriority: 1});
}

async function measurePrefill(sequence, size, depth) {
    await sequence.eraseContextTokenRanges([{start: depth, end: sequence.nextTokenIndex}]);
    return size / await seconds(() => read(sequence, wordsAt(size, size)));
}

async function measureDecode(sequences, depth, gen) {
    for (const sequence of sequences)
        await sequence.eraseContextTokenRanges([{start: depth, end: sequence.nextTokenIndex}]);
    const taken = await seconds(async () => {
        for (let step = 0; step < gen; step++)
            await Promise.all(sequences.map((s, i) => read(s, wordsAt(i + step, 1))));
    });
    return sequences.length * gen / taken;
}

// The first n sequences up to a depth, which those of an earlier point may have already.
async function fill(sequences, depth) {
    for (const sequence of sequences)
        if (sequence.nextTokenIndex < depth)
            await read(sequence, wordsAt(depth, depth - sequence.nextTokenIndex));
}

async function measureAll(context, {prompts, batches, depth, gen}) {
    const sequences = Array.from({length: Math.max(1, ...batches)}, () => context.getSequence());
    const points = [];
    await read(sequences[0], wordsAt(0, 16)); // warms up
    await sequences[0].clearHistory();
    await fill(sequences.slice(0, 1), depth);
    for (const size of prompts)
        points.push({phase: "prefill", size, depth,
            tokens_per_s: await measurePrefill(sequences[0], size, depth)});
    for (const size of batches) {
        const some = sequences.slice(0, size);
        await fill(some, depth);
        points.push({phase: "decode", size, depth,
            tokens_per_s: await measureDecode(some, depth, gen)});
    }
    return points;
}

const numbers = (text) => text.split(",").filter(Boolean).map(Number).filter((n) => n > 0);

const {values, positionals: [folder]} = parseArgs({
    allowPositionals: true,
    options: Object.fromEntries(["model", "threads", "prompt", "batch", "depth", "gen"].map(
        (name) => [name, {type: "string"}]))
});
const wish = {
    prompts: numbers(values.prompt ?? "512"), batches: numbers(values.batch ?? "1"),
    depth: Number(values.depth ?? 0), gen: Number(values.gen ?? 64)
};
const threads = Number(values.threads ?? 2);
const {library, version} = await binding(folder);
const llama = await library.getLlama({gpu: false, build: "never", skipDownload: true,
    maxThreads: threads, logLevel: "error", progressLogs: false});
const model = await llama.loadModel({modelPath: values.model, gpuLayers: 0});
const context = await model.createContext({
    sequences: Math.max(1, ...wish.batches), batchSize: CHUNK, threads,
    contextSize: wish.depth + Math.max(wish.gen, 16, ...wish.prompts) + 16
});
const points = await measureAll(context, wish);
await context.dispose();
await model.dispose();
console.log(JSON.stringify({version, points}));
