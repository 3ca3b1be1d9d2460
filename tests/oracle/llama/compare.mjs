// When two sets of logits count as the same model.
//
// Both are {values: [positions][nVocab] f32, nVocab}. A constant added to all logits of a position
// is invisible to the softmax and removed before comparing.

// Plain float weights: no logit may be off by more than this share of the range of logits at its
// position.
export const FLOAT_TOLERANCE = 1e-3;
// Quantised weights: mean Kullback-Leibler divergence from the same weights in f32, in nats. Where
// llama.cpp itself is further off on the same file, its own divergence is the bound.
export const KL_TOLERANCE = 1e-3;
// The most probable token must be the same where it leads by at least this much (logits).
export const FLOAT_MARGIN = 0.02;
export const QUANTISED_MARGIN = 0.4;

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

// Largest difference over all positions, as a share of the reference's range at that position.
export function worstShare(ours, reference) {
    let worst = 0;
    const others = positions(reference);
    for (const a of positions(ours)) {
        const b = others.next().value;
        let shift = 0, low = Infinity, high = -Infinity;
        for (let i = 0; i < a.length; i++) {
            shift += a[i] - b[i];
            low = Math.min(low, b[i]);
            high = Math.max(high, b[i]);
        }
        shift /= a.length;
        for (let i = 0; i < a.length; i++) {
            const share = Math.abs(a[i] - b[i] - shift) / (high - low);
            worst = share <= worst ? worst : share; // NaN counts as worse
        }
    }
    return worst;
}

// Mean over positions of KL(p || q), p of `ours`.
export function divergence(ours, reference) {
    let total = 0, n = 0;
    const others = positions(reference);
    for (const a of positions(ours)) {
        const b = others.next().value;
        const normA = logSumExp(a), normB = logSumExp(b);
        for (let i = 0; i < a.length; i++)
            total += Math.exp(a[i] - normA) * (a[i] - normA - b[i] + normB);
        n++;
    }
    return total / n;
}

// Positions whose most probable token differs although the reference's leads by `margin`, and how
// many positions had such a lead.
export function lostLeaders(ours, reference, margin) {
    let lost = 0, clear = 0;
    const others = positions(reference);
    for (const a of positions(ours)) {
        const lead = leader(others.next().value);
        if (lead.margin >= margin) {
            clear++;
            lost += leader(a).token !== lead.token ? 1 : 0;
        }
    }
    return {lost, clear};
}

// own: llama.cpp on the quantised file itself; absent for plain float weights.
export function judge(ours, reference, own) {
    const faults = [];
    if (ours.nVocab !== reference.nVocab || ours.values.length !== reference.values.length)
        return {faults: ["different shapes"], summary: "different shapes"};
    const kl = divergence(ours, reference);
    const share = worstShare(ours, reference);
    const margin = own ? QUANTISED_MARGIN : FLOAT_MARGIN;
    const {lost, clear} = lostLeaders(ours, reference, margin);
    const ownKl = own ? divergence(own, reference) : 0;
    if (own && !(kl <= Math.max(KL_TOLERANCE, ownKl)))
        faults.push(`divergence ${kl.toExponential(2)} nats, llama.cpp ${ownKl.toExponential(2)}`);
    if (!own && !(share <= FLOAT_TOLERANCE))
        faults.push(`a logit is off by ${share.toExponential(2)} of the range`);
    if (lost > 0)
        faults.push(`${lost} of ${clear} clear leaders are lost`);
    const theirs = own ? ` (llama.cpp ${ownKl.toExponential(2)})` : "";
    const summary = `off by ${share.toExponential(1)} of the range, ` +
        `divergence ${kl.toExponential(2)}${theirs}, ${clear} clear leaders`;
    return {faults, summary};
}
