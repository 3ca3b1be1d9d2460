// The demo model: what `tokenworks eval` answers is what llama.cpp answers, letter for letter. The
// conversations are put into ChatML here, so the answer depends on nothing of ours but the file.
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

for (const [task, rows] of rowsByTask()) {
    test(`demo model, ${task}: our answers are llama.cpp's`, async () => {
        const asked = some(rows);
        const theirs = await llamaAnswers(model, asked.map(({messages}) => chatml(messages)),
            N_TOKENS_MOST);
        assert.ok(theirs.every((answer) => answer.length > 0));
        assert.deepEqual(ourAnswers(asked), theirs);
    });
}
