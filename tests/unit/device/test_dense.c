/* What would break if a product, norm, gate, loss or optimiser of training computed something else
 * than a textbook says, or its backward half something else than the derivative of that.
 *
 * Tolerances are of the largest value of an array. A sum of k f32 products is off by about
 * sqrt(k) 2^-24 of the largest, 1.4e-6 for the longest sum here, and what has no long sum by a few
 * 2^-24: 4e-6 leaves room for both, while a dropped term or factor is off by far more. */
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
#include "tensor/f16.h"

static const double value_tolerance = 4e-6, gradient_tolerance = 4e-6;

/* ---- products ---- */

struct size3 {
    size_t m, n, k;
};

/* One panel and less, edges of 8 rows and 32 columns, sums longer than a block of 256 words. */
static const struct size3 product_sizes[] = {
    {1, 1, 1}, {8, 32, 16}, {7, 31, 5}, {37, 70, 300}, {130, 33, 9}, {5, 200, 64}, {9, 33, 523},
};
enum { PRODUCT_SIZES = sizeof product_sizes / sizeof *product_sizes, GAP = 3 };

/* C = A B with every stride GAP longer than its rows: what lies between must stay as it is. */
struct product {
    struct tw_gemm gemm;
    size_t n_a, n_b, n_c; /* values of the arrays, gaps included */
    float *a, *b, *dc;
    double *wide_a, *wide_b, *wide_dc; /* as the format rounds them */
};

/* Value i of vector v. */
static double value_of(const double *x, size_t stride, bool across, size_t v, size_t i)
{
    return across ? x[i * stride + v] : x[v * stride + i];
}

static double dot_of(const struct product *p, size_t row, size_t column)
{
    const struct tw_gemm *g = &p->gemm;
    double sum = 0;
    for (size_t i = 0; i < g->k; i++) {
        sum += value_of(p->wide_a, g->a_stride, g->a_across, row, i) *
               value_of(p->wide_b, g->b_stride, g->b_across, column, i);
    }
    return sum;
}

static double *widened_as(enum tw_gemm_format format, const float *x, size_t n)
{
    double *wide = dense_widened(x, n);
    for (size_t i = 0; format == TW_GEMM_BF16 && i < n; i++) {
        wide[i] = (double)tw_bf16_to_f32(tw_f32_to_bf16(x[i]));
    }
    return wide;
}

static struct product product_open(const struct size3 *size, enum tw_gemm_format format,
                                   bool a_across, bool b_across)
{
    struct product p = {.gemm = {.format = format,
                                 .m = size->m,
                                 .n = size->n,
                                 .k = size->k,
                                 .a_across = a_across,
                                 .b_across = b_across,
                                 .a_stride = (a_across ? size->m : size->k) + GAP,
                                 .b_stride = (b_across ? size->n : size->k) + GAP,
                                 .c_stride = size->n + GAP}};
    p.n_a = (a_across ? size->k : size->m) * p.gemm.a_stride;
    p.n_b = (b_across ? size->k : size->n) * p.gemm.b_stride;
    p.n_c = size->m * p.gemm.c_stride;
    p.a = dense_random(1, p.n_a, 1);
    p.b = dense_random(2, p.n_b, 1);
    p.dc = dense_random(3, p.n_c, 1);
    p.wide_a = widened_as(format, p.a, p.n_a);
    p.wide_b = widened_as(format, p.b, p.n_b);
    p.wide_dc = widened_as(format, p.dc, p.n_c);
    p.gemm.a = p.a;
    p.gemm.b = p.b;
    return p;
}

static void product_close(struct product *p)
{
    void *all[] = {p->a, p->b, p->dc, p->wide_a, p->wide_b, p->wide_dc};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tw_mem_free(all[i]);
    }
}

static struct dense_world world_for_products(void)
{
    struct tw_dense_limits limits = {0};
    for (size_t i = 0; i < PRODUCT_SIZES; i++) {
        const struct size3 *s = &product_sizes[i];
        size_t words[] = {
            tw_dense_gemm_words(s->m, s->n, s->k), tw_dense_gemm_words(s->m, s->k, s->n),
            tw_dense_gemm_words(s->k, s->m, s->n), tw_dense_gemm_words(s->n, s->k, s->m),
            tw_dense_gemm_words(s->k, s->n, s->m)};
        for (size_t j = 0; j < sizeof words / sizeof *words; j++) {
            limits.n_gemm_words = words[j] > limits.n_gemm_words ? words[j] : limits.n_gemm_words;
        }
    }
    return dense_world_open(&limits);
}

