// The demo model: what `tokenworks eval` answers is what llama.cpp answers, letter for letter. The
// conversations are put into ChatML here, so the answer depends on nothing of ours but the file.
// Both round activations to 8 bits, each in its own way, so where two tokens are nearly as likely
// either may come first: there, and nowhere else, an answer may part from the other.
import assert from "node:assert/strict";
import {readFileSync, writeFileSync} from "node:fs";
import path from "node:path";
import {test} from "node:test";
import {fileURLToPath} from "node:url";
import {freshPath, tokenworks} from "./files.mjs";
import {llamaAnswers} from "./llama_cpp.mjs";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
const model = path.join(root, "data", "tokenworks-demo.gguf");
const N_TASK = 8;
const N_TOKENS_MOST = 160;
const NEARLY_AS_LIKELY = 0.1; // nats
const N_PARTED_MOST = 1; // of N_TASK

function rowsByTask() {
    const tasks = new Map();
    for (const line of readFileSync(path.join(root, "demo", "eval.jsonl"), "utf8").split("\n")) {
        if (line === "")
            continue;
        const row = JSON.parse(line);
        const rows = tasks.get(row.task) ?? [];
        tasks.set(row.task, [...rows, row]);
    }
    return tasks;
}

// N_TASK rows out of all, evenly apart.
function some(rows) {
    return Array.from({length: N_TASK}, (_, i) => rows[Math.floor(i * rows.length / N_TASK)]);
}

function chatml(messages) {
    return messages.map(({role, content}) => `<|im_start|>${role}\n${content}<|im_end|>\n`).join("")
        + "<|im_start|>assistant\n";
}

// Our answers: an expectation that no answer meets has all of them written down.
function ourAnswers(rows) {
    const questions = freshPath(".jsonl"), failures = freshPath(".jsonl");
    const asked = rows.map(({messages}, i) => JSON.stringify(
        {task: `row${i}`, messages, expect: {kind: "exact", any: ["(no answer says this)"]}}));
    writeFileSync(questions, asked.join("\n"));
    tokenworks("eval", questions, "--model", model, "--max-tokens", String(N_TOKENS_MOST),
        "--failures", failures);
    const answers = readFileSync(failures, "utf8").trim().split("\n").map((line) => {
        const {task, answer} = JSON.parse(line);
        return [task, answer];
    });
    const byTask = new Map(answers);
    return rows.map((_, i) => byTask.get(`row${i}`));
}

// By how many nats our token, where the answers part, is likelier than theirs; for us.
function marginWhereTheyPart(prompt, theirs) {
    const [line] = tokenworks("run", "--model", model, "--prompt", prompt, "--special", "--json",
        "--logprobs", "10", "--max-tokens", String(N_TOKENS_MOST)).split("\n");
    let before = "";
    for (const {text, logprob, top} of JSON.parse(line).logprobs) {
        if (!(theirs.startsWith(before + text))) {
            const other = top.filter((token) => token.text !== "" &&
                theirs.startsWith(before + token.text));
            return logprob - Math.max(...other.map((token) => token.logprob));
        }
        before += text;
    }
    return Infinity;
}

for (const [task, rows] of rowsByTask()) {
    test(`demo model, ${task}: our answers are llama.cpp's`, async () => {
        const asked = some(rows);
        const prompts = asked.map(({messages}) => chatml(messages));
        const theirs = await llamaAnswers(model, prompts, N_TOKENS_MOST);
        assert.ok(theirs.every((answer) => answer.length > 0));
        const ours = ourAnswers(asked);
        const parted = ours.map((_, i) => i).filter((i) => ours[i] !== theirs[i]);
        for (const i of parted) {
            const margin = marginWhereTheyPart(prompts[i], theirs[i]);
            console.log(`# ${task}: parted at a margin of ${margin.toFixed(4)} nats`);
            assert.ok(margin < NEARLY_AS_LIKELY, `${margin}: ${ours[i]} | ${theirs[i]}`);
        }
        assert.ok(parted.length <= N_PARTED_MOST, `${parted.length} of ${N_TASK} part`);
    });
}
