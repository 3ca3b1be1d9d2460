/* What would break if two tensors shared a weight, a name of a tensor were not the one that files
 * have, training began with other random weights, or with a model that it does not know. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "dense_fixture.h"
#include "textbook_decoder.h"

static struct tw_parameters parameters_of(enum textbook_kind kind)
{
    struct tw_model_shape shape = textbook_shape(kind);
    struct tw_parameters parameters;
    assert_int_equal(tw_parameters_init(&parameters, &shape, NULL), TW_OK);
    return parameters;
}

static void test_every_weight_belongs_to_one_tensor(void **state)
{
    (void)state;
    for (int kind = 0; kind < TEXTBOOK_KINDS; kind++) {
        struct tw_parameters p = parameters_of((enum textbook_kind)kind);
        uint8_t *is_taken = tw_mem_zalloc(p.n_values, 1);
        size_t n_taken = 0;
        for (size_t i = 0; i < tw_parameters_count(&p); i++) {
            struct tw_parameter tensor = tw_parameters_tensor(&p, i);
            size_t n = tensor.n_rows * tensor.n_columns;
            assert_true(tensor.offset + n <= p.n_values);
            for (size_t j = 0; j < n; j++) {
                assert_false(is_taken[tensor.offset + j]);
                is_taken[tensor.offset + j] = 1;
                n_taken++;
            }
        }
        assert_int_equal(n_taken, p.n_weights);
        assert_int_equal(kind == TEXTBOOK_ODD, n_taken < p.n_values);
        tw_mem_free(is_taken);
    }
}

static void test_parts_begin_at_multiples_of_sixteen(void **state)
{
    (void)state;
    struct tw_parameters p = parameters_of(TEXTBOOK_ODD);
    const struct tw_layer_offsets *at = &p.layer;
    const size_t offsets[] = {p.embedding,        p.layers,    p.layer_values, p.final_norm, p.head,
                              at->attention_norm, at->qkv,     at->q_norm,     at->k_norm,   at->o,
                              at->ffn_norm,       at->gate_up, at->down};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        assert_int_equal(offsets[i] % 16, 0);
    }
}

static void test_tensors_have_the_names_and_sizes_of_hugging_face_files(void **state)
{
    (void)state;
    static const struct {
        size_t i;
        const char *name;
        size_t n_rows, n_columns;
    } want[] = {
        {0, "model.embed_tokens.weight", 40, 32},
        {1, "model.layers.0.input_layernorm.weight", 1, 32},
        {2, "model.layers.0.self_attn.q_proj.weight", 64, 32},
        {3, "model.layers.0.self_attn.k_proj.weight", 32, 32},
        {4, "model.layers.0.self_attn.v_proj.weight", 32, 32},
        {5, "model.layers.0.self_attn.q_norm.weight", 1, 16},
        {6, "model.layers.0.self_attn.k_norm.weight", 1, 16},
        {7, "model.layers.0.self_attn.o_proj.weight", 32, 64},
        {8, "model.layers.0.post_attention_layernorm.weight", 1, 32},
        {9, "model.layers.0.mlp.gate_proj.weight", 48, 32},
        {10, "model.layers.0.mlp.up_proj.weight", 48, 32},
        {11, "model.layers.0.mlp.down_proj.weight", 32, 48},
        {12, "model.layers.1.input_layernorm.weight", 1, 32},
        {22, "model.layers.1.mlp.down_proj.weight", 32, 48},
        {23, "model.norm.weight", 1, 32},
        {24, "lm_head.weight", 40, 32},
    };
    struct tw_parameters p = parameters_of(TEXTBOOK_UNTIED), tied = parameters_of(TEXTBOOK_TIED);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct tw_parameter tensor = tw_parameters_tensor(&p, want[i].i);
        assert_string_equal(tensor.name, want[i].name);
        assert_int_equal(tensor.n_rows, want[i].n_rows);
        assert_int_equal(tensor.n_columns, want[i].n_columns);
        assert_int_equal(tensor.is_vector, want[i].n_rows == 1);
    }
    assert_int_equal(tw_parameters_count(&p), 25);
    assert_int_equal(tw_parameters_count(&tied), 24);
    assert_int_equal(tied.head, tied.embedding);
}

static void test_a_matrix_of_one_row_is_no_norm(void **state)
{
    (void)state;
    struct tw_model_shape shape = textbook_shape(TEXTBOOK_UNTIED);
    struct tw_parameters p;
    shape.n_embed = 1;
    shape.n_ffn = 1;
    assert_int_equal(tw_parameters_init(&p, &shape, NULL), TW_OK);
    for (size_t i = 0; i < tw_parameters_count(&p); i++) {
        struct tw_parameter tensor = tw_parameters_tensor(&p, i);
        assert_int_equal(tensor.is_vector, strstr(tensor.name, "norm") != NULL);
    }
}

static void test_models_that_training_does_not_know_are_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 7; i++) {
        struct tw_model_shape shape = textbook_shape(TEXTBOOK_TIED);
        struct tw_parameters parameters;
        if (i == 0) {
            memcpy(shape.arch, "llama", sizeof "llama");
        }
        if (i == 6) {
            memcpy(shape.arch, "qwen3moe", sizeof "qwen3moe");
        }
        shape.has_qkv_bias = i == 1;
        shape.has_qk_norm = i != 2;
        shape.rope.scaling = i == 3 ? TW_ROPE_SCALING_YARN : TW_ROPE_SCALING_NONE;
        shape.rope.interleaved = i == 4;
        shape.rope.n_dims = i == 5 ? shape.head_dim / 2 : shape.head_dim;
        assert_int_equal(tw_parameters_init(&parameters, &shape, NULL), TW_ERR_UNSUPPORTED);
    }
}

/* The deviation of n values is known within a few times 1 / sqrt(2 n): 5 % for the smallest
 * matrix, of 1,024 values, is more than three times that for a uniform distribution. */