enum beginning { FROM_ZERO, FROM_ANOTHER, FROM_ITSELF, BEGINNINGS };

static void check_product(struct dense_world *w, struct product *p, enum beginning beginning)
{
    float *c0 = dense_random(4, p->n_c, 1), *c = dense_copy(c0, p->n_c);
    if (beginning != FROM_ITSELF) {
        memset(c, 0, p->n_c * sizeof *c);
    }
    double *want = dense_widened(c, p->n_c);
    for (size_t row = 0; row < p->gemm.m; row++) {
        for (size_t column = 0; column < p->gemm.n; column++) {
            size_t at = row * p->gemm.c_stride + column;
            want[at] = beginning == FROM_ZERO ? 0 : (double)c0[at];
            want[at] += dot_of(p, row, column);
        }
    }
    p->gemm.c = c;
    p->gemm.c0 = beginning == FROM_ZERO ? NULL : beginning == FROM_ITSELF ? c : c0;
    tw_dense_gemm(w->dense, &p->gemm);
    dense_check_values("c", c, want, p->n_c, value_tolerance);
    tw_mem_free(want);
    tw_mem_free(c);
    tw_mem_free(c0);
}

/* Calls check with every size, format and orientation. */
static void for_products(void (*check)(struct dense_world *w, struct product *p))
{
    struct dense_world w = world_for_products();
    for (size_t i = 0; i < PRODUCT_SIZES; i++) {
        for (int kind = 0; kind < 4 * TW_GEMM_FORMAT_COUNT; kind++) {
            struct product p = product_open(&product_sizes[i], (enum tw_gemm_format)(kind / 4),
                                            (kind & 1) != 0, (kind & 2) != 0);
            check(&w, &p);
            product_close(&p);
        }
    }
    dense_world_close(&w);
}

static void check_beginnings(struct dense_world *w, struct product *p)
{
    for (int beginning = 0; beginning < BEGINNINGS; beginning++) {
        check_product(w, p, (enum beginning)beginning);
    }
}

static void test_a_product_is_the_sum_of_products_however_its_sides_lie(void **state)
{
    (void)state;
    for_products(check_beginnings);
}

/* The sum of dC C over the row of C that an entry of A belongs to. */
static double loss_by_a(const void *context, size_t entry)
{
    const struct product *p = context;
    const struct tw_gemm *g = &p->gemm;
    size_t row = g->a_across ? entry % g->a_stride : entry / g->a_stride;
    double sum = 0;
    for (size_t column = 0; row < g->m && column < g->n; column++) {
        sum += p->wide_dc[row * g->c_stride + column] * dot_of(p, row, column);
    }
    return sum;
}

static double loss_by_b(const void *context, size_t entry)
{
    const struct product *p = context;
    const struct tw_gemm *g = &p->gemm;
    size_t column = g->b_across ? entry % g->b_stride : entry / g->b_stride;
    double sum = 0;
    for (size_t row = 0; column < g->n && row < g->m; row++) {
        sum += p->wide_dc[row * g->c_stride + column] * dot_of(p, row, column);
    }
    return sum;
}

/* dA(m, k) = sum over n of dC(m, n) B(n, k), laid out as A is. */
static struct tw_gemm product_for_a(const struct product *p, float *da)
{
    const struct tw_gemm *g = &p->gemm;
    struct tw_gemm back = {.format = g->format, .k = g->n, .c = da, .c_stride = g->a_stride};
    if (g->a_across) {
        back.m = g->k;
        back.n = g->m;
        back.a = g->b;
        back.a_stride = g->b_stride;
        back.a_across = !g->b_across;
        back.b = p->dc;
        back.b_stride = g->c_stride;
    } else {
        back.m = g->m;
        back.n = g->k;
        back.a = p->dc;
        back.a_stride = g->c_stride;
        back.b = g->b;
        back.b_stride = g->b_stride;
        back.b_across = !g->b_across;
    }
    return back;
}

