/* Compares our block formats with another implementation of them, loaded at run time.
 *
 * TW_GGML_LIBRARY names a shared library with the C symbols dequantize_row_<type> and
 * ggml_quantize_chunk. Decoding must agree bit for bit on random blocks of every type; encoding
 * must not have more than 1.02 times the other's mean squared error. Prints one line per check.
 * Exit codes: 0 all hold, 1 one does not, 77 no library given (a test runner's "skipped").
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "model/tensors.h"
#include "tensor/dtype.h"
#include "tensor/f16.h"

enum { VALUES = 1 << 20, ROW_VALUES = 4096 };

typedef void (*decode_fn)(const void *blocks, float *values, int64_t n);
typedef size_t (*encode_fn)(int type, const float *values, void *blocks, int64_t start,
                            int64_t n_rows, int64_t n_per_row, const float *importance);

/* ISO C has no cast from an object pointer to a function pointer. */
static void find_symbol(void *library, const char *name, void *ret_function)
{
    void *symbol = dlsym(library, name);
    memcpy(ret_function, &symbol, sizeof symbol);
}

/* "Q4_K" -> "dequantize_row_q4_K": letters of the family in lower case, the K in upper case. */
static decode_fn find_decoder(void *library, const char *type_name)
{
    char name[64] = "dequantize_row_";
    size_t length = strlen(name);
    for (const char *c = type_name; *c != '\0' && length < sizeof name - 1; c++) {
        name[length++] = *c == 'K' ? 'K' : (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    }
    decode_fn decoder = NULL;
    find_symbol(library, name, &decoder);
    return decoder;
}

static void random_bytes(unsigned char *ret_bytes, size_t n_bytes, uint64_t seed)
{
    for (size_t i = 0; i < n_bytes; i += 16) {
        uint32_t words[4];
        tw_rng_block(seed, i / 16, words);
        memcpy(ret_bytes + i, words, n_bytes - i < 16 ? n_bytes - i : 16);
    }
}

static bool same_float(float a, float b)
{
    return tw_f32_bits(a) == tw_f32_bits(b) || (a != a && b != b);
}

static bool decoders_agree(const struct tw_dtype_traits *traits, decode_fn theirs)
{
    size_t n_bytes = (size_t)VALUES / traits->block_elements * traits->block_bytes;
    unsigned char *blocks = tw_mem_alloc(n_bytes, 1);
    float *a = tw_mem_alloc(VALUES, sizeof *a);
    float *b = tw_mem_alloc(VALUES, sizeof *b);
    size_t n_different = 0;
    random_bytes(blocks, n_bytes, 1);
    traits->dequantise(blocks, a, VALUES);
    theirs(blocks, b, VALUES);
    for (size_t i = 0; i < VALUES; i++) {
        n_different += !same_float(a[i], b[i]);
    }
    printf("decode %-6s %zu of %d values differ\n", traits->name, n_different, VALUES);
    tw_mem_free(blocks);
    tw_mem_free(a);
    tw_mem_free(b);
    return n_different == 0;
}

static double mean_squared_error(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double difference = (double)a[i] - (double)b[i];
        sum += difference * difference;
    }
    return sum / (double)n;
}

/* The error where larger weights count more, as some encoders minimise it: an alternative view, not
 * part of the verdict. */
static double weighted_error(const float *a, const float *b, size_t n)
{
    double sum = 0, total = 0;
    for (size_t i = 0; i < n; i++) {
        double difference = (double)a[i] - (double)b[i];
        double weight = (double)a[i] * (double)a[i];
        sum += weight * difference * difference;
        total += weight;
    }
    return total > 0 ? sum / total : 0;
}

