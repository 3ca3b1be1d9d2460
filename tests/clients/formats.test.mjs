// Calls of tools and thoughts of a model that recites them, as clients see them.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { HumanMessage } from '@langchain/core/messages';
import { ChatOpenAI } from '@langchain/openai';
import { generateText, streamText, tool } from 'ai';
import OpenAI from 'openai';
import { z } from 'zod';
import { startServer } from './server.mjs';

const source = process.env.TW_SOURCE;
const said = '<think>\nThey want the weather.\n</think>\n\nI shall look.\n<tool_call>\n'
    + '<function=weather>\n<parameter=city>\nBad Ems, by the river\n</parameter>\n'
    + '<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n'
    + '<function=now>\n</function>\n</tool_call>';
const wanted = [{ city: 'Bad Ems, by the river', days: 3 }, {}];
const thought = 'They want the weather.';
const template = `{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}{# <think> <tool_call> <function= #}`;
const makeModel = `
import sys
sys.path.insert(0, sys.argv[1])
import golden
path, said, template = sys.argv[2:5]
golden.make_model(path, n_embd=128, n_layers=1, recites=golden.pieces(said), template=template)
`;

const messages = [{ role: 'user', content: 'The weather?' }];
const tools = [
    { type: 'function', function: { name: 'weather', parameters: {
        type: 'object', required: ['city', 'days'],
        properties: { city: { type: 'string' }, days: { type: 'integer' } } } } },
    { type: 'function', function: { name: 'now', parameters: {
        type: 'object', properties: {} } } },
];
const aiTools = {
    weather: tool({ description: 'w', inputSchema: z.object({
        city: z.string(), days: z.number().int() }) }),
    now: tool({ description: 'n', inputSchema: z.object({}) }),
};

let folder, server, client, model;

before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'formats-'));
    const file = path.join(folder, 'recites.gguf');
    execFileSync('python3', ['-B', '-c', makeModel, path.join(source, 'tests/golden'), file, said,
        template]);
    server = await startServer('--model', `recites=${file}`, '--kv-bytes', '64000000');
    client = new OpenAI({ baseURL: server.baseURL, apiKey: 'none', maxRetries: 0 });
    model = createOpenAICompatible({ name: 'here', baseURL: server.baseURL })('recites');
});
after(async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
});

test('openai: arguments of parallel calls arrive in pieces', async () => {
    const stream = client.chat.completions.stream({
        model: 'recites', messages, tools, temperature: 0 });
    let n = 0;
    stream.on('tool_calls.function.arguments.delta', () => { n++; });
    const { message, finish_reason: reason } = (await stream.finalChatCompletion()).choices[0];
    assert.ok(n >= 6, `${n} pieces`);
    assert.equal(reason, 'tool_calls');
    assert.equal(message.content, 'I shall look.');
    assert.deepEqual(message.tool_calls.map((call) => call.function.name), ['weather', 'now']);
    const whole = await client.chat.completions.create({
        model: 'recites', messages, tools, temperature: 0 });
    assert.deepEqual(message.tool_calls.map((call) => call.function.arguments),
        whole.choices[0].message.tool_calls.map((call) => call.function.arguments));
    assert.deepEqual(message.tool_calls.map((call) => JSON.parse(call.function.arguments)), wanted);
});

test('openai: the thought stands beside the answer', async () => {
    const { choices: [{ message }], usage } = await client.chat.completions.create({
        model: 'recites', messages, tools, temperature: 0 });
    assert.equal(message.reasoning_content, thought);
    assert.equal(message.reasoning, thought);
    assert.ok(usage.completion_tokens_details.reasoning_tokens > 4);
    let streamed = '';
    for await (const chunk of await client.chat.completions.create({
        model: 'recites', messages, tools, temperature: 0, stream: true })) {
        streamed += chunk.choices[0].delta.reasoning_content ?? '';
    }
    assert.equal(streamed, thought);
});

test('ai: thought, text and calls come apart', async () => {
    const result = await generateText({ model, prompt: 'The weather?', tools: aiTools,
        temperature: 0 });
    assert.equal(result.reasoningText, thought);
    assert.equal(result.text, 'I shall look.');
    assert.deepEqual(result.toolCalls.map((call) => call.input), wanted);
    assert.equal(result.finishReason, 'tool-calls');
});

test('ai: a stream has the same parts in pieces', async () => {
    const seen = { 'reasoning-delta': 0, 'text-delta': 0, 'tool-input-delta': 0 };
    let reasoning = '';
    const result = streamText({ model, prompt: 'The weather?', tools: aiTools, temperature: 0 });
    for await (const part of result.fullStream) {
        assert.notEqual(part.type, 'error', String(part.error));
        seen[part.type] = (seen[part.type] ?? 0) + 1;
        reasoning += part.type === 'reasoning-delta' ? part.text : '';
    }
    assert.equal(reasoning, thought);
    assert.ok(seen['reasoning-delta'] > 3 && seen['tool-input-delta'] > 6, JSON.stringify(seen));
    assert.deepEqual((await result.toolCalls).map((call) => call.input), wanted);
});

test('LangChain: streamed calls are concatenated', async () => {
    const chat = new ChatOpenAI({ model: 'recites', apiKey: 'none', temperature: 0, maxRetries: 0,
        useResponsesApi: false, configuration: { baseURL: server.baseURL } }).bindTools(tools);
    let all;
    for await (const chunk of await chat.stream([new HumanMessage('The weather?')])) {
        all = all === undefined ? chunk : all.concat(chunk);
    }
    assert.deepEqual(all.tool_calls.map((call) => call.name), ['weather', 'now']);
    assert.deepEqual(all.tool_calls.map((call) => call.args), wanted);
});
