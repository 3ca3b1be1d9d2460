// When two sets of logits count as the same model.
//
// Both are {values: [positions][nVocab] f32, nVocab}. A constant added to all logits of a
// position is invisible to the softmax and removed before comparing.
//
// Both sides are measured against llama.cpp on the same weights in f32 with a cache in f32. `own`
// is llama.cpp as it runs by itself, with a half-precision cache, on the quantised file (on f32
// weights where the file has plain floats: what the cache alone costs): what an engine may lose.
// Nothing below was fitted to a seed, and none is left out:
//
// - SEEDS: the first five. Random models differ in how much they amplify rounding; a rule about
//   their mean needs several, and no choosing among them.
// - Plain float weights: the largest difference of a logit, as a share of the range of logits at
//   its position, is at most FLOAT_TOLERANCE, or llama.cpp's own where that is larger, in the
//   mean of the models. What exceeds the tolerance there is the cache in half precision, on both
//   sides: check_reference.py rounds keys and values likewise and holds every seed to the
//   tolerance.
// - Quantised weights: the mean Kullback-Leibler divergence over all seeds and positions is at
//   most KL_TOLERANCE, or llama.cpp's own where that is larger.
// - Five models are a sample: NOISE standard errors of the paired difference (ours less
//   llama.cpp's, model by model) are allowed on top. For equal engines chance alone exceeds three
//   in 2% of cases (t, 4 degrees of freedom). The margin is never more than NOISE_MOST of the
//   bound: an engine that errs wildly, now and then, must not gain by its scatter.
// - The most probable token is the same wherever it leads by more than rounding explains.
//   Independent errors of deviation s in the logits cost s^2 / 2 nats, so B nats are s = sqrt(2
//   B); the difference of two logits errs by sqrt(2) s; four deviations of it are 8 sqrt(B).
//   Positions differ a hundredfold in how far rounding carries, so B is the bound above or, where
//   larger, the divergence seen at the position: llama.cpp's or ours, but ours not beyond
//   llama.cpp's worst position. (One of two draws alone is too poor a guess of a position's
//   scale: with llama.cpp's, 1 of some 16,000 clear leaders was lost, at a position where ours,
//   llama.cpp's and even f32 weights see several times the usual error.) With plain float weights
//   two logits can each move by the largest difference allowed.
//
// Figures of what this gives: bench/NOTES.md.

export const SEEDS = [1, 2, 3, 4, 5];
export const FLOAT_TOLERANCE = 1e-3;
export const KL_TOLERANCE = 1e-3;
export const NOISE = 3;
export const NOISE_MOST = 0.25;

function* positions({values, nVocab}) {
    for (let at = 0; at < values.length; at += nVocab)
        yield values.subarray(at, at + nVocab);
}

function logSumExp(logits) {
    let top = -Infinity;
    for (const x of logits)
        top = Math.max(top, x);
    let sum = 0;
    for (const x of logits)
        sum += Math.exp(x - top);
    return top + Math.log(sum);
}

function leader(logits) {
    let best = 0, second = -Infinity;
    for (let i = 1; i < logits.length; i++) {
        if (logits[i] > logits[best]) {
            second = logits[best];
            best = i;
        } else if (logits[i] > second)
            second = logits[i];
    }
    return {token: best, margin: logits[best] - second};
}

// The largest difference at one position, and the range it is a share of.
function difference(a, b) {
    let shift = 0, low = Infinity, high = -Infinity, worst = 0;
    for (let i = 0; i < a.length; i++) {
        shift += (a[i] - b[i]) / a.length;
        low = Math.min(low, b[i]);
        high = Math.max(high, b[i]);
    }
    for (let i = 0; i < a.length; i++) {
        const off = Math.abs(a[i] - b[i] - shift);
        worst = off <= worst ? worst : off; // NaN counts as worse
    }
    return {worst, range: high - low};
}

// KL(p || q) at one position, p of `a`.
function divergence(a, b) {
    const normA = logSumExp(a), normB = logSumExp(b);
    let total = 0;
    for (let i = 0; i < a.length; i++)
        total += Math.exp(a[i] - normA) * (a[i] - normA - b[i] + normB);
    return total;
}

