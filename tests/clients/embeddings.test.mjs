// Embeddings and scored prompts, as clients ask for them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { OpenAIEmbeddings } from '@langchain/openai';
import { cosineSimilarity, embed, embedMany } from 'ai';
import OpenAI from 'openai';
import { startServer } from './server.mjs';

const texts = ['What is tokenworks?', 'hello', 'The ledger holds what was used.'];
let server, client, plain;

function isNear(a, b) {
    assert.equal(a.length, b.length);
    a.forEach((x, i) => assert.ok(Math.abs(x - b[i]) < 1e-6, `${x} is not ${b[i]}`));
}

before(async () => {
    server = await startServer();
    client = new OpenAI({ baseURL: server.baseURL, apiKey: 'none', maxRetries: 0 });
    const answer = await fetch(`${server.baseURL}/embeddings`,
        { method: 'POST', body: JSON.stringify({ input: texts }) });
    plain = (await answer.json()).data.map((row) => row.embedding);
});
after(() => server.stop());

test('openai: floats come as they are, and as base64 when nothing is said', async () => {
    for (const more of [{}, { encoding_format: 'float' }]) {
        const answer = await client.embeddings.create({ model: 'demo', input: texts, ...more });
        assert.equal(answer.object, 'list');
        assert.deepEqual(answer.data.map((row) => row.index), [0, 1, 2]);
        answer.data.forEach((row, i) => isNear(row.embedding, plain[i]));
        assert.ok(answer.usage.prompt_tokens > 3);
        assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens);
    }
    const raw = await client.embeddings.create(
        { model: 'demo', input: texts[0], encoding_format: 'base64' });
    assert.equal(typeof raw.data[0].embedding, 'string');
});

test('openai: fewer dimensions, and errors with their parameter', async () => {
    const answer = await client.embeddings.create({ model: 'demo', input: 'hello', dimensions: 8 });
    assert.equal(answer.data[0].embedding.length, 8);
    assert.ok(Math.abs(Math.hypot(...answer.data[0].embedding) - 1) < 1e-6);
    await assert.rejects(client.embeddings.create({ model: 'demo', input: '' }),
        (error) => error instanceof OpenAI.BadRequestError && error.param === 'input');
    await assert.rejects(client.embeddings.create({ model: 'demo', input: 'word '.repeat(5000) }),
        (error) => error.status === 400 && error.code === 'context_length_exceeded');
});

test('langchain: documents and a query', async () => {
    const embeddings = new OpenAIEmbeddings({
        model: 'demo', apiKey: 'none', maxRetries: 0, configuration: { baseURL: server.baseURL },
        batchSize: 2, stripNewLines: false,
    });
    const documents = await embeddings.embedDocuments(texts);
    documents.forEach((vector, i) => isNear(vector, plain[i]));
    isNear(await embeddings.embedQuery(texts[1]), plain[1]);
});

test('ai: one value and many', async () => {
    const model = createOpenAICompatible({ name: 'here', baseURL: server.baseURL })
        .embeddingModel('demo');
    const { embedding, usage } = await embed({ model, value: texts[0] });
    isNear(embedding, plain[0]);
    assert.ok(usage.tokens > 1);
    const { embeddings } = await embedMany({ model, values: texts });
    embeddings.forEach((vector, i) => isNear(vector, plain[i]));
    assert.ok(cosineSimilarity(embeddings[0], embeddings[0]) > 0.999999);
});

test('openai: a prompt is echoed with its log-probabilities', async () => {
    const ask = { model: 'demo', prompt: texts[0], echo: true, logprobs: 2, temperature: 0 };
    const { choices: [choice], usage } = await client.completions.create({ ...ask, max_tokens: 0 });
    const { tokens, token_logprobs: scores, top_logprobs: best, text_offset: at } = choice.logprobs;
    assert.equal(choice.text, texts[0]);
    assert.equal(choice.finish_reason, 'length');
    assert.equal(tokens.join(''), texts[0]);
    assert.equal(usage.completion_tokens, 0);
    assert.equal(scores[0], null);
    assert.equal(best[0], null);
    assert.ok(scores.slice(1).every((score) => score <= 0));
    assert.deepEqual(tokens, at.map((from, i) => choice.text.slice(from, at[i + 1])));
    let text = '';
    const streamed = [];
    const stream = await client.completions.create(
        { ...ask, max_tokens: 3, stream: true, ignore_eos: true });
    for await (const part of stream) {
        text += part.choices[0].text;
        streamed.push(...part.choices[0].logprobs?.token_logprobs ?? []);
    }
    assert.ok(text.startsWith(texts[0]));
    assert.equal(streamed.length, tokens.length + 3);
    assert.deepEqual(streamed.slice(0, tokens.length), scores);
});
