#include "engine/cutoff.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Below this distance from the best a weight is 0 (softmax.h). */
#define LOWEST_DISTANCE -87.0f

/* The same expression as in softmax_rows.c, so that bucket and weight agree. */
static float distance(const struct tw_cutoff_row *row, float logit)
{
    return (logit - row->max) * row->inverse_temperature;
}

/* Buckets as narrow as the range of the tokens that are looked at. */
static float bucket_scale(const struct tw_cutoff_row *row, const struct tw_cutoff_workspace *w)
{
    float lowest = row->max;
    for (size_t i = 0; i < w->n_near; i++) {
        float logit = row->logits[w->near[i]];
        lowest = logit < lowest ? logit : lowest;
    }
    float range = distance(row, lowest);
    range = range > LOWEST_DISTANCE ? range : LOWEST_DISTANCE;
    return range < 0.0f ? (float)(TW_CUTOFF_BUCKETS - 1) / -range : 0.0f;
}

/* Monotone in the logit, so every bucket is a stretch of the order. */
static size_t bucket_of(const struct tw_cutoff_row *row, float scale, uint32_t token)
{
    float place = -distance(row, row->logits[token]) * scale;
    return place < (float)(TW_CUTOFF_BUCKETS - 1) ? (size_t)place : TW_CUTOFF_BUCKETS - 1;
}

static void fill_buckets(const struct tw_cutoff_row *row, float scale,
                         struct tw_cutoff_workspace *workspace)
{
    memset(workspace->counts, 0, sizeof workspace->counts);
    memset(workspace->masses, 0, sizeof workspace->masses);
    for (size_t i = 0; i < workspace->n_near; i++) {
        size_t bucket = bucket_of(row, scale, workspace->near[i]);
        workspace->counts[bucket]++;
        workspace->masses[bucket] += (double)row->weights[workspace->near[i]];
    }
}

static size_t gather_bucket(const struct tw_cutoff_row *row, float scale, size_t bucket,
                            struct tw_cutoff_workspace *workspace)
{
    size_t n = 0;
    for (size_t i = 0; i < workspace->n_near; i++) {
        uint32_t token = workspace->near[i];
        if (bucket_of(row, scale, token) == bucket) {
            workspace->candidates[n++] = (struct tw_candidate){row->logits[token], (tw_token)token};
        }
    }
    return n;
}

/* How far down the order one has come. */
struct descent {
    size_t bucket; /* the one to be cut */
    uint64_t count;
    double mass; /* count and mass before it */
};

/* Down whole buckets, while neither count nor mass is reached and a bucket with tokens follows. */
static struct descent descend(const struct tw_cutoff_workspace *workspace, uint64_t count,
                              double mass)
{
    struct descent descent = {0};
    size_t last = TW_CUTOFF_BUCKETS - 1;
    while (last > 0 && workspace->counts[last] == 0) {
        last--;
    }
    while (descent.bucket < last && descent.count + workspace->counts[descent.bucket] < count &&
           descent.mass + workspace->masses[descent.bucket] < mass) {
        descent.count += workspace->counts[descent.bucket];
        descent.mass += workspace->masses[descent.bucket];
        descent.bucket++;
    }
    return descent;
}

/* Token by token through the bucket, until count or mass is reached; at least one token. */
static struct tw_candidate cut_bucket(const struct tw_cutoff_row *row, float scale,
                                      struct tw_cutoff_workspace *workspace,
                                      struct descent *descent, uint64_t count, double mass)
{
    size_t left = gather_bucket(row, scale, descent->bucket, workspace);
    struct tw_candidate last;
    tw_select_order(workspace->candidates, left);
    do {
        last = tw_select_next(workspace->candidates, &left);
        descent->count++;
        descent->mass += (double)row->weights[last.token];
    } while (left > 0 && descent->count < count && descent->mass < mass);
    return last;
}

static double near_mass(const struct tw_cutoff_row *row,
                        const struct tw_cutoff_workspace *workspace)
{
    double mass = 0.0;
    for (size_t i = 0; i < workspace->n_near; i++) {
        mass += (double)row->weights[workspace->near[i]];
    }
    return mass;
}

/* Most rows are decided among a few hundred tokens near the best, so farther ones are looked at
 * only where those do not suffice. */
static void find_near(const struct tw_cutoff_row *row, uint32_t top_k, double top_p,
                      struct tw_cutoff_workspace *workspace)
{
    static const float least[] = {0x1p-10f, 0x1p-15f, 0x1p-22f, 0x1p-36f, FLT_MIN};
    for (size_t i = 0; i < sizeof least / sizeof least[0]; i++) {
        workspace->n_near = row->softmax->gather(row->weights, row->n, least[i], workspace->near);
        if (top_k != 0 ? workspace->n_near >= top_k
                       : near_mass(row, workspace) >= top_p * row->total) {
            return;
        }
    }
}

struct tw_candidate tw_cutoff_find(const struct tw_cutoff_row *row, uint32_t top_k, double top_p,
                                   struct tw_cutoff_workspace *workspace)
{
    find_near(row, top_k, top_p, workspace);
    float scale = bucket_scale(row, workspace);
    fill_buckets(row, scale, workspace);
    uint64_t count = top_k != 0 ? top_k : UINT64_MAX;
    double mass = row->total;
    if (top_k != 0) {
        struct descent descent = descend(workspace, count, INFINITY);
        struct tw_candidate last = cut_bucket(row, scale, workspace, &descent, count, INFINITY);
        mass = descent.mass;
        if (top_p >= 1.0) {
            return last;
        }
    }
    struct descent descent = descend(workspace, count, top_p * mass);
    return cut_bucket(row, scale, workspace, &descent, count, top_p * mass);
}
