// The clients inside of frameworks: Vercel's ai and LangChain.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { HumanMessage, SystemMessage } from '@langchain/core/messages';
import { ChatOpenAI } from '@langchain/openai';
import { Output, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';
import { becomes, startServer } from './server.mjs';

const prompt = 'What is tokenworks?';
const known = /one native program/;
let server, model;

before(async () => {
    server = await startServer();
    model = createOpenAICompatible({
        name: 'here', baseURL: server.baseURL, supportsStructuredOutputs: true,
    })('demo');
});
after(() => server.stop());

test('ai: a text is generated, with its usage', async () => {
    const { text, finishReason, usage } = await generateText({ model, prompt, temperature: 0 });
    assert.match(text, known);
    assert.equal(finishReason, 'stop');
    assert.ok(usage.inputTokens > 5 && usage.outputTokens > 10);
});

test('ai: a stream comes in pieces', async () => {
    const parts = [];
    for await (const part of streamText({ model, prompt, temperature: 0 }).textStream) {
        parts.push(part);
    }
    assert.ok(parts.length > 5);
    assert.match(parts.join(''), known);
});

test('ai: an object has the schema', async () => {
    const { output } = await generateText({
        model, prompt: 'Order: three boxes of Tovan tea.', temperature: 0, maxOutputTokens: 200,
        output: Output.object({
            schema: z.object({ item: z.string(), quantity: z.number().int() }),
        }),
    });
    assert.equal(typeof output.item, 'string');
    assert.ok(Number.isInteger(output.quantity));
});

test('ai: a tool is run and its result answered', async () => {
    const cities = [];
    const { text, steps } = await generateText({
        model, prompt: 'What is the weather in Norbury?', temperature: 0, stopWhen: stepCountIs(3),
        tools: {
            get_weather: tool({
                description: 'Get the current weather of a city.',
                inputSchema: z.object({ city: z.string().describe('The city.') }),
                execute({ city }) {
                    cities.push(city);
                    return { city, temperature_c: 12, conditions: 'rain' };
                },
            }),
        },
    });
    assert.deepEqual(cities, ['Norbury']);
    assert.equal(steps.length, 2);
    assert.match(text, /Norbury/);
});

test('ai: an error of the server is an error of the call', async () => {
    await assert.rejects(generateText({ model, prompt, topP: 9, maxRetries: 0 }),
        (error) => error.statusCode === 400 && /top_p/.test(error.message));
});

test('ai: an abort reaches the server', async () => {
    const controller = new AbortController();
    const { textStream } = streamText({
        model, prompt: 'Repeat: ' + 'Norbury '.repeat(300), temperature: 0,
        abortSignal: controller.signal, onError() {},
    });
    try {
        for await (const part of textStream) {
            assert.equal(typeof part, 'string');
            controller.abort();
        }
    } catch (error) {
        assert.equal(error.name, 'AbortError');
    }
    assert.ok(await becomes(async () => await server.metric('kv_cache_pages_used') === 0));
});

const langchain = (more) => new ChatOpenAI({
    model: 'demo', apiKey: 'none', temperature: 0, maxRetries: 0, useResponsesApi: false,
    configuration: { baseURL: server.baseURL }, ...more,
});

test('LangChain: messages are answered', async () => {
    const answer = await langchain().invoke([new SystemMessage('Be brief.'),
        new HumanMessage(prompt)]);
    assert.equal(typeof answer.content, 'string');
    assert.ok(answer.content.length > 5);
    assert.ok(answer.usage_metadata.input_tokens > 5);
});

test('LangChain: a stream is concatenated to the whole', async () => {
    let text = '';
    for await (const chunk of await langchain().stream(prompt)) {
        text += chunk.content;
    }
    assert.match(text, known);
});

test('LangChain: a batch is computed together', async () => {
    const answers = await langchain().batch([prompt, 'hello', prompt]);
    assert.equal(answers[0].content, answers[2].content);
    assert.match(answers[0].content, known);
});

test('LangChain: a bound tool is called', async () => {
    const weather = { type: 'function', function: {
        name: 'get_weather', description: 'Get the current weather of a city.',
        parameters: { type: 'object', properties: { city: { type: 'string' } },
            required: ['city'] } } };
    const answer = await langchain().bindTools([weather])
        .invoke('What is the weather in Norbury?');
    assert.equal(answer.tool_calls[0].name, 'get_weather');
    assert.deepEqual(answer.tool_calls[0].args, { city: 'Norbury' });
});

test('LangChain: structured output is parsed', async () => {
    const schema = z.object({ item: z.string(), quantity: z.number().int() });
    const structured = langchain({ maxTokens: 200 })
        .withStructuredOutput(schema, { method: 'jsonSchema', name: 'order' });
    const value = await structured.invoke('Order: three boxes of Tovan tea.');
    assert.equal(typeof value.item, 'string');
    assert.ok(Number.isInteger(value.quantity));
});

test('LangChain: a stop string ends the answer', async () => {
    const answer = await langchain({ stop: [' program'] }).invoke(prompt);
    assert.equal(answer.content, 'tokenworks is one native');
});