const mean = (numbers) => numbers.reduce((a, b) => a + b, 0) / numbers.length;

function standardError(numbers) {
    const middle = mean(numbers);
    const squares = numbers.map((x) => (x - middle) ** 2);
    return Math.sqrt(squares.reduce((a, b) => a + b, 0) / (numbers.length - 1) / numbers.length);
}

const most = (numbers) => numbers.reduce((a, b) => b <= a ? a : b, 0); // NaN counts as more

// Figures of one model, position by position.
export function measure(ours, reference, own, isFloat) {
    if (ours.nVocab !== reference.nVocab || ours.values.length !== reference.values.length)
        return undefined;
    const at = [], references = positions(reference), owns = positions(own);
    for (const a of positions(ours)) {
        const b = references.next().value, c = owns.next().value, lead = leader(b);
        const mine = difference(a, b), theirs = difference(c, b);
        at.push({
            margin: lead.margin, kept: leader(a).token === lead.token, range: mine.range,
            share: mine.worst / mine.range, ownShare: theirs.worst / mine.range,
            kl: divergence(a, b), ownKl: divergence(c, b)
        });
    }
    return {
        at, isFloat, kl: mean(at.map(({kl}) => kl)), ownKl: mean(at.map(({ownKl}) => ownKl)),
        share: most(at.map(({share}) => share)), ownShare: most(at.map(({ownShare}) => ownShare))
    };
}

// figures: ours; owns: llama.cpp's, model by model.
function allowed(figures, owns, tolerance) {
    const bound = Math.max(tolerance, mean(owns));
    const noise = figures.length < SEEDS.length ? 0
        : NOISE * standardError(figures.map((figure, i) => figure - owns[i]));
    return {bound, margin: Math.min(noise, NOISE_MOST * bound)};
}

function lostLeaders(models, bound) {
    let lost = 0, clear = 0;
    const worstOwn = most(models.flatMap(({at}) => at.map(({ownKl}) => ownKl)));
    for (const {at, isFloat} of models) {
        for (const {margin, range, kept, kl, ownKl, ownShare} of at) {
            const epsilon = isFloat ? 2 * Math.max(bound, ownShare) * range
                : 8 * Math.sqrt(Math.max(bound, ownKl, Math.min(kl, worstOwn)));
            if (margin > epsilon) {
                clear++;
                lost += kept ? 0 : 1;
            }
        }
    }
    return {lost, clear};
}

const short = (number) => number.toExponential(2);

// models: what measure() gave, one for each seed. lines: the figures, for people.
export function judge(models) {
    if (models.length === 0 || models.includes(undefined))
        return {faults: ["different shapes"], lines: ["different shapes"]};
    const {isFloat} = models[0];
    const [name, ownName, tolerance, what] = isFloat
        ? ["share", "ownShare", FLOAT_TOLERANCE, "off by (share of the range)"]
        : ["kl", "ownKl", KL_TOLERANCE, "divergence (nats)"];
    const ours = models.map((model) => model[name]), owns = models.map((model) => model[ownName]);
    const {bound, margin} = allowed(ours, owns, tolerance);
    const {lost, clear} = lostLeaders(models, bound);
    const faults = [], limit = `${short(bound)} + ${short(margin)}`;
    if (!(mean(ours) <= bound + margin))
        faults.push(`${what} ${short(mean(ours))}, allowed ${limit}`);
    if (lost > 0)
        faults.push(`${lost} of ${clear} clear leaders are lost`);
    const lines = ours.map((figure, i) =>
        `model ${i + 1}: ${what} ${short(figure)}, llama.cpp ${short(owns[i])}`);
    lines.push(`mean of ${ours.length}: ${what} ${short(mean(ours))}, ` +
        `llama.cpp ${short(mean(owns))}, allowed ${limit}; ${lost} of ${clear} clear leaders lost`);
    return {faults, lines};
}