static bool encoder_is_as_good(const struct tw_dtype_traits *traits, encode_fn theirs,
                               const char *data_name, const float *values, size_t n)
{
    n -= n % ROW_VALUES;
    unsigned char *blocks = tw_mem_alloc(n / traits->block_elements, traits->block_bytes);
    float *decoded = tw_mem_alloc(n, sizeof *decoded);
    traits->quantise(values, blocks, n);
    traits->dequantise(blocks, decoded, n);
    double ours = mean_squared_error(values, decoded, n);
    double ours_weighted = weighted_error(values, decoded, n);
    theirs((int)traits->ggml_id, values, blocks, 0, (int64_t)(n / ROW_VALUES), ROW_VALUES, NULL);
    traits->dequantise(blocks, decoded, n);
    double other = mean_squared_error(values, decoded, n);
    double other_weighted = weighted_error(values, decoded, n);
    printf("encode %-6s %-8s ours %.5g theirs %.5g ratio %.4f, weighted ratio %.4f\n", traits->name,
           data_name, ours, other, ours / other, ours_weighted / other_weighted);
    tw_mem_free(blocks);
    tw_mem_free(decoded);
    return ours <= other * 1.02;
}

static double laplace(uint64_t seed, uint64_t counter)
{
    double u = tw_rng_uniform(seed, counter) - 0.5;
    return (u < 0 ? 1 : -1) * __builtin_log(1 - 2 * (u < 0 ? -u : u));
}

static void fill(float *ret_values, size_t n, bool is_laplace)
{
    for (size_t i = 0; i < n; i++) {
        double value = is_laplace ? laplace(3, i) : tw_rng_normal(2, i);
        ret_values[i] = (float)(0.02 * value);
    }
}

static bool encoders_agree(const struct tw_dtype_traits *traits, encode_fn theirs,
                           const float *real, size_t n_real)
{
    size_t n = (size_t)VALUES / 4;
    float *values = tw_mem_alloc(n, sizeof *values);
    fill(values, n, false);
    bool good = encoder_is_as_good(traits, theirs, "gaussian", values, n);
    fill(values, n, true);
    good &= encoder_is_as_good(traits, theirs, "laplace", values, n);
    if (n_real >= ROW_VALUES) {
        good &= encoder_is_as_good(traits, theirs, "trained", real, n_real);
    }
    tw_mem_free(values);
    return good;
}

static bool compare_all(void *library, const float *real, size_t n_real)
{
    encode_fn encoder = NULL;
    bool good = true;
    find_symbol(library, "ggml_quantize_chunk", &encoder);
    for (int i = 0; i < TW_DTYPE_COUNT; i++) {
        const struct tw_dtype_traits *traits = tw_dtype_traits((enum tw_dtype)i);
        decode_fn decoder = find_decoder(library, traits->name);
        if (traits->block_elements == 1) {
            continue;
        }
        good &= decoder != NULL && decoders_agree(traits, decoder);
        if (encoder != NULL && traits->quantise != NULL) {
            good &= encoders_agree(traits, encoder, real, n_real);
        }
    }
    return good;
}

/* All F32 matrices of a model file, one after the other; *ret_n 0 where there is none. */
static float *load_weights(const char *path, size_t *ret_n)
{
    struct tw_model_files *files = NULL;
    struct tw_error error;
    float *weights = NULL;
    size_t n = 0;
    if (tw_model_files_open(path, &files, &error) != TW_OK) {
        fprintf(stderr, "%s\n", error.text);
        return NULL;
    }
    for (size_t i = 0; i < tw_model_files_count(files); i++) {
        const struct tw_tensor_view *view = tw_model_files_tensor(files, i);
        if (view->dtype == TW_DTYPE_F32 && view->shape[1] > 1) {
            weights = tw_mem_realloc(weights, n * sizeof *weights + view->size_bytes, 1);
            memcpy(weights + n, view->data, view->size_bytes);
            n += view->size_bytes / sizeof *weights;
        }
    }
    tw_model_files_close(files);
    *ret_n = n;
    return weights;
}

int main(void)
{
    const char *path = getenv("TW_GGML_LIBRARY"), *shared = getenv("TW_SHARED");
    float *weights = NULL;
    size_t n_weights = 0;
    if (path == NULL || path[0] == '\0') {
        puts("TW_GGML_LIBRARY is not set");
        return 77;
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    if (shared != NULL) {
        char model[4096];
        snprintf(model, sizeof model, "%s/testdata/stories260K.gguf", shared);
        weights = load_weights(model, &n_weights);
        if (weights == NULL) {
            return 1;
        }
    }
    bool good = compare_all(library, weights, n_weights);
    tw_mem_free(weights);
    return good ? 0 : 1;
}
