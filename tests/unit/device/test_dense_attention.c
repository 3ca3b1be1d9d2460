/* What would break if norm, RoPE or attention of heads computed something else than a textbook
 * says, looked across documents or ahead, or had a backward half that is not its derivative.
 *
 * Tolerances are of the largest value of an array: f32 sums of up to 130 terms, three of them one
 * after the other, and powers of two within 2e-7 are some 1e-6 together; 4e-6 leaves room. With
 * bf16 products every factor is off by up to 2^-9, sums of them by as much or less: 1e-2. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "dense_fixture.h"

/* Documents around the 64 queries of a block, and the shortest. */
static const uint32_t starts[] = {0, 65, 66, 196, 260, 323};
enum { DOCUMENTS = 5, TOKENS = 323, LONGEST = 130, SAMPLES = 80 };
static const double rope_base = 10000, head_eps = 0.01, rotation_tolerance = 4e-6;

struct heads_case {
    size_t n_heads, n_kv_heads, head_dim;
    enum tw_gemm_format format;
    double tolerance;
};

/* Groups of 1, 2 and 4 query heads with heads of 16, 32 and 64; then heads that no panel fits, in a
 * group of 3, and bf16. */
static const struct heads_case heads_cases[] = {
    {2, 2, 16, TW_GEMM_F32, 4e-6}, {2, 2, 32, TW_GEMM_F32, 4e-6},  {2, 2, 64, TW_GEMM_F32, 4e-6},
    {4, 2, 16, TW_GEMM_F32, 4e-6}, {4, 2, 32, TW_GEMM_F32, 4e-6},  {4, 2, 64, TW_GEMM_F32, 4e-6},
    {8, 2, 16, TW_GEMM_F32, 4e-6}, {4, 1, 32, TW_GEMM_F32, 4e-6},  {4, 1, 64, TW_GEMM_F32, 4e-6},
    {3, 1, 42, TW_GEMM_F32, 4e-6}, {4, 2, 32, TW_GEMM_BF16, 1e-2}, {3, 1, 42, TW_GEMM_BF16, 1e-2},
};
enum { HEADS_CASES = sizeof heads_cases / sizeof *heads_cases };

/* Inputs, outputs and gradients of one case: f32, and the inputs in double. */
struct heads {
    const struct heads_case *of;
    size_t qk_width, qkv_width, q_width;
    struct tw_dense_heads f32;
    struct tw_dense_documents documents;
    float *q_norm, *k_norm, *tables[3];
    float *qkv, *qk, *out, *statistics, *dout, *dqk, *dqkv;
    double *wide_q_norm, *wide_k_norm, *wide_qkv, *wide_qk, *wide_dout, *wide_dqk;
};

static double angle_of(const struct heads *t, size_t position, size_t pair)
{
    return (double)position * pow(rope_base, -2.0 * (double)pair / (double)t->of->head_dim);
}

static void fill_tables(struct heads *t)
{
    size_t n_pairs = t->of->head_dim / 2;
    for (int i = 0; i < 3; i++) {
        t->tables[i] = dense_filled(LONGEST * n_pairs, 0);
    }
    for (size_t i = 0; i < LONGEST * n_pairs; i++) {
        double angle = angle_of(t, i / n_pairs, i % n_pairs);
        t->tables[0][i] = (float)cos(angle);
        t->tables[1][i] = (float)sin(angle);
        t->tables[2][i] = -(float)sin(angle);
    }
}

static struct heads heads_open(const struct heads_case *of)
{
    size_t dim = of->head_dim;
    struct heads t = {.of = of,
                      .q_width = of->n_heads * dim,
                      .qk_width = (of->n_heads + of->n_kv_heads) * dim,
                      .qkv_width = (of->n_heads + 2 * of->n_kv_heads) * dim,
                      .documents = {.starts = starts, .n_documents = DOCUMENTS}};
    fill_tables(&t);
    t.q_norm = dense_random(1, dim, 1);
    t.k_norm = dense_random(2, dim, 1);
    t.qkv = dense_random(3, TOKENS * t.qkv_width, 1);
    t.qk = dense_random(4, TOKENS * t.qk_width, 1);
    t.dout = dense_random(5, TOKENS * t.q_width, 1);
    t.dqk = dense_random(6, TOKENS * t.qk_width, 1);
    t.out = dense_filled(TOKENS * t.q_width, 0);
    t.statistics = dense_filled(TOKENS * of->n_heads * 2, 0);
    t.dqkv = dense_filled(TOKENS * t.qkv_width, 0);
    t.wide_q_norm = dense_widened(t.q_norm, dim);
    t.wide_k_norm = dense_widened(t.k_norm, dim);
    t.wide_qkv = dense_widened(t.qkv, TOKENS * t.qkv_width);
    t.wide_qk = dense_widened(t.qk, TOKENS * t.qk_width);
    t.wide_dout = dense_widened(t.dout, TOKENS * t.q_width);
    t.wide_dqk = dense_widened(t.dqk, TOKENS * t.qk_width);
    t.f32 = (struct tw_dense_heads){.n_heads = of->n_heads,
                                    .n_kv_heads = of->n_kv_heads,
                                    .head_dim = dim,
                                    .eps = (float)head_eps,
                                    .q_norm = t.q_norm,
                                    .k_norm = t.k_norm,
                                    .cosines = t.tables[0],
                                    .sines = t.tables[1],
                                    .back_sines = t.tables[2],
                                    .format = of->format};
    return t;
}

