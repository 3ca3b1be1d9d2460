// A server for a test: on a free loopback port, stopped when the test is over.
import { spawn } from 'node:child_process';
import path from 'node:path';

const build = process.env.TW_BUILD;
const source = process.env.TW_SOURCE;

export function startServer(...words) {
    return serveModel(`demo=${path.join(source, 'data', 'tokenworks-demo.gguf')}`, ...words);
}

export async function serveModel(model, ...words) {
    const child = spawn(path.join(build, 'src/app/tokenworks'),
        ['serve', '--port', '0', '--model', model, ...words],
        { stdio: ['ignore', 'ignore', 'pipe'] });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    let log = '';
    const url = await new Promise((resolve, reject) => {
        child.stderr.on('data', (bytes) => {
            log += bytes;
            const match = log.match(/"url":"([^"]+)"/);
            if (match) {
                resolve(match[1]);
            }
        });
        ended.then((code) => reject(new Error(`the server ended with ${code}: ${log}`)));
    });
    return {
        url,
        baseURL: `${url}/v1`,
        async stop() {
            child.kill('SIGTERM');
            return ended;
        },
        async metric(name) {
            const text = await (await fetch(`${url}/metrics`)).text();
            return text.split('\n').filter((line) => line.startsWith(`tokenworks_${name}{`)
                || line.startsWith(`tokenworks_${name} `))
                .reduce((sum, line) => sum + Number(line.split(' ').pop()), 0);
        },
    };
}

// Whether a condition comes true within ten seconds.
export async function becomes(condition) {
    for (let i = 0; i < 1000; i++) {
        if (await condition()) {
            return true;
        }
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return false;
}
