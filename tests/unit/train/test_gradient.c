/* What would break if the loss of a decoder, or its gradient by any weight, were something else
 * than a textbook says, or depended on threads, instruction sets or the neighbours of a document.
 *
 * Tolerances are of the largest gradient of a tensor. The sums of two layers one after the other
 * leave some 1e-6 of f32 rounding: 1e-5 for gradients, 1e-6 for losses. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "dense_fixture.h"
#include "textbook_decoder.h"

static const double gradient_tolerance = 1e-5, loss_tolerance = 1e-6;

/* ---- batches ---- */

enum { MOST_DOCUMENTS = 8 };

struct batch {
    int32_t tokens[TEXTBOOK_TOKENS];
    uint8_t is_target[TEXTBOOK_TOKENS];
    uint32_t starts[MOST_DOCUMENTS + 1];
    struct tw_train_batch of; /* views of the above */
};

enum targets { TARGETS_NONE, TARGETS_SOME, TARGETS_ALL };

/* A document's tokens and targets follow from its id. */
static void add_document(struct batch *b, uint32_t n_vocab, uint64_t id, uint32_t n_tokens,
                         enum targets targets)
{
    uint32_t first = b->starts[b->of.documents.n_documents];
    for (uint32_t i = 0; i < n_tokens; i++) {
        b->tokens[first + i] = (int32_t)(tw_rng_uniform(100 + id, i) * n_vocab);
        b->is_target[first + i] =
            i > 0 && (targets == TARGETS_ALL || (targets == TARGETS_SOME && i % 4 != 3));
    }
    b->of.documents.n_documents++;
    b->starts[b->of.documents.n_documents] = first + n_tokens;
    b->of.n_tokens = first + n_tokens;
    b->of.tokens = b->tokens;
    b->of.is_target = b->is_target;
    b->of.documents.starts = b->starts;
}

/* ---- a decoder ---- */

struct decoder {
    struct tw_parameters parameters;
    struct textbook book;
    struct tw_device *device;
    struct tw_gradient *gradient;
    float *weights, *gradients; /* [parameters.n_values] */
    double *wide_weights;
};

/* Weights that leave nothing in the shade: norms around 1, products of about the size of their
 * inputs. */
static void fill_weights(struct decoder *d)
{
    for (size_t i = 0; i < tw_parameters_count(&d->parameters); i++) {
        struct tw_parameter tensor = tw_parameters_tensor(&d->parameters, i);
        bool is_embedding = tensor.offset == d->parameters.embedding;
        double scale = tensor.is_vector ? 0.3
                       : is_embedding   ? 0.5
                                        : 1 / sqrt((double)tensor.n_columns);
        for (size_t j = 0; j < tensor.n_rows * tensor.n_columns; j++) {
            double value = scale * tw_rng_normal(7, tensor.offset + j);
            d->weights[tensor.offset + j] = (float)(tensor.is_vector ? 1 + value : value);
        }
    }
}

static void decoder_open_on(struct decoder *d, enum textbook_kind kind, int n_threads,
                            enum tw_cpu_level level, enum tw_gemm_format format)
{
    struct tw_model_shape shape = textbook_shape(kind);
    assert_int_equal(tw_parameters_init(&d->parameters, &shape, NULL), TW_OK);
    d->book = textbook_open(&d->parameters);
    assert_int_equal(tw_device_cpu_create(n_threads, level, &d->device, NULL), TW_OK);
    assert_int_equal(
        tw_gradient_create(d->device, &d->parameters, TEXTBOOK_TOKENS, format, &d->gradient, NULL),
        TW_OK);
    d->weights = dense_filled(d->parameters.n_values, 0);
    d->gradients = dense_filled(d->parameters.n_values, 0);
    fill_weights(d);
    d->wide_weights = dense_widened(d->weights, d->parameters.n_values);
}

static void decoder_open(struct decoder *d, enum textbook_kind kind, enum tw_gemm_format format)
{
    enum tw_cpu_level level;
    assert_int_equal(tw_cpu_choose(&level, NULL), TW_OK);
    decoder_open_on(d, kind, 2, level, format);
}

static void decoder_close(struct decoder *d)
{
    tw_mem_free(d->wide_weights);
    tw_mem_free(d->gradients);
    tw_mem_free(d->weights);
    tw_gradient_free(d->gradient);
    tw_device_free(d->device);
}