static void test_random_weights_have_the_deviation_of_their_kind(void **state)
{
    (void)state;
    struct tw_parameters p = parameters_of(TEXTBOOK_UNTIED);
    float *weights = dense_filled(p.n_values, 5);
    tw_parameters_randomise(&p, 3, weights);
    for (size_t i = 0; i < tw_parameters_count(&p); i++) {
        struct tw_parameter tensor = tw_parameters_tensor(&p, i);
        size_t n = tensor.n_rows * tensor.n_columns;
        double sum = 0, squares = 0;
        for (size_t j = 0; j < n; j++) {
            double value = (double)weights[tensor.offset + j];
            sum += value;
            squares += value * value;
        }
        bool is_small = strstr(tensor.name, "o_proj") || strstr(tensor.name, "down_proj");
        double want = tensor.is_vector ? 1 : is_small ? 0.01 : 0.02; /* 2 layers: 0.02 / sqrt 4 */
        double mean = tensor.is_vector ? 1 : 0;
        assert_true(fabs(sqrt(squares / (double)n) / want - 1) < 0.05);
        assert_true(fabs(sum / (double)n - mean) < 5 * 0.02 / sqrt((double)n));
    }
    tw_mem_free(weights);
}

static void test_random_weights_are_a_function_of_the_seed(void **state)
{
    (void)state;
    struct tw_parameters p = parameters_of(TEXTBOOK_ODD);
    float *a = dense_filled(p.n_values, 5), *b = dense_filled(p.n_values, 6);
    tw_parameters_randomise(&p, 3, a);
    tw_parameters_randomise(&p, 3, b);
    assert_memory_equal(a, b, p.n_values * sizeof *a);
    tw_parameters_randomise(&p, 4, b);
    assert_memory_not_equal(a, b, p.shape.n_embed * sizeof *a);
    for (size_t i = 0; i < tw_parameters_count(&p); i++) {
        struct tw_parameter tensor = tw_parameters_tensor(&p, i);
        memset(a + tensor.offset, 0, tensor.n_rows * tensor.n_columns * sizeof *a);
    }
    for (size_t i = 0; i < p.n_values; i++) {
        assert_true(a[i] == 0); /* between parts */
    }
    tw_mem_free(b);
    tw_mem_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_weight_belongs_to_one_tensor),
        cmocka_unit_test(test_parts_begin_at_multiples_of_sixteen),
        cmocka_unit_test(test_tensors_have_the_names_and_sizes_of_hugging_face_files),
        cmocka_unit_test(test_a_matrix_of_one_row_is_no_norm),
        cmocka_unit_test(test_models_that_training_does_not_know_are_refused),
        cmocka_unit_test(test_random_weights_have_the_deviation_of_their_kind),
        cmocka_unit_test(test_random_weights_are_a_function_of_the_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
