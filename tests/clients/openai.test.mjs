// The client of OpenAI itself.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { becomes, startServer } from './server.mjs';

const messages = [{ role: 'user', content: 'What is tokenworks?' }];
const known = /one native program/;
let server, client;

before(async () => {
    server = await startServer();
    client = new OpenAI({ baseURL: server.baseURL, apiKey: 'none', maxRetries: 0 });
});
after(() => server.stop());

test('a chat is answered', async () => {
    const { data, response, request_id: id } = await client.chat.completions.create(
        { model: 'demo', messages, temperature: 0 }, { headers: { 'X-Request-Id': 'mine-1' } })
        .withResponse();
    assert.match(data.choices[0].message.content, known);
    assert.equal(data.choices[0].finish_reason, 'stop');
    assert.equal(response.headers.get('x-request-id'), 'mine-1');
    assert.equal(id, 'mine-1');
});

test('a stream is put together to the same answer', async () => {
    const whole = await client.chat.completions.create({ model: 'demo', messages, temperature: 0 });
    const stream = client.chat.completions.stream({
        model: 'demo', messages, temperature: 0, stream_options: { include_usage: true },
    });
    let n = 0;
    stream.on('content', () => { n++; });
    const final = await stream.finalChatCompletion();
    assert.ok(n > 5, `${n} pieces`);
    assert.equal(final.choices[0].message.content, whole.choices[0].message.content);
    assert.deepEqual(final.usage, whole.usage);
});

test('several answers have several choices', async () => {
    const answer = await client.chat.completions.create({
        model: 'demo', messages, n: 3, seed: 1, temperature: 1.2, max_completion_tokens: 12,
    });
    assert.deepEqual(answer.choices.map((choice) => choice.index), [0, 1, 2]);
    assert.equal(answer.usage.completion_tokens <= 36, true);
});

test('log-probabilities are there for each token', async () => {
    const answer = await client.chat.completions.create({
        model: 'demo', messages, temperature: 0, logprobs: true, top_logprobs: 2,
    });
    const { content } = answer.choices[0].logprobs;
    assert.equal(content.map((row) => row.token).join(''), answer.choices[0].message.content);
    assert.ok(content.every((row) => row.top_logprobs.length === 2));
});

test('a schema from zod is kept and parsed', async () => {
    const Invoice = z.object({
        vendor: z.string(), currency: z.enum(['EUR', 'USD']), total: z.number(),
        due: z.union([z.string(), z.null()]),
    });
    const answer = await client.chat.completions.parse({
        model: 'demo', temperature: 0, max_tokens: 300,
        messages: [{ role: 'user', content: 'Invoice: Norbury Ltd wants 120.50 EUR from us.' }],
        response_format: zodResponseFormat(Invoice, 'invoice'),
    });
    const { parsed } = answer.choices[0].message;
    assert.deepEqual(Object.keys(parsed).sort(), ['currency', 'due', 'total', 'vendor']);
    assert.ok(['EUR', 'USD'].includes(parsed.currency));
});

const weather = {
    type: 'function',
    function: {
        name: 'get_weather', description: 'Get the current weather of a city.',
        parameters: {
            type: 'object', properties: { city: { type: 'string', description: 'The city.' } },
            required: ['city'],
        },
    },
};

test('a tool is called, and its result answered', async () => {
    const asked = [{ role: 'user', content: 'What is the weather in Norbury?' }];
    const answer = await client.chat.completions.create({
        model: 'demo', messages: asked, tools: [weather], temperature: 0,
    });
    const { message, finish_reason: reason } = answer.choices[0];
    assert.equal(reason, 'tool_calls');
    const [call] = message.tool_calls;
    assert.equal(call.function.name, 'get_weather');
    assert.deepEqual(JSON.parse(call.function.arguments), { city: 'Norbury' });
    const result = { role: 'tool', tool_call_id: call.id,
        content: JSON.stringify({ city: 'Norbury', temperature_c: 12, conditions: 'rain' }) };
    const said = await client.chat.completions.create({
        model: 'demo', messages: [...asked, message, result], tools: [weather], temperature: 0,
    });
    assert.match(said.choices[0].message.content, /Norbury/);
    assert.equal(said.choices[0].finish_reason, 'stop');
});

test('a streamed call is put together', async () => {
    const stream = client.chat.completions.stream({
        model: 'demo', temperature: 0, tools: [weather],
        messages: [{ role: 'user', content: 'What is the weather in Norbury?' }],
    });
    const [call] = (await stream.finalChatCompletion()).choices[0].message.tool_calls;
    assert.deepEqual(JSON.parse(call.function.arguments), { city: 'Norbury' });
});

test('a completion goes on from a text', async () => {
    const answer = await client.completions.create({
        model: 'demo', prompt: 'tokenworks is', max_tokens: 6, temperature: 0, stop: ['\n'],
    });
    assert.equal(answer.object, 'text_completion');
    assert.equal(typeof answer.choices[0].text, 'string');
});

test('models are listed', async () => {
    const page = await client.models.list();
    assert.deepEqual(page.data.map((model) => model.id), ['demo']);
    assert.equal((await client.models.retrieve('demo')).id, 'demo');
});

test('errors have their classes, codes and parameters', async () => {
    await assert.rejects(client.chat.completions.create({ model: 'none', messages }), (error) => {
        assert.ok(error instanceof OpenAI.NotFoundError);
        assert.equal(error.code, 'model_not_found');
        return true;
    });
    await assert.rejects(client.chat.completions.create({ model: 'demo', messages, top_p: 7 }),
        (error) => error instanceof OpenAI.BadRequestError && error.param === 'top_p');
    const long = [{ role: 'user', content: 'word '.repeat(5000) }];
    await assert.rejects(client.chat.completions.create({ model: 'demo', messages: long }),
        (error) => error.status === 400 && error.code === 'context_length_exceeded');
});

test('an abort frees what the answer held', async () => {
    const stream = await client.completions.create({
        model: 'demo', prompt: 'hello', max_tokens: 2000, stream: true, ignore_eos: true,
        temperature: 2, // what repeats itself would soon be at its end
    });
    let n = 0;
    for await (const part of stream) {
        assert.equal(part.object, 'text_completion');
        if (++n === 3) {
            assert.ok(await server.metric('kv_cache_pages_used') > 0);
            stream.controller.abort();
            break;
        }
    }
    assert.ok(await becomes(async () => await server.metric('kv_cache_pages_used') === 0));
});

test('sixteen clients at once get what each gets alone', async () => {
    const ask = (i) => client.chat.completions.create({
        model: 'demo', temperature: 0, max_tokens: 30,
        messages: [{ role: 'user', content: `Repeat: Norbury ${i % 4}` }],
    }).then((answer) => answer.choices[0].message.content);
    const alone = [];
    for (let i = 0; i < 4; i++) {
        alone.push(await ask(i));
    }
    const together = await Promise.all(Array.from({ length: 16 }, (_, i) => ask(i)));
    assert.deepEqual(together, together.map((_, i) => alone[i % 4]));
});