static void heads_close(struct heads *t)
{
    void *all[] = {t->q_norm,  t->k_norm,     t->tables[0],   t->tables[1],   t->tables[2],
                   t->qkv,     t->qk,         t->out,         t->dout,        t->dqk,
                   t->dqkv,    t->statistics, t->wide_q_norm, t->wide_k_norm, t->wide_qkv,
                   t->wide_qk, t->wide_dout,  t->wide_dqk};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tw_mem_free(all[i]);
    }
}

static struct dense_world world_for_heads(const struct heads_case *of)
{
    struct tw_dense_limits limits = {
        .n_tokens = TOKENS, .n_document_tokens = LONGEST, .n_head_dim = of->head_dim};
    return dense_world_open(&limits);
}

/* Columns [begin, end) of dqkv are about to be stored: what they held must not matter. */
static void scribble(struct heads *t, size_t begin, size_t end)
{
    for (size_t token = 0; token < TOKENS; token++) {
        for (size_t i = begin; i < end; i++) {
            t->dqkv[token * t->qkv_width + i] = 3;
        }
    }
}

static size_t document_of(size_t token)
{
    size_t document = 0;
    while (token >= starts[document + 1]) {
        document++;
    }
    return document;
}

/* ---- norm and RoPE ---- */

/* Value i of a head of q or k, which lies at x, normed and turned to its position. */
static double rotated(const struct heads *t, const double *x, const double *weight, size_t position,
                      size_t i)
{
    size_t dim = t->of->head_dim, half = dim / 2, pair = i % half;
    double squares = 0;
    for (size_t j = 0; j < dim; j++) {
        squares += x[j] * x[j];
    }
    double r = 1 / sqrt(squares / (double)dim + (double)(float)head_eps);
    double low = x[pair] * r * weight[pair], high = x[pair + half] * r * weight[pair + half];
    double angle = angle_of(t, position, pair);
    return i < half ? low * cos(angle) - high * sin(angle) : high * cos(angle) + low * sin(angle);
}

static double rotated_at(const struct heads *t, size_t token, size_t head, size_t i)
{
    const double *x = t->wide_qkv + token * t->qkv_width + head * t->of->head_dim;
    const double *weight = head < t->of->n_heads ? t->wide_q_norm : t->wide_k_norm;
    return rotated(t, x, weight, token - starts[document_of(token)], i);
}

static double rotation_loss_of_head(const struct heads *t, size_t token, size_t head)
{
    size_t dim = t->of->head_dim;
    double sum = 0;
    for (size_t i = 0; i < dim; i++) {
        sum += t->wide_dqk[token * t->qk_width + head * dim + i] * rotated_at(t, token, head, i);
    }
    return sum;
}

static double rotation_loss_by_qkv(const void *context, size_t entry)
{
    const struct heads *t = context;
    size_t head = entry % t->qkv_width / t->of->head_dim;
    return head < t->of->n_heads + t->of->n_kv_heads
               ? rotation_loss_of_head(t, entry / t->qkv_width, head)
               : 0;
}

static double rotation_loss_of_heads(const struct heads *t, size_t begin, size_t end)
{
    double sum = 0;
    for (size_t token = 0; token < TOKENS; token++) {
        for (size_t head = begin; head < end; head++) {
            sum += rotation_loss_of_head(t, token, head);
        }
    }
    return sum;
}

static double rotation_loss_by_q_norm(const void *context, size_t entry)
{
    (void)entry;
    const struct heads *t = context;
    return rotation_loss_of_heads(t, 0, t->of->n_heads);
}

static double rotation_loss_by_k_norm(const void *context, size_t entry)
{
    (void)entry;
    const struct heads *t = context;
    return rotation_loss_of_heads(t, t->of->n_heads, t->of->n_heads + t->of->n_kv_heads);
}

