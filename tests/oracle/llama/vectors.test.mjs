// Embeddings of the server are llama.cpp's, by the rule for logits of plain float weights
// (compare.mjs): a vector's numbers take the place of a position's logits.
import assert from "node:assert/strict";
import {spawn} from "node:child_process";
import path from "node:path";
import {test} from "node:test";
import {SEEDS, judge, measure} from "./compare.mjs";
import {build, discard, makeModel, someTokens} from "./files.mjs";
import {llamaEmbeddings} from "./llama_cpp.mjs";
import {report} from "./teacher.mjs";

const LENGTHS = [1, 2, 17, 64, 65, 200];

async function withServer(model, use) {
    const child = spawn(path.join(build, "src", "app", "tokenworks"),
        ["serve", "--port", "0", "--threads", "1", "--model", `m=${model}`],
        {stdio: ["ignore", "ignore", "pipe"]});
    try {
        const url = await new Promise((resolve, reject) => {
            let log = "";
            child.stderr.on("data", (bytes) => {
                log += bytes;
                const match = log.match(/"url":"([^"]+)"/);
                if (match)
                    resolve(match[1]);
            });
            child.once("exit", (code) => reject(new Error(`it ended with ${code}: ${log}`)));
        });
        return await use(url);
    } finally {
        child.kill("SIGTERM");
    }
}

async function ourEmbeddings(model, lists) {
    return withServer(model, async (url) => {
        const response = await fetch(`${url}/v1/embeddings`,
            {method: "POST", body: JSON.stringify({input: lists})});
        const {data} = await response.json();
        const values = data.flatMap(({embedding}) => embedding);
        return {values: Float64Array.from(values), nVocab: values.length / lists.length};
    });
}

async function figures(preset, pooling, seed, ourPooling) {
    const lists = LENGTHS.map((n, i) => someTokens(n + i).slice(i));
    const file = makeModel(preset, seed, "F32", "--pooling", pooling);
    const reference = await llamaEmbeddings(file, lists, "F32");
    const own = await llamaEmbeddings(file, lists, "F16");
    const ourFile = ourPooling === pooling ? file
        : makeModel(preset, seed, "F32", "--pooling", ourPooling);
    const ours = await ourEmbeddings(ourFile, reference.read);
    discard(file);
    if (ourFile !== file)
        discard(ourFile);
    return measure(ours, reference, own, true);
}

// `rest` is for the long suite (TW_ORACLE=rest).
const models = process.env.TW_ORACLE === "rest"
    ? [["qwen3-tiny", "last"], ["qwen2-tiny", "last"], ["qwen3moe-tiny", "last"]]
    : [["qwen3-tiny", "mean"], ["llama2-tiny", "mean"]];

for (const [preset, pooling] of models) {
    test(`${preset}: embeddings by ${pooling} are llama.cpp's`, async (t) => {
        const measured = [];
        for (const seed of SEEDS)
            measured.push(await figures(preset, pooling, seed, pooling));
        assert.deepEqual(report(t, judge(measured)), []);
    });
}

test("embeddings of another kind are noticed", async (t) => {
    const measured = [await figures("qwen3-tiny", "mean", 1, "last")];
    assert.notDeepEqual(report(t, judge(measured)), []);
});
