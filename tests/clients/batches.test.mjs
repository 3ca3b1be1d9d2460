// Files and batches by the client of OpenAI itself.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import OpenAI, { toFile } from 'openai';
import { becomes, startServer } from './server.mjs';

const program = path.join(process.env.TW_BUILD, 'src/app/tokenworks');
const endpoint = '/v1/chat/completions';
let folder, server, client;

function command(...words) {
    const books = path.join(folder, 'books.db');
    const out = execFileSync(program, [...words, '--books', books, '--json']);
    return JSON.parse(out);
}

before(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'batches-'));
    command('org', 'create', 'acme');
    command('team', 'create', 'acme/research');
    command('project', 'create', 'acme/research/chat');
    const { secret } = command('key', 'create', 'acme/research/chat/ci');
    server = await startServer('--books', path.join(folder, 'books.db'));
    client = new OpenAI({ baseURL: server.baseURL, apiKey: secret, maxRetries: 0 });
});
after(async () => {
    await server.stop();
    fs.rmSync(folder, { recursive: true });
});

function request(number, more) {
    return JSON.stringify({ custom_id: `c${number}`, method: 'POST', url: endpoint, body: {
        model: 'demo', messages: [{ role: 'user', content: 'What is tokenworks?' }],
        temperature: 0, max_tokens: 8, ...more } });
}

async function send(...lines) {
    return client.files.create({
        file: await toFile(Buffer.from(`${lines.join('\n')}\n`), 'requests.jsonl'),
        purpose: 'batch' });
}

async function run(file) {
    let batch = await client.batches.create({
        input_file_id: file.id, endpoint, completion_window: '24h', metadata: { who: 'test' } });
    assert.equal(batch.status, 'validating');
    assert.ok(await becomes(async () => {
        batch = await client.batches.retrieve(batch.id);
        return ['completed', 'failed', 'cancelled'].includes(batch.status);
    }), JSON.stringify(batch));
    return batch;
}

test('a batch is worked through', async () => {
    const file = await send(request(1), request(2), request(3, { n: 0 }));
    assert.equal(file.filename, 'requests.jsonl');
    const batch = await run(file);
    assert.deepEqual(batch.request_counts, { total: 3, completed: 2, failed: 1 });
    assert.deepEqual(batch.metadata, { who: 'test' });
    const text = await (await client.files.content(batch.output_file_id)).text();
    const rows = text.trim().split('\n').map((row) => JSON.parse(row));
    assert.deepEqual(rows.map((row) => row.custom_id), ['c1', 'c2']);
    assert.equal(rows[0].response.body.object, 'chat.completion');
    const wrong = JSON.parse(await (await client.files.content(batch.error_file_id)).text());
    assert.equal(wrong.response.status_code, 400);
});

test('lists are walked through, and files deleted', async () => {
    const files = [];
    for (let i = 0; i < 3; i++) {
        files.push((await send(request(1))).id);
    }
    const seen = [];
    for await (const file of client.files.list({ limit: 2, order: 'asc', purpose: 'batch' })) {
        seen.push(file.id);
    }
    assert.deepEqual(seen.slice(-3), files);
    const first = await client.batches.create({
        input_file_id: files[0], endpoint, completion_window: '24h' });
    const names = [];
    for await (const batch of client.batches.list({ limit: 1 })) {
        names.push(batch.id);
    }
    assert.ok(names.includes(first.id) && names.length >= 1);
    assert.deepEqual(await client.files.delete(files[2]),
        { id: files[2], object: 'file', deleted: true });
    await assert.rejects(client.files.retrieve(files[2]), OpenAI.NotFoundError);
});

test('faults of a file and a cancelled batch are told', async () => {
    const batch = await run(await send('{', request(1, { stream: true })));
    assert.equal(batch.status, 'failed');
    assert.deepEqual(batch.errors.data.map((error) => error.line), [1, 2]);
    const many = Array.from({ length: 300 }, (_, i) => request(i, { max_tokens: 60 }));
    const long = await client.batches.create({
        input_file_id: (await send(...many)).id, endpoint, completion_window: '24h' });
    assert.equal((await client.batches.cancel(long.id)).status, 'cancelling');
    assert.ok(await becomes(async () =>
        (await client.batches.retrieve(long.id)).status === 'cancelled'));
});