static void check_rotation(struct dense_world *w, struct heads *t)
{
    size_t dim = t->of->head_dim;
    double *want = dense_widened(t->qk, TOKENS * t->qk_width);
    for (size_t i = 0; i < TOKENS * t->qk_width; i++) {
        want[i] = rotated_at(t, i / t->qk_width, i % t->qk_width / dim, i % dim);
    }
    tw_dense_rotate(w->dense, &t->f32, &t->documents, t->qkv, t->qk);
    dense_check_values("qk", t->qk, want, TOKENS * t->qk_width, rotation_tolerance);
    tw_mem_free(want);
    scribble(t, 0, t->qk_width);
    float *dq_norm = dense_filled(dim, 2), *dk_norm = dense_filled(dim, -2);
    tw_dense_rotate_backward(w->dense, &t->f32, &t->documents, t->qkv, t->dqk, t->dqkv, dq_norm,
                             dk_norm);
    struct dense_input inputs[] = {
        {"dqkv", t->wide_qkv, t->dqkv, 0, TOKENS * t->qkv_width},
        {"dq_norm", t->wide_q_norm, dq_norm, 2, dim},
        {"dk_norm", t->wide_k_norm, dk_norm, -2, dim},
    };
    dense_check_gradient(&inputs[0], rotation_loss_by_qkv, t, 2000, rotation_tolerance);
    dense_check_gradient(&inputs[1], rotation_loss_by_q_norm, t, 6, rotation_tolerance);
    dense_check_gradient(&inputs[2], rotation_loss_by_k_norm, t, 6, rotation_tolerance);
    tw_mem_free(dk_norm);
    tw_mem_free(dq_norm);
}

/* ---- attention ---- */

/* What the head gives for a token: a mean of the values up to it, weighted by e^(q k / sqrt(dim)).
 * The sum of that times coefficients [head_dim]; where ret_out is not NULL, the mean itself. */
static double attended(const struct heads *t, size_t token, size_t head, double *ret_out)
{
    size_t dim = t->of->head_dim, first = starts[document_of(token)];
    size_t kv_head = head / (t->of->n_heads / t->of->n_kv_heads);
    const double *q = t->wide_qk + token * t->qk_width + head * dim;
    const double *coefficients = t->wide_dout + token * t->q_width + head * dim;
    double scores[LONGEST], largest = -INFINITY, total = 0, sum = 0;
    for (size_t i = first; i <= token; i++) {
        const double *k = t->wide_qk + i * t->qk_width + t->q_width + kv_head * dim;
        double dot = 0;
        for (size_t j = 0; j < dim; j++) {
            dot += q[j] * k[j];
        }
        scores[i - first] = dot / sqrt((double)dim);
        largest = fmax(largest, scores[i - first]);
    }
    for (size_t i = first; i <= token; i++) {
        scores[i - first] = exp(scores[i - first] - largest);
        total += scores[i - first];
    }
    for (size_t i = first; i <= token; i++) {
        const double *v = t->wide_qkv + i * t->qkv_width + t->qk_width + kv_head * dim;
        double weight = scores[i - first] / total;
        for (size_t j = 0; j < dim; j++) {
            sum += weight * v[j] * coefficients[j];
            if (ret_out != NULL) {
                ret_out[j] += weight * v[j];
            }
        }
    }
    return sum;
}

/* A key or value matters to the tokens of its document from its own on, in the heads of its
 * group. */
static double attention_loss_by_kv_head(const struct heads *t, size_t token, size_t kv_head)
{
    size_t group = t->of->n_heads / t->of->n_kv_heads, end = starts[document_of(token) + 1];
    double sum = 0;
    for (size_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
        for (size_t i = token; i < end; i++) {
            sum += attended(t, i, head, NULL);
        }
    }
    return sum;
}

static double attention_loss_by_qk(const void *context, size_t entry)
{
    const struct heads *t = context;
    size_t token = entry / t->qk_width, head = entry % t->qk_width / t->of->head_dim;
    return head < t->of->n_heads ? attended(t, token, head, NULL)
                                 : attention_loss_by_kv_head(t, token, head - t->of->n_heads);
}

static double attention_loss_by_qkv(const void *context, size_t entry)
{
    const struct heads *t = context;
    size_t n_rotated = t->of->n_heads + t->of->n_kv_heads;
    size_t token = entry / t->qkv_width, head = entry % t->qkv_width / t->of->head_dim;
    return head < n_rotated ? 0 : attention_loss_by_kv_head(t, token, head - n_rotated);
}

