// llama.cpp, through its Node binding, as a source of logits that owes nothing to this repository.
//
// CPU only, no flash attention; the binary is the one that came with the package. One thread: its
// workers spin, and on a busy machine two of them wait for each other twenty times as long.
import {LlamaEmbeddingContext, getLlama} from "node-llama-cpp";

// A position's probabilities come as a map of all tokens: taken few at a time, the maps of a
// vocabulary of 150,000 fit into memory.
const SLICE = 16;

let library;

async function start() {
    library ??= await getLlama({
        gpu: false, build: "never", skipDownload: true, maxThreads: 1, logLevel: "error",
        progressLogs: false
    });
    return library;
}

async function withSequence(path, contextSize, kv, use) {
    const llama = await start();
    const model = await llama.loadModel({modelPath: path, gpuLayers: 0});
    const context = await model.createContext({
        contextSize, batchSize: 256, threads: 1, sequences: 1, flashAttention: false,
        experimentalKvCacheKeyType: kv, experimentalKvCacheValueType: kv
    });
    try {
        return await use(context.getSequence(), model);
    } finally {
        await context.dispose();
        await model.dispose();
    }
}

// [positions][vocabulary] of the sequence `tokens`: logarithms of f32 probabilities, which are the
// logits but for a constant, to seven digits. kv: the type of the cache. With F16,
// llama.cpp rounds queries and attention weights to half precision too, which we do not; a
// reference is F32.
export async function llamaLogits(path, tokens, kv) {
    return withSequence(path, tokens.length + SLICE, kv, async (sequence) => {
        let values, nVocab;
        for (let first = 0; first < tokens.length; first += SLICE) {
            const slice = tokens.slice(first, first + SLICE);
            const results = await sequence.controlledEvaluate(
                slice.map((token) => [token, {generateNext: {probabilities: true}}]));
            results.forEach(({next}, i) => {
                nVocab ??= next.probabilities.size;
                values ??= new Float64Array(tokens.length * nVocab);
                for (const [token, probability] of next.probabilities)
                    values[(first + i) * nVocab + token] = Math.log(probability);
            });
        }
        return {values, nVocab};
    });
}

// [lists][numbers]: the embedding of each list of tokens, made to length 1. Before and behind a
// list come the tokens that the model's file asks for; the lists as they were read come back too.
// The binding's own call leaves the type of the cache to the library, so its parts are used.
export async function llamaEmbeddings(path, lists, kv) {
    const llama = await start();
    const model = await llama.loadModel({modelPath: path, gpuLayers: 0});
    const context = new LlamaEmbeddingContext({_llamaContext: await model.createContext({
        contextSize: 1024, batchSize: 1024, threads: 1, sequences: 1, flashAttention: false,
        experimentalKvCacheKeyType: kv, experimentalKvCacheValueType: kv, _embeddings: true
    })});
    try {
        const read = lists.map((list) => [...list]), values = [];
        for (const list of read) {
            context._prepareInput(list);
            const {vector} = await context.getEmbeddingFor(list);
            const length = Math.hypot(...vector);
            values.push(...vector.map((x) => x / length));
        }
        return {read, values: Float64Array.from(values), nVocab: values.length / lists.length};
    } finally {
        await context.dispose();
        await model.dispose();
    }
}

// The n most probable tokens that follow `text`, the beginning-of-text token before it.
export async function llamaGreedy(path, text, n) {
    return withSequence(path, 512, "F16", async (sequence, model) => {
        const prompt = [model.tokens.bos, ...model.tokenize(text)];
        const followers = [];
        const greedy = {temperature: 0, yieldEogToken: true};
        for await (const token of sequence.evaluate(prompt, greedy)) {
            followers.push(token);
            if (followers.length === n)
                break;
        }
        return {prompt, followers, text: model.detokenize([...prompt, ...followers])};
    });
}

// The most probable continuation of each text, in which special tokens count as such, until the
// model's end token or n tokens.
export async function llamaAnswers(path, texts, n) {
    return withSequence(path, 2048, "F16", async (sequence, model) => {
        const answers = [];
        for (const text of texts) {
            const answer = [];
            for await (const token of sequence.evaluate(model.tokenize(text, true),
                {temperature: 0})) {
                answer.push(token);
                if (answer.length === n)
                    break;
            }
            answers.push(model.detokenize(answer, true));
            await sequence.clearHistory();
        }
        return answers;
    });
}

export async function llamaTokens(path, texts) {
    const llama = await start();
    const model = await llama.loadModel({modelPath: path, gpuLayers: 0, vocabOnly: true});
    try {
        return texts.map((text) => [...model.tokenize(text, false)]);
    } finally {
        await model.dispose();
    }
}