/* dB(n, k) = sum over m of dC(m, n) A(m, k), laid out as B is. */
static struct tw_gemm product_for_b(const struct product *p, float *db)
{
    const struct tw_gemm *g = &p->gemm;
    struct tw_gemm back = {.format = g->format, .k = g->m, .c = db, .c_stride = g->b_stride};
    if (g->b_across) {
        back.m = g->k;
        back.n = g->n;
        back.a = g->a;
        back.a_stride = g->a_stride;
        back.a_across = !g->a_across;
        back.b = p->dc;
        back.b_stride = g->c_stride;
        back.b_across = true;
    } else {
        back.m = g->n;
        back.n = g->k;
        back.a = p->dc;
        back.a_stride = g->c_stride;
        back.a_across = true;
        back.b = g->a;
        back.b_stride = g->a_stride;
        back.b_across = !g->a_across;
    }
    return back;
}

static void check_product_gradients(struct dense_world *w, struct product *p)
{
    float *da = dense_filled(p->n_a, 0), *db = dense_filled(p->n_b, 0);
    struct tw_gemm for_a = product_for_a(p, da), for_b = product_for_b(p, db);
    tw_dense_gemm(w->dense, &for_a);
    tw_dense_gemm(w->dense, &for_b);
    struct dense_input a = {.name = "da", .values = p->wide_a, .gradient = da, .n = p->n_a};
    struct dense_input b = {.name = "db", .values = p->wide_b, .gradient = db, .n = p->n_b};
    dense_check_gradient(&a, loss_by_a, p, 50, gradient_tolerance);
    dense_check_gradient(&b, loss_by_b, p, 50, gradient_tolerance);
    tw_mem_free(db);
    tw_mem_free(da);
}

static void test_the_gradients_of_a_product_are_its_differences(void **state)
{
    (void)state;
    for_products(check_product_gradients);
}

/* ---- rows ---- */

/* 130 rows are two chunks of 64 and a rest; width is not a multiple of 16. eps is large and a row
 * small, so that leaving eps out shows. */
enum { NORM_ROWS = 130, NORM_WIDTH = 50, NORM_VALUES = NORM_ROWS * NORM_WIDTH };
static const float norm_eps = 0.01f;

struct norm {
    double *x, *weight, *dy;
};

static double norm_value(const struct norm *t, size_t row, size_t column)
{
    const double *x = t->x + row * NORM_WIDTH;
    double squares = 0;
    for (size_t i = 0; i < NORM_WIDTH; i++) {
        squares += x[i] * x[i];
    }
    return x[column] / sqrt(squares / NORM_WIDTH + (double)norm_eps) * t->weight[column];
}

static double norm_loss_by_x(const void *context, size_t entry)
{
    const struct norm *t = context;
    size_t row = entry / NORM_WIDTH;
    double sum = 0;
    for (size_t i = 0; i < NORM_WIDTH; i++) {
        sum += t->dy[row * NORM_WIDTH + i] * norm_value(t, row, i);
    }
    return sum;
}

static double norm_loss_by_weight(const void *context, size_t entry)
{
    const struct norm *t = context;
    double sum = 0;
    for (size_t row = 0; row < NORM_ROWS; row++) {
        sum += t->dy[row * NORM_WIDTH + entry] * norm_value(t, row, entry);
    }
    return sum;
}

static void test_a_norm_and_its_gradients_are_those_of_a_textbook(void **state)
{
    (void)state;
    struct tw_dense_limits limits = {.n_tokens = NORM_ROWS, .n_width = NORM_WIDTH};
    struct dense_world w = dense_world_open(&limits);
    float *x = dense_random(1, NORM_VALUES, 1), *weight = dense_random(2, NORM_WIDTH, 1);
    for (size_t i = 0; i < NORM_WIDTH; i++) {
        x[i] *= 0.05f;
    }
    float *dy = dense_random(3, NORM_VALUES, 1), *y = dense_filled(NORM_VALUES, 0);
    float *dx = dense_filled(NORM_VALUES, 0.5f), *dweight = dense_filled(NORM_WIDTH, 2);
    struct norm t = {.x = dense_widened(x, NORM_VALUES),
                     .weight = dense_widened(weight, NORM_WIDTH),
                     .dy = dense_widened(dy, NORM_VALUES)};
    double *want = dense_widened(y, NORM_VALUES);
    for (size_t i = 0; i < NORM_VALUES; i++) {
        want[i] = norm_value(&t, i / NORM_WIDTH, i % NORM_WIDTH);
    }
    tw_dense_rms_norm(w.dense, x, weight, NORM_ROWS, NORM_WIDTH, norm_eps, y);
    dense_check_values("y", y, want, NORM_VALUES, value_tolerance);
    tw_dense_rms_norm_backward(w.dense, x, weight, dy, NORM_ROWS, NORM_WIDTH, norm_eps, dx,
                               dweight);
    struct dense_input inputs[] = {
        {.name = "dx", .values = t.x, .gradient = dx, .start = 0.5f, .n = NORM_VALUES},
        {.name = "dweight", .values = t.weight, .gradient = dweight, .start = 2, .n = NORM_WIDTH},
    };
    dense_check_gradient(&inputs[0], norm_loss_by_x, &t, NORM_VALUES, gradient_tolerance);
    dense_check_gradient(&inputs[1], norm_loss_by_weight, &t, NORM_WIDTH, gradient_tolerance);
    void *all[] = {x, weight, dy, y, dx, dweight, t.x, t.weight, t.dy, want};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tw_mem_free(all[i]);
    }
    dense_world_close(&w);
}