static void check_attention(struct dense_world *w, struct heads *t)
{
    size_t dim = t->of->head_dim;
    double *want = dense_widened(t->out, TOKENS * t->q_width);
    for (size_t token = 0; token < TOKENS; token++) {
        for (size_t head = 0; head < t->of->n_heads; head++) {
            attended(t, token, head, want + token * t->q_width + head * dim);
        }
    }
    tw_dense_attention(w->dense, &t->f32, &t->documents, t->qk, t->qkv, t->out, t->statistics);
    dense_check_values("out", t->out, want, TOKENS * t->q_width, t->of->tolerance);
    tw_mem_free(want);
    scribble(t, t->qk_width, t->qkv_width);
    tw_dense_attention_backward(w->dense, &t->f32, &t->documents, t->qk, t->qkv, t->out,
                                t->statistics, t->dout, t->dqk, t->dqkv);
    struct dense_input inputs[] = {
        {"dqk", t->wide_qk, t->dqk, 0, TOKENS * t->qk_width},
        {"dqkv", t->wide_qkv, t->dqkv, 0, TOKENS * t->qkv_width},
    };
    dense_check_gradient(&inputs[0], attention_loss_by_qk, t, SAMPLES, t->of->tolerance);
    dense_check_gradient(&inputs[1], attention_loss_by_qkv, t, SAMPLES, t->of->tolerance);
}

/* ---- tests ---- */

static void for_heads(void (*check)(struct dense_world *w, struct heads *t))
{
    for (size_t i = 0; i < HEADS_CASES; i++) {
        struct dense_world w = world_for_heads(&heads_cases[i]);
        struct heads t = heads_open(&heads_cases[i]);
        check(&w, &t);
        heads_close(&t);
        dense_world_close(&w);
    }
}

static void test_norm_and_rope_of_heads_and_their_gradients_are_those_of_a_textbook(void **state)
{
    (void)state;
    for_heads(check_rotation);
}

static void test_attention_and_its_gradients_are_those_of_a_textbook(void **state)
{
    (void)state;
    for_heads(check_attention);
}

/* One document at a time gives what all of them side by side give: bit for bit, and whatever lies
 * beyond the document in memory. */
static void test_attention_of_a_document_does_not_see_its_neighbours(void **state)
{
    (void)state;
    struct dense_world w = world_for_heads(&heads_cases[4]);
    struct heads t = heads_open(&heads_cases[4]);
    tw_dense_attention(w.dense, &t.f32, &t.documents, t.qk, t.qkv, t.out, t.statistics);
    tw_dense_attention_backward(w.dense, &t.f32, &t.documents, t.qk, t.qkv, t.out, t.statistics,
                                t.dout, t.dqk, t.dqkv);
    float *out = dense_filled(TOKENS * t.q_width, 0), *dqk = dense_copy(t.dqk, t.qk_width * TOKENS);
    float *dqkv = dense_filled(TOKENS * t.qkv_width, 0);
    float *statistics = dense_filled(TOKENS * t.of->n_heads * 2, 0);
    memset(dqk, 0, TOKENS * t.qk_width * sizeof *dqk);
    for (size_t i = 0; i < DOCUMENTS; i++) {
        const uint32_t ends[] = {0, starts[i + 1] - starts[i]};
        struct tw_dense_documents one = {.starts = ends, .n_documents = 1};
        size_t row = starts[i];
        const float *qk = t.qk + row * t.qk_width, *qkv = t.qkv + row * t.qkv_width;
        float *to = out + row * t.q_width, *its = statistics + row * 2 * t.of->n_heads;
        tw_dense_attention(w.dense, &t.f32, &one, qk, qkv, to, its);
        tw_dense_attention_backward(w.dense, &t.f32, &one, qk, qkv, to, its,
                                    t.dout + row * t.q_width, dqk + row * t.qk_width,
                                    dqkv + row * t.qkv_width);
    }
    assert_memory_equal(out, t.out, TOKENS * t.q_width * sizeof *out);
    assert_memory_equal(dqk, t.dqk, TOKENS * t.qk_width * sizeof *dqk);
    assert_memory_equal(dqkv, t.dqkv, TOKENS * t.qkv_width * sizeof *dqkv);
    float *all[] = {out, dqk, dqkv, statistics};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tw_mem_free(all[i]);
    }
    heads_close(&t);
    dense_world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm_and_rope_of_heads_and_their_gradients_are_those_of_a_textbook),
        cmocka_unit_test(test_attention_and_its_gradients_are_those_of_a_textbook),
        cmocka_unit_test(test_attention_of_a_document_does_not_see_its_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