static void clear(struct decoder *d)
{
    memset(d->gradients, 0, d->parameters.n_values * sizeof *d->gradients);
}

/* Of every tensor: gradients are near `want`, within tolerance times its largest. */
static void check_near(const struct decoder *d, const double *want, double tolerance)
{
    for (size_t i = 0; i < tw_parameters_count(&d->parameters); i++) {
        struct tw_parameter tensor = tw_parameters_tensor(&d->parameters, i);
        dense_check_values(tensor.name, d->gradients + tensor.offset, want + tensor.offset,
                           tensor.n_rows * tensor.n_columns, tolerance);
    }
}

/* ---- the textbook ---- */

struct scaled_loss {
    const struct decoder *decoder;
    const struct batch *batch;
    float scale;
};

static double scaled_loss(const void *context, size_t entry)
{
    (void)entry;
    const struct scaled_loss *s = context;
    const struct decoder *d = s->decoder;
    return (double)s->scale * textbook_loss(&d->book, d->wide_weights, &s->batch->of);
}

static void check_tensor(const struct scaled_loss *s, size_t i, size_t n_samples)
{
    const struct decoder *d = s->decoder;
    struct tw_parameter tensor = tw_parameters_tensor(&d->parameters, i);
    struct dense_input input = {.name = tensor.name,
                                .values = d->wide_weights + tensor.offset,
                                .gradient = d->gradients + tensor.offset,
                                .n = tensor.n_rows * tensor.n_columns};
    dense_check_gradient(&input, scaled_loss, s, n_samples, gradient_tolerance);
}

static void check_loss(const struct decoder *d, const struct batch *b, struct tw_train_loss loss)
{
    size_t n_targets = 0;
    for (size_t i = 0; i < b->of.n_tokens; i++) {
        n_targets += b->is_target[i];
    }
    double want = textbook_loss(&d->book, d->wide_weights, &b->of);
    assert_int_equal(loss.n_targets, n_targets);
    assert_true(fabs(loss.sum - want) <= loss_tolerance * want);
}

static void check_decoder(enum textbook_kind kind)
{
    struct decoder d = {0};
    struct batch b = {0};
    decoder_open(&d, kind, TW_GEMM_F32);
    uint32_t n_vocab = d.parameters.shape.n_vocab;
    add_document(&b, n_vocab, 1, 9, TARGETS_SOME);
    add_document(&b, n_vocab, 2, 1, TARGETS_SOME);
    add_document(&b, n_vocab, 3, 12, TARGETS_SOME);
    add_document(&b, n_vocab, 4, 2, TARGETS_ALL);
    struct scaled_loss s = {.decoder = &d, .batch = &b, .scale = 0.25f};
    check_loss(&d, &b, tw_gradient_add(d.gradient, d.weights, &b.of, s.scale, d.gradients));
    for (size_t i = 0; i < tw_parameters_count(&d.parameters); i++) {
        check_tensor(&s, i, 15);
    }
    decoder_close(&d);
}

static void test_gradients_of_a_tied_decoder_are_differences_of_its_loss(void **state)
{
    (void)state;
    check_decoder(TEXTBOOK_TIED);
}

static void test_gradients_of_an_untied_decoder_are_differences_of_its_loss(void **state)
{
    (void)state;
    check_decoder(TEXTBOOK_UNTIED);
}

static void test_gradients_with_odd_widths_are_differences_of_the_loss(void **state)
{
    (void)state;
    check_decoder(TEXTBOOK_ODD);
}

/* 307 targets in two documents of more than one block of queries and one of less. */
static void fill_long_batch(struct batch *b, uint32_t n_vocab)
{
    add_document(b, n_vocab, 1, 130, TARGETS_ALL);
    add_document(b, n_vocab, 2, 120, TARGETS_ALL);
    add_document(b, n_vocab, 3, 60, TARGETS_ALL);
}