enum { GATE_ROWS = 9, GATE_WIDTH = 37, GATE_VALUES = GATE_ROWS * GATE_WIDTH };

struct gate {
    double *gate_up, *dy;
};

static double gated(const struct gate *t, size_t row, size_t column)
{
    const double *gate = t->gate_up + 2 * row * GATE_WIDTH + column;
    return gate[0] / (1 + exp(-gate[0])) * gate[GATE_WIDTH];
}

static double gate_loss(const void *context, size_t entry)
{
    const struct gate *t = context;
    size_t row = entry / (2 * GATE_WIDTH), column = entry % GATE_WIDTH; /* of gate or up */
    return t->dy[row * GATE_WIDTH + column] * gated(t, row, column);
}

static void test_a_gate_and_its_gradients_are_those_of_a_textbook(void **state)
{
    (void)state;
    struct tw_dense_limits limits = {0};
    struct dense_world w = dense_world_open(&limits);
    float *gate_up = dense_random(1, 2 * GATE_VALUES, 3), *dy = dense_random(2, GATE_VALUES, 1);
    float *y = dense_filled(GATE_VALUES, 0);
    struct gate t = {.gate_up = dense_widened(gate_up, 2 * GATE_VALUES),
                     .dy = dense_widened(dy, GATE_VALUES)};
    double *want = dense_widened(y, GATE_VALUES);
    for (size_t i = 0; i < GATE_VALUES; i++) {
        want[i] = gated(&t, i / GATE_WIDTH, i % GATE_WIDTH);
    }
    tw_dense_silu_mul(w.dense, gate_up, GATE_ROWS, GATE_WIDTH, y);
    dense_check_values("y", y, want, GATE_VALUES, value_tolerance);
    tw_dense_silu_mul_backward(w.dense, gate_up, dy, GATE_ROWS, GATE_WIDTH);
    struct dense_input input = {
        .name = "dgate_up", .values = t.gate_up, .gradient = gate_up, .n = 2 * GATE_VALUES};
    dense_check_gradient(&input, gate_loss, &t, 2 * GATE_VALUES, gradient_tolerance);
    void *all[] = {gate_up, dy, y, t.gate_up, t.dy, want};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tw_mem_free(all[i]);
    }
    dense_world_close(&w);
}

enum { TABLE_ROWS = 11, TABLE_WIDTH = 40, LOOKUPS = 29 };

struct lookup {
    int32_t tokens[LOOKUPS];
    double *table, *dx;
};

static double lookup_loss(const void *context, size_t entry)
{
    (void)entry;
    const struct lookup *t = context;
    double sum = 0;
    for (size_t i = 0; i < LOOKUPS * TABLE_WIDTH; i++) {
        size_t token = (size_t)t->tokens[i / TABLE_WIDTH];
        sum += t->dx[i] * t->table[token * TABLE_WIDTH + i % TABLE_WIDTH];
    }
    return sum;
}

