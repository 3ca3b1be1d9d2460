// A report of plan in a browser: what it shows at any setting is what the program computes, it
// asks nobody for anything, and it can be read and used in other ways than by a mouse on a desk.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const SETTINGS = 100;
const folder = mkdtempSync(path.join(os.tmpdir(), 'tw-page-'));
const report = path.join(folder, 'plan.html');
const scenario = path.join(import.meta.dirname, 'scenario.yaml');
const browserPath = process.env.TW_CHROMIUM ?? '/usr/bin/chromium';
let browser, page, program, answers;
const errors = [], requests = [];

// The same every time.
let state = 12345;
function random() {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
}

before(async () => {
    execFileSync(path.join(process.env.TW_BUILD, 'src/app/tokenworks'),
        ['plan', scenario, '--report', report], { stdio: ['ignore', 'ignore', 'inherit'] });
    program = spawn(process.env.TW_PLAN_AT, [scenario], { stdio: ['pipe', 'pipe', 'inherit'] });
    answers = readline.createInterface({ input: program.stdout })[Symbol.asyncIterator]();
    browser = await chromium.launch({ executablePath: browserPath, args: ['--no-sandbox'] });
    page = await browser.newPage({ viewport: { width: 1280, height: 900 }, offline: true });
    page.on('console', (message) => {
        if (message.type() === 'error' || message.type() === 'warning') errors.push(message.text());
    });
    page.on('pageerror', (error) => errors.push(error.message));
    page.on('request', (request) => requests.push(request.url()));
    await page.goto(pathToFileURL(report).href);
});

after(async () => {
    await browser?.close();
    program?.stdin.end();
    rmSync(folder, { recursive: true });
});

async function computed(setting) {
    program.stdin.write(`${JSON.stringify(setting)}\n`);
    return JSON.parse((await answers.next()).value);
}

// What can be seen: settings of the sliders, and the figures of each row of the table.
function seen() {
    return page.evaluate(() => ({
        setting: Object.fromEntries([...document.querySelectorAll('#sliders input')]
            .map((slider) => [slider.dataset.input, Number(slider.value)])),
        shown: [...document.querySelectorAll('#sliders label')].map((label) =>
            label.querySelector('output').textContent),
        rows: [...document.querySelectorAll('#options tr[data-option]')].map((row) => ({
            at: Number(row.dataset.option),
            name: row.querySelector('.name').textContent,
            figures: Object.fromEntries([...row.querySelectorAll('[data-figure]')]
                .map((cell) => [cell.dataset.figure, cell.textContent])),
        })),
        now: document.getElementById('now').textContent,
        usd: JSON.parse(document.getElementById('plan').textContent).currency_usd[1],
    }));
}

// "45.3k" is any value from 45.25 to 45.35 thousand.
function agrees(text, value) {
    const match = text.match(/^(-?\d+(?:\.(\d+))?(?:e([-+]\d+))?)(k|M|bn|%)?$/);
    if (!match) return false;
    const scale = { k: 1e3, M: 1e6, bn: 1e9, '%': 0.01 }[match[4]] ?? 1;
    const digit = 10 ** (Number(match[3] ?? 0) - (match[2]?.length ?? 0)) * scale;
    return Math.abs(Number(match[1]) * scale - value) <= digit * 0.5000001 + 1e-12;
}