static void test_more_targets_than_the_head_takes_at_once_all_count(void **state)
{
    (void)state;
    struct decoder d = {0};
    struct batch b = {0};
    decoder_open(&d, TEXTBOOK_UNTIED, TW_GEMM_F32);
    fill_long_batch(&b, d.parameters.shape.n_vocab);
    struct scaled_loss s = {.decoder = &d, .batch = &b, .scale = 1};
    check_loss(&d, &b, tw_gradient_add(d.gradient, d.weights, &b.of, s.scale, d.gradients));
    size_t last = tw_parameters_count(&d.parameters) - 1; /* the head; before it the last norm */
    const size_t tensors[] = {0, 2, last - 1, last};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        check_tensor(&s, tensors[i], 4);
    }
    decoder_close(&d);
}

/* bf16 has 8 bits: a factor is off by up to 2^-9, and errors of two layers partly cancel. */
static void test_with_bf16_products_loss_and_gradient_stay_near(void **state)
{
    (void)state;
    struct decoder exact = {0}, d = {0};
    struct batch b = {0};
    decoder_open(&exact, TEXTBOOK_UNTIED, TW_GEMM_F32);
    decoder_open(&d, TEXTBOOK_UNTIED, TW_GEMM_BF16);
    fill_long_batch(&b, d.parameters.shape.n_vocab);
    double want = tw_gradient_add(exact.gradient, d.weights, &b.of, 1, exact.gradients).sum;
    double got = tw_gradient_add(d.gradient, d.weights, &b.of, 1, d.gradients).sum;
    assert_true(fabs(got - want) <= 1e-3 * want);
    double *gradients = dense_widened(exact.gradients, d.parameters.n_values);
    check_near(&d, gradients, 3e-2);
    tw_mem_free(gradients);
    decoder_close(&d);
    decoder_close(&exact);
}

/* ---- the same bits ---- */

static void assert_same_loss(struct tw_train_loss a, struct tw_train_loss b)
{
    assert_memory_equal(&a.sum, &b.sum, sizeof a.sum);
    assert_int_equal(a.n_targets, b.n_targets);
}

static void check_same_bits(enum textbook_kind kind, enum tw_gemm_format format)
{
    struct batch b = {0};
    struct decoder first = {0};
    decoder_open_on(&first, kind, 1, TW_CPU_REF, format);
    uint32_t n_vocab = first.parameters.shape.n_vocab;
    add_document(&b, n_vocab, 1, 70, TARGETS_SOME);
    add_document(&b, n_vocab, 2, 1, TARGETS_SOME);
    add_document(&b, n_vocab, 3, 65, TARGETS_SOME);
    add_document(&b, n_vocab, 4, 9, TARGETS_ALL);
    struct tw_train_loss want =
        tw_gradient_add(first.gradient, first.weights, &b.of, 1, first.gradients);
    for (int level = 0; level <= (int)tw_cpu_detect(); level++) {
        for (int n_threads = 1; n_threads <= 3; n_threads++) {
            struct decoder d = {0};
            decoder_open_on(&d, kind, n_threads, (enum tw_cpu_level)level, format);
            assert_same_loss(tw_gradient_add(d.gradient, d.weights, &b.of, 1, d.gradients), want);
            assert_memory_equal(d.gradients, first.gradients,
                                d.parameters.n_values * sizeof *d.gradients);
            decoder_close(&d);
        }
    }
    decoder_close(&first);
}

static void test_threads_and_instruction_sets_do_not_change_a_bit(void **state)
{
    (void)state;
    check_same_bits(TEXTBOOK_TIED, TW_GEMM_F32);
    check_same_bits(TEXTBOOK_ODD, TW_GEMM_F32);
    check_same_bits(TEXTBOOK_UNTIED, TW_GEMM_BF16);
}

/* ---- documents ---- */

/* Document 1 among others, in several places; only its tokens are targets. */
static void fill_around(struct batch *b, uint32_t n_vocab, int variant)
{
    if (variant >= 2) {
        add_document(b, n_vocab, 2, variant == 2 ? 33 : 1, TARGETS_NONE);
    }
    if (variant == 3) {
        add_document(b, n_vocab, 3, 66, TARGETS_NONE);
    }
    add_document(b, n_vocab, 1, 70, TARGETS_SOME);
    if (variant == 1 || variant == 3) {
        add_document(b, n_vocab, 4, 90, TARGETS_NONE);
    }
}