static void test_a_lookup_gives_rows_and_takes_their_gradients(void **state)
{
    (void)state;
    struct tw_dense_limits limits = {0};
    struct dense_world w = dense_world_open(&limits);
    float *table = dense_random(1, TABLE_ROWS * TABLE_WIDTH, 1);
    float *dx = dense_random(2, LOOKUPS * TABLE_WIDTH, 1),
          *x = dense_filled(LOOKUPS * TABLE_WIDTH, 0);
    float *dtable = dense_filled(TABLE_ROWS * TABLE_WIDTH, 1);
    struct lookup t = {.table = dense_widened(table, TABLE_ROWS * TABLE_WIDTH),
                       .dx = dense_widened(dx, LOOKUPS * TABLE_WIDTH)};
    for (size_t i = 0; i < LOOKUPS; i++) {
        t.tokens[i] = (int32_t)(i * i % (TABLE_ROWS - 1)); /* some often, the last never */
    }
    tw_dense_embed(w.dense, table, t.tokens, LOOKUPS, TABLE_WIDTH, x);
    for (size_t i = 0; i < LOOKUPS; i++) {
        assert_memory_equal(x + i * TABLE_WIDTH, table + (size_t)t.tokens[i] * TABLE_WIDTH,
                            TABLE_WIDTH * sizeof *x);
    }
    tw_dense_embed_backward(w.dense, dx, t.tokens, LOOKUPS, TABLE_WIDTH, dtable);
    struct dense_input input = {.name = "dtable",
                                .values = t.table,
                                .gradient = dtable,
                                .start = 1,
                                .n = TABLE_ROWS * TABLE_WIDTH};
    dense_check_gradient(&input, lookup_loss, &t, TABLE_ROWS * TABLE_WIDTH, gradient_tolerance);
    void *all[] = {table, dx, x, dtable, t.table, t.dx};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tw_mem_free(all[i]);
    }
    dense_world_close(&w);
}

enum { LOSS_ROWS = 9, LOSS_VOCAB = 77, LOSS_VALUES = LOSS_ROWS * LOSS_VOCAB };
static const float loss_scale = 0.375f;

struct loss {
    int32_t targets[LOSS_ROWS];
    double *logits;
};

static double loss_of_row(const struct loss *t, size_t row)
{
    const double *z = t->logits + row * LOSS_VOCAB;
    double largest = z[0], sum = 0;
    for (size_t i = 1; i < LOSS_VOCAB; i++) {
        largest = fmax(largest, z[i]);
    }
    for (size_t i = 0; i < LOSS_VOCAB; i++) {
        sum += exp(z[i] - largest);
    }
    return log(sum) + largest - z[t->targets[row]];
}

static double scaled_loss(const void *context, size_t entry)
{
    return (double)loss_scale * loss_of_row(context, entry / LOSS_VOCAB);
}

/* Exponents are rounded where they are as large as the largest logit: 2^-24 of it. */
static double loss_tolerance(const struct loss *t, size_t row)
{
    double largest = 0;
    for (size_t i = 0; i < LOSS_VOCAB; i++) {
        largest = fmax(largest, fabs(t->logits[row * LOSS_VOCAB + i]));
    }
    return 1e-6 + 0x1p-24 * largest;
}

static void test_a_loss_and_its_gradient_are_those_of_a_textbook(void **state)
{
    (void)state;
    struct tw_dense_limits limits = {0};
    struct dense_world w = dense_world_open(&limits);
    float *logits = dense_random(1, LOSS_VALUES, 2);
    struct loss t;
    for (size_t row = 0; row < LOSS_ROWS; row++) {
        t.targets[row] = (int32_t)(row * 9);
    }
    logits[LOSS_VOCAB + (size_t)t.targets[1]] = 90;     /* as good as certain */
    logits[2 * LOSS_VOCAB + 1] = 90;                    /* certain of something else */
    logits[3 * LOSS_VOCAB + (size_t)t.targets[3]] = 10; /* the best with another */
    logits[3 * LOSS_VOCAB + (size_t)t.targets[3] - 1] = 10;
    t.logits = dense_widened(logits, LOSS_VALUES);
    double losses[LOSS_ROWS];
    tw_dense_cross_entropy(w.dense, logits, t.targets, LOSS_ROWS, LOSS_VOCAB, loss_scale, losses);
    for (size_t row = 0; row < LOSS_ROWS; row++) {
        assert_true(fabs(losses[row] - loss_of_row(&t, row)) <= loss_tolerance(&t, row));
    }
    struct dense_input input = {
        .name = "dlogits", .values = t.logits, .gradient = logits, .n = LOSS_VALUES};
    dense_check_gradient(&input, scaled_loss, &t, LOSS_VALUES, gradient_tolerance);
    tw_mem_free(t.logits);
    tw_mem_free(logits);
    dense_world_close(&w);
}

