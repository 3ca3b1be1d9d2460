// A comparison that nothing can fail proves nothing: each of these mistakes in one kernel must be
// noticed, by the same judgement and on the same models as in logits.test.mjs.
import assert from "node:assert/strict";
import {test} from "node:test";
import {SEEDS, judge, measure} from "./compare.mjs";
import {ourLogits, sameBits, someTokens} from "./files.mjs";
import {isFloat, prepareModel, report} from "./teacher.mjs";

const tokens = someTokens();
const prepared = new Map();

// The models of all seeds.
async function prepare(preset, type) {
    const key = `${preset} ${type}`;
    if (!prepared.has(key)) {
        const models = [];
        for (const seed of SEEDS)
            models.push(await prepareModel({preset}, seed, type, tokens));
        prepared.set(key, models);
    }
    return prepared.get(key);
}

const broken = (file, name) =>
    ourLogits(file, tokens, {tool: "logits_broken", env: {TW_BROKEN: name}});

const judgeBroken = (models, name, type) => judge(models.map(({file, reference, own}) =>
    measure(broken(file, name), reference, own, isFloat(type))));

const qwen2 = "qwen2-tiny", qwen3 = "qwen3-tiny", llama3 = "llama3-tiny";
const odd = "qwen2-odd-tiny", llama2 = "llama2-tiny";
const moe = "qwen3moe-tiny", moeOdd = "qwen3moe-odd-tiny";

const mistakes = [
    ["minima", "the minima of Q4_K are forgotten", [[qwen2, "Q4_K_M"], [llama3, "Q4_K_M"]]],
    ["last-step", "the tail of every row is left out",
        [[qwen2, "F32"], [odd, "Q8_0"], [qwen2, "Q4_K_M"]]],
    ["block-scale", "one scale in a row of 32 is a quarter too large",
        [[odd, "Q8_0"], [qwen3, "Q8_0"]]],
    ["epsilon", "the norms forget epsilon", [[qwen2, "F32"], [qwen3, "F32"]]],
    ["rope-pairs", "RoPE turns the wrong pairs", [[qwen2, "Q8_0"], [llama3, "Q4_K_M"]]],
    ["rope-sign", "RoPE turns the wrong way", [[qwen2, "Q8_0"], [llama3, "Q4_K_M"]]],
    ["slow-pairs", "RoPE leaves slow pairs alone", [[llama2, "F32"], [odd, "Q8_0"]]],
    ["activation", "SiLU is another sigmoid", [[qwen2, "F32"], [qwen3, "F32"]]],
    ["page", "attention reads the page behind", [[qwen2, "Q8_0"], [qwen3, "Q4_K_M"]]],
    ["page-end", "attention leaves out a full page's last position",
        [[qwen2, "F32"], [llama3, "F32"]]],
    ["score-scale", "scores are scaled by 1/sqrt(d - 4)", [[qwen2, "F32"], [qwen3, "F32"]]],
    ["expert-sum", "weights of experts do not add up to 1", [[moe, "F32"], [moe, "Q8_0"]]],
    ["expert-rank", "the last expert is the next best one", [[moe, "F32"], [moeOdd, "Q8_0"]]],
    ["expert-weight", "all experts of a token count alike", [[moe, "F32"], [moeOdd, "Q8_0"]]]
];

// `rest` is for the long suite (TW_ORACLE=rest): the same mistakes on further models.
const rest = process.env.TW_ORACLE === "rest";

for (const [name, what, models] of mistakes) {
    for (const [preset, type] of rest ? models.slice(1) : models.slice(0, 1)) {
        test(`noticed on ${preset} ${type}: ${what}`, async (t) => {
            const verdict = judgeBroken(await prepare(preset, type), name, type);
            assert.notDeepEqual(report(t, verdict), []);
        });
    }
}

test("without a mistake the same program passes", async (t) => {
    for (const [preset, type] of [[qwen2, "F32"], [qwen3, "Q4_K_M"]]) {
        const models = await prepare(preset, type);
        assert.deepEqual(report(t, judgeBroken(models, "nothing", type)), []);
        const [{file}] = models;
        assert.ok(sameBits(broken(file, "nothing"), ourLogits(file, tokens)));
    }
});