function compare(now, options) {
    assert.ok(now.rows.length >= 5, 'rows are there');
    let n = 0;
    for (const row of now.rows) {
        const right = options[row.at], f = row.figures;
        const money = { npv_usd: right.npv_usd,
            usd_per_million_tokens: right.usd_per_million_tokens };
        for (const [key, usd] of Object.entries(money)) {
            assert.ok(agrees(f[key], usd / now.usd),
                `${right.name}: ${key} shows ${f[key]}, should be ${usd / now.usd}`);
            n++;
        }
        for (const key of ['utilisation', 'kwh_per_million_tokens', 'co2_kg_per_million_tokens']) {
            if (f[key] !== '' && f[key] !== 'not known') {
                assert.ok(agrees(f[key], right[key]),
                    `${right.name}: ${key} shows ${f[key]}, should be ${right[key]}`);
                n++;
            }
        }
        if (f.paid_back !== '') {
            const months = { never: -1, 'from the first': 0 }[f.paid_back];
            assert.ok(months === undefined ? agrees(f.paid_back, right.paid_back)
                : months === right.paid_back,
            `${right.name}: paid back ${f.paid_back}, should be ${right.paid_back}`);
            n++;
        }
    }
    const order = now.rows.map((row) => options[row.at].npv_usd);
    assert.deepEqual(order, order.slice().sort((a, b) => a - b), 'cheapest first');
    assert.ok(/^As planned/.test(now.now) || now.now.includes(options[now.rows[0].at].name),
        now.now);
    return n;
}

test('what is shown at random settings is what the program computes', async (t) => {
    const boxes = await page.evaluate(() => {
        window.scrollTo(0, document.getElementById('sliders').offsetTop - 100);
        return [...document.querySelectorAll('#sliders input')].map((slider) => {
            const box = slider.getBoundingClientRect();
            return { name: slider.dataset.input, x: box.x, y: box.y, width: box.width,
                height: box.height };
        });
    });
    const moved = new Set();
    let now = await seen(), n = compare(now, await computed({}));
    for (let i = 0, at = 0; i < SETTINGS; i++) {
        const before = now.setting;
        for (let k = 0; k < 2; k++, at++) {
            const box = boxes[at % boxes.length];
            await page.mouse.click(box.x + 2 + random() * (box.width - 4), box.y + box.height / 2);
        }
        now = await seen();
        for (const name in before) {
            if (before[name] !== now.setting[name]) moved.add(name);
        }
        n += compare(now, await computed(now.setting));
    }
    assert.deepEqual([...moved].sort(), boxes.map((box) => box.name).sort(), 'every slider moves');
    t.diagnostic(`${n} figures at ${SETTINGS} settings`);
});

test('a button brings the plan back', async () => {
    await page.click('#reset');
    const now = await seen();
    compare(now, await computed({}));
    assert.match(now.now, /^As planned/);
});

test('everything is reached and moved by keys', async () => {
    await page.evaluate(() => { window.scrollTo(0, 0); document.activeElement.blur(); });
    const reached = new Set(), changed = new Set();
    for (let i = 0; i < 40; i++) {
        await page.keyboard.press('Tab');
        const at = await page.evaluate(() => {
            const e = document.activeElement;
            return { name: e.dataset.input ?? (e.id || e.getAttribute('aria-label')),
                isSlider: e.type === 'range', value: e.value,
                outline: getComputedStyle(e).outlineStyle };
        });
        reached.add(at.name);
        if (at.isSlider) {
            assert.notEqual(at.outline, 'none', `${at.name} shows its focus`);
            await page.keyboard.press('ArrowRight');
            if (await page.evaluate((v) => document.activeElement.value !== v, at.value)) {
                changed.add(at.name);
            }
        }
    }
    const now = await seen();
    for (const name of [...Object.keys(now.setting), 'reset', 'options', 'assumptions']) {
        assert.ok(reached.has(name), `${name} is reached`);
    }
    assert.equal(changed.size, Object.keys(now.setting).length);
    compare(now, await computed(now.setting));
    await page.click('#reset');
});

test('charts have what the plan has', async () => {
    const found = await page.evaluate(() => ({
        curves: document.querySelectorAll('#time polyline').length,
        circles: document.querySelectorAll('#time circle').length,
        paid: [...document.querySelectorAll('#time-legend span')].map((s) => s.textContent),
        bars: document.querySelectorAll('#tornado rect').length,
        latency: document.querySelectorAll('#latency svg').length,
        lines: document.querySelectorAll('#latency polyline').length,
        cards: document.querySelectorAll('#memory text').length,
        places: document.querySelectorAll('#places tbody tr').length,
        plan: JSON.parse(document.getElementById('plan').textContent),
    }));
    const options = await computed({}), plan = found.plan;
    assert.equal(found.curves, found.paid.length);
    const paid = found.paid.map((text) => options.find((o) => text.endsWith(`: ${o.name}`)));
    assert.equal(found.circles, paid.filter((o, i) => o.paid_back > 0 &&
        plan.options.find((p) => p.name === o.name).kind !== 'tokens bought').length);
    assert.ok(found.circles > 0, 'something is paid back');
    assert.ok(found.bars >= plan.tornado.slice(0, 12).length && found.bars > 4);
    assert.equal(found.latency, 5, 'two targets of one model, three of the other');
    assert.ok(found.lines >= 6);
    assert.equal(found.cards, plan.sizings.length);
    assert.ok(found.places >= 2);
});