/* ---- parameters ---- */

/* More than two of the chunks that threads share, and a rest. */
enum { PARAMETERS = 2 * 4096 + 1003, STEPS = 6 };

static void test_a_sum_of_squares_is_one(void **state)
{
    (void)state;
    struct tw_dense_limits limits = {.n_parameters = PARAMETERS};
    struct dense_world w = dense_world_open(&limits);
    float *x = dense_random(1, PARAMETERS, 1);
    const size_t sizes[] = {0, 1, 4096, 4097, PARAMETERS};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        double sum = 0;
        for (size_t j = 0; j < sizes[i]; j++) {
            sum += (double)x[j] * (double)x[j];
        }
        double got = tw_dense_sum_squares(w.dense, x, sizes[i]);
        assert_true(fabs(got - sum) <= 1e-6 * sum);
    }
    tw_mem_free(x);
    dense_world_close(&w);
}

struct adamw {
    double *weight, *m, *v;
};

/* Step t, from 1, of algorithm 2 of Loshchilov and Hutter. */
static void adamw_step(struct adamw *a, const struct tw_adamw_step *s, int t, const float *gradient)
{
    double beta1 = (double)s->beta1, beta2 = (double)s->beta2;
    for (size_t i = 0; i < PARAMETERS; i++) {
        double g = (double)gradient[i] * (double)s->gradient_scale;
        a->m[i] = beta1 * a->m[i] + (1 - beta1) * g;
        a->v[i] = beta2 * a->v[i] + (1 - beta2) * g * g;
        double m = a->m[i] / (1 - pow(beta1, t)), v = a->v[i] / (1 - pow(beta2, t));
        double change = m / (sqrt(v) + (double)s->epsilon) + (double)s->weight_decay * a->weight[i];
        a->weight[i] -= (double)s->learning_rate * change;
    }
}

/* Weights move by up to 1e-2 a step; they are compared within 1e-6. */
static void test_adamw_takes_the_steps_of_the_paper(void **state)
{
    (void)state;
    struct tw_dense_limits limits = {.n_parameters = PARAMETERS};
    struct dense_world w = dense_world_open(&limits);
    float *weight = dense_random(1, PARAMETERS, 1);
    float *m = dense_filled(PARAMETERS, 0), *v = dense_filled(PARAMETERS, 0);
    struct adamw a = {.weight = dense_widened(weight, PARAMETERS),
                      .m = dense_widened(m, PARAMETERS),
                      .v = dense_widened(v, PARAMETERS)};
    struct tw_adamw_step step = {.learning_rate = 1e-2f,
                                 .beta1 = 0.9f,
                                 .beta2 = 0.95f,
                                 .epsilon = 1e-3f, /* large enough to be seen */
                                 .weight_decay = 0.1f,
                                 .gradient_scale = 0.7f};
    for (int t = 1; t <= STEPS; t++) {
        float *gradient = dense_random(10 + (uint64_t)t, PARAMETERS, 0.1);
        step.m_scale = (float)(1 / (1 - pow((double)step.beta1, t)));
        step.v_scale = (float)(1 / (1 - pow((double)step.beta2, t)));
        tw_dense_adamw(w.dense, &step, gradient, PARAMETERS, weight, m, v);
        adamw_step(&a, &step, t, gradient);
        dense_check_values("m", m, a.m, PARAMETERS, 1e-6);
        dense_check_values("v", v, a.v, PARAMETERS, 1e-6);
        dense_check_values("weight", weight, a.weight, PARAMETERS, 1e-6);
        tw_mem_free(gradient);
    }
    void *all[] = {weight, m, v, a.weight, a.m, a.v};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tw_mem_free(all[i]);
    }
    dense_world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_product_is_the_sum_of_products_however_its_sides_lie),
        cmocka_unit_test(test_the_gradients_of_a_product_are_its_differences),
        cmocka_unit_test(test_a_norm_and_its_gradients_are_those_of_a_textbook),
        cmocka_unit_test(test_a_gate_and_its_gradients_are_those_of_a_textbook),
        cmocka_unit_test(test_a_lookup_gives_rows_and_takes_their_gradients),
        cmocka_unit_test(test_a_loss_and_its_gradient_are_those_of_a_textbook),
        cmocka_unit_test(test_a_sum_of_squares_is_one),
        cmocka_unit_test(test_adamw_takes_the_steps_of_the_paper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