static void check_neighbours(enum tw_gemm_format format, double tolerance)
{
    struct decoder d = {0};
    decoder_open(&d, TEXTBOOK_UNTIED, format);
    struct tw_train_loss alone = {0};
    double *gradients = NULL;
    for (int variant = 0; variant < 4; variant++) {
        struct batch b = {0};
        fill_around(&b, d.parameters.shape.n_vocab, variant);
        clear(&d);
        struct tw_train_loss loss = tw_gradient_add(d.gradient, d.weights, &b.of, 1, d.gradients);
        if (variant == 0) {
            alone = loss;
            gradients = dense_widened(d.gradients, d.parameters.n_values);
        }
        assert_same_loss(loss, alone);
        check_near(&d, gradients, tolerance);
    }
    tw_mem_free(gradients);
    decoder_close(&d);
}

/* Losses are the same bits. Gradients are sums over rows whose order the neighbours change: norms
 * are summed in chunks of rows, and bf16 products in pairs of them. */
static void test_a_document_does_not_see_its_neighbours(void **state)
{
    (void)state;
    check_neighbours(TW_GEMM_F32, 2e-6);
    check_neighbours(TW_GEMM_BF16, 2e-6);
}

static void test_two_batches_add_up_to_one(void **state)
{
    (void)state;
    struct decoder d = {0};
    struct batch whole = {0}, left = {0}, right = {0};
    decoder_open(&d, TEXTBOOK_TIED, TW_GEMM_F32);
    uint32_t n_vocab = d.parameters.shape.n_vocab;
    fill_long_batch(&whole, n_vocab);
    add_document(&left, n_vocab, 3, 60, TARGETS_ALL);
    add_document(&left, n_vocab, 1, 130, TARGETS_ALL);
    add_document(&right, n_vocab, 2, 120, TARGETS_ALL);
    struct tw_train_loss want = tw_gradient_add(d.gradient, d.weights, &whole.of, 1, d.gradients);
    double *gradients = dense_widened(d.gradients, d.parameters.n_values);
    clear(&d);
    struct tw_train_loss a = tw_gradient_add(d.gradient, d.weights, &left.of, 1, d.gradients);
    struct tw_train_loss b = tw_gradient_add(d.gradient, d.weights, &right.of, 1, d.gradients);
    assert_int_equal(a.n_targets + b.n_targets, want.n_targets);
    assert_true(fabs(a.sum + b.sum - want.sum) <= 1e-12 * want.sum);
    check_near(&d, gradients, 4e-6);
    tw_mem_free(gradients);
    decoder_close(&d);
}

/* ---- the rest ---- */

static void test_a_loss_without_gradients_is_the_same(void **state)
{
    (void)state;
    struct decoder d = {0};
    struct batch b = {0};
    decoder_open(&d, TEXTBOOK_TIED, TW_GEMM_F32);
    fill_long_batch(&b, d.parameters.shape.n_vocab);
    struct tw_train_loss want = tw_gradient_add(d.gradient, d.weights, &b.of, 1, d.gradients);
    assert_same_loss(tw_gradient_add(d.gradient, d.weights, &b.of, 1, NULL), want);
    decoder_close(&d);
}

static void test_what_lies_between_parts_stays_zero(void **state)
{
    (void)state;
    struct decoder d = {0};
    struct batch b = {0};
    decoder_open(&d, TEXTBOOK_ODD, TW_GEMM_F32);
    fill_long_batch(&b, d.parameters.shape.n_vocab);
    tw_gradient_add(d.gradient, d.weights, &b.of, 1, d.gradients);
    for (size_t i = 0; i < tw_parameters_count(&d.parameters); i++) {
        struct tw_parameter tensor = tw_parameters_tensor(&d.parameters, i);
        memset(d.gradients + tensor.offset, 0,
               tensor.n_rows * tensor.n_columns * sizeof *d.gradients);
    }
    assert_true(d.parameters.n_weights < d.parameters.n_values);
    for (size_t i = 0; i < d.parameters.n_values; i++) {
        assert_true(d.gradients[i] == 0);
    }
    decoder_close(&d);
}

static void test_a_batch_without_targets_adds_nothing(void **state)
{
    (void)state;
    struct decoder d = {0};
    struct batch b = {0};
    decoder_open(&d, TEXTBOOK_UNTIED, TW_GEMM_F32);
    add_document(&b, d.parameters.shape.n_vocab, 1, 20, TARGETS_NONE);
    for (size_t i = 0; i < d.parameters.n_values; i++) {
        d.gradients[i] = 1;
    }
    struct tw_train_loss loss = tw_gradient_add(d.gradient, d.weights, &b.of, 1, d.gradients);
    assert_true(loss.sum == 0 && loss.n_targets == 0);
    for (size_t i = 0; i < d.parameters.n_values; i++) {
        assert_true(d.gradients[i] == 1);
    }
    decoder_close(&d);
}