function contrast(a, b) {
    const light = (text) => {
        const [r, g, blue] = text.match(/[\d.]+/g).map((v) => {
            const c = Number(v) / 255;
            return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * blue;
    };
    const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
}

test('dark and light can be read', async () => {
    const papers = [];
    for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme });
        const c = await page.evaluate(() => {
            const of = (selector, key) => getComputedStyle(document.querySelector(selector))[key];
            return { paper: of('body', 'backgroundColor'), ink: of('body', 'color'),
                soft: of('.soft', 'color'), card: of('.answer', 'backgroundColor'),
                lines: [...document.querySelectorAll('#time polyline')].map((l) =>
                    getComputedStyle(l).stroke),
                text: getComputedStyle(document.querySelector('#time text')).fill };
        });
        papers.push(c.paper);
        for (const [a, b, least] of [[c.ink, c.paper, 7], [c.soft, c.paper, 4.5],
            [c.ink, c.card, 7], [c.text, c.paper, 4.5], ...c.lines.map((l) => [l, c.paper, 3])]) {
            assert.ok(contrast(a, b) >= least, `${colorScheme}: ${a} on ${b}`);
        }
    }
    assert.notEqual(papers[0], papers[1]);
    await page.emulateMedia({ colorScheme: null });
});

test('a phone shows it without moving sideways, in letters that can be read', async () => {
    await page.setViewportSize({ width: 400, height: 800 });
    const found = await page.evaluate(async () => {
        await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
        return { wide: document.scrollingElement.scrollWidth,
            letters: [...document.querySelectorAll('svg')].map((svg) =>
                svg.getBoundingClientRect().width / svg.viewBox.baseVal.width),
            out: [...document.querySelectorAll('svg text')].filter((text) => {
                const t = text.getBoundingClientRect();
                const s = text.ownerSVGElement.getBoundingClientRect();
                return t.left < s.left - 1 || t.right > s.right + 1;
            }).map((text) => text.textContent) };
    });
    assert.ok(found.wide <= 400, `${found.wide} pixels wide`);
    for (const scale of found.letters) assert.ok(scale > 0.9, `letters are scaled by ${scale}`);
    assert.deepEqual(found.out, [], 'no words beyond the edge of a chart');
    await page.setViewportSize({ width: 1280, height: 900 });
});

test('it prints, light, on a few pages', async () => {
    await page.emulateMedia({ colorScheme: 'dark', media: 'print' });
    assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor),
        'rgb(255, 255, 255)');
    await page.emulateMedia({ colorScheme: null, media: null });
    await page.evaluate(() => {
        window.addEventListener('beforeprint', () => {
            window.printed = document.getElementById('time').viewBox.baseVal.width;
        });
    });
    const bytes = await page.pdf({ format: 'A4', printBackground: true,
        margin: { top: '12mm', bottom: '12mm', left: '12mm', right: '12mm' } });
    const text = bytes.toString('latin1');
    const pages = text.match(/\/Type\s*\/Page\b/g).length;
    assert.equal(await page.evaluate(() => window.printed), 720, 'drawn for paper');
    assert.ok(text.startsWith('%PDF') && pages >= 3 && pages <= 10, `${pages} pages`);
});

test('nobody was asked for anything, and nothing went wrong', () => {
    assert.deepEqual(errors, []);
    assert.deepEqual(requests, [pathToFileURL(report).href]);
});