/* A weight of a matrix is one multiplication and addition for a row, and twice that backward; a
 * pair of tokens in attention takes two products of the width of q, and five backward. */
static void test_operations_are_those_of_the_products(void **state)
{
    (void)state;
    struct decoder d = {0};
    struct batch b = {0};
    decoder_open(&d, TEXTBOOK_TIED, TW_GEMM_F32);
    const struct tw_model_shape *s = &d.parameters.shape;
    add_document(&b, s->n_vocab, 1, 30, TARGETS_ALL);
    add_document(&b, s->n_vocab, 2, 11, TARGETS_ALL);
    double q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim;
    double layer = (2 * q + 2 * kv + 3 * (double)s->n_ffn) * s->n_embed;
    double matrices = 2 * (41 * s->n_layers * layer + 39 * (double)s->n_vocab * s->n_embed);
    double pairs = 2 * (30 * 31 / 2 + 11 * 12 / 2) * s->n_layers * q;
    double forward = tw_gradient_add(d.gradient, d.weights, &b.of, 1, NULL).operations;
    double both = tw_gradient_add(d.gradient, d.weights, &b.of, 1, d.gradients).operations;
    assert_true(forward == matrices + 2 * pairs);
    assert_true(both == 3 * matrices + 7 * pairs);
    decoder_close(&d);
}

#if MEMORY_IS_PLAIN
static uint64_t mapped_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    char line[64];
    assert_non_null(fgets(line, sizeof line, file));
    fclose(file);
    return strtoull(line, NULL, 10) * 4096; /* pages of all mappings */
}

/* With a vocabulary like that of real models the packed head is as large as all the rest; with a
 * long context each thread's work space is 9 MB. What is not counted (rounding to pages, small
 * arrays) is far below 2 MB. */
static void test_bytes_are_those_that_create_takes(void **state)
{
    (void)state;
    struct tw_model_shape shape = textbook_shape(TEXTBOOK_TIED);
    struct tw_parameters parameters;
    struct tw_device *device;
    struct tw_gradient *gradient;
    shape.n_vocab = 150000;
    shape.n_context_tokens = 8192;
    assert_int_equal(tw_parameters_init(&parameters, &shape, NULL), TW_OK);
    assert_int_equal(tw_device_cpu_create(3, TW_CPU_REF, &device, NULL), TW_OK);
    uint64_t before = mapped_bytes();
    assert_int_equal(
        tw_gradient_create(device, &parameters, TEXTBOOK_TOKENS, TW_GEMM_F32, &gradient, NULL),
        TW_OK);
    double taken = (double)(mapped_bytes() - before);
    double told = (double)tw_gradient_bytes(&parameters, TEXTBOOK_TOKENS, 3);
    assert_true(fabs(taken - told) <= 0x1p21);
    tw_gradient_free(gradient);
    tw_device_free(device);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_of_a_tied_decoder_are_differences_of_its_loss),
        cmocka_unit_test(test_gradients_of_an_untied_decoder_are_differences_of_its_loss),
        cmocka_unit_test(test_gradients_with_odd_widths_are_differences_of_the_loss),
        cmocka_unit_test(test_more_targets_than_the_head_takes_at_once_all_count),
        cmocka_unit_test(test_with_bf16_products_loss_and_gradient_stay_near),
        cmocka_unit_test(test_threads_and_instruction_sets_do_not_change_a_bit),
        cmocka_unit_test(test_a_document_does_not_see_its_neighbours),
        cmocka_unit_test(test_two_batches_add_up_to_one),
        cmocka_unit_test(test_a_loss_without_gradients_is_the_same),
        cmocka_unit_test(test_what_lies_between_parts_stays_zero),
        cmocka_unit_test(test_a_batch_without_targets_adds_nothing),
        cmocka_unit_test(test_operations_are_those_of_the_products),
#if MEMORY_IS_PLAIN
        cmocka_unit_test(test_bytes_are_those_that_create_takes),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
