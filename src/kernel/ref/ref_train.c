/* Reference kernels of training: what train_kernels.h says, one value at a time. */
#include <math.h>

#include "kernel/kernels.h"
#include "kernel/ref/ref.h"
#include "kernel/train_kernels.h"
#include "tensor/f16.h"

/* ---- packing ---- */

static uint32_t f32_word(const float *values, size_t stride, size_t i, size_t k)
{
    (void)k;
    return tw_f32_bits(values[i * stride]);
}

static uint32_t bf16_word(const float *values, size_t stride, size_t i, size_t k)
{
    uint32_t even = tw_f32_to_bf16(values[2 * i * stride]);
    uint32_t odd = 2 * i + 1 < k ? tw_f32_to_bf16(values[(2 * i + 1) * stride]) : 0;
    return even | odd << 16;
}

typedef uint32_t (*word_fn)(const float *values, size_t stride, size_t i, size_t k);

/* Value (v, i) is source[v * vector_stride + i * value_stride]. */
static void pack(word_fn word, const float *source, size_t vector_stride, size_t value_stride,
                 size_t n_vectors, size_t k, size_t n_words, size_t width, uint32_t *panel)
{
    for (size_t i = 0; i < n_words; i++) {
        for (size_t v = 0; v < width; v++) {
            panel[i * width + v] =
                v < n_vectors ? word(source + v * vector_stride, value_stride, i, k) : 0;
        }
    }
}

static void pack_rows_f32(const float *source, size_t stride, size_t n_vectors, size_t k,
                          size_t width, uint32_t *panel)
{
    pack(f32_word, source, stride, 1, n_vectors, k, k, width, panel);
}

static void pack_columns_f32(const float *source, size_t stride, size_t n_vectors, size_t k,
                             size_t width, uint32_t *panel)
{
    pack(f32_word, source, 1, stride, n_vectors, k, k, width, panel);
}

static void pack_rows_bf16(const float *source, size_t stride, size_t n_vectors, size_t k,
                           size_t width, uint32_t *panel)
{
    pack(bf16_word, source, stride, 1, n_vectors, k, (k + 1) / 2, width, panel);
}

static void pack_columns_bf16(const float *source, size_t stride, size_t n_vectors, size_t k,
                              size_t width, uint32_t *panel)
{
    pack(bf16_word, source, 1, stride, n_vectors, k, (k + 1) / 2, width, panel);
}

/* ---- products ---- */

static float step_f32(uint32_t a, uint32_t b, float c)
{
    return fmaf(tw_f32_from_bits(a), tw_f32_from_bits(b), c);
}

static float without_subnormals(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}

static float fma_bf16(uint32_t a, uint32_t b, float c)
{
    float product_a = without_subnormals(tw_f32_from_bits(a));
    float product_b = without_subnormals(tw_f32_from_bits(b));
    return without_subnormals(fmaf(product_a, product_b, c));
}

static float step_bf16(uint32_t a, uint32_t b, float c)
{
    c = fma_bf16(a & 0xffff0000u, b & 0xffff0000u, without_subnormals(c));
    return fma_bf16(a << 16, b << 16, c);
}

static void tile(float (*step)(uint32_t, uint32_t, float), const uint32_t *a, const uint32_t *b,
                 size_t n_words, const float *c0, float *c, size_t c_stride)
{
    for (size_t row = 0; row < TW_GEMM_ROWS; row++) {
        for (size_t column = 0; column < TW_GEMM_COLUMNS; column++) {
            size_t at = row * c_stride + column;
            float sum = c0 != NULL ? c0[at] : 0;
            for (size_t i = 0; i < n_words; i++) {
                sum = step(a[i * TW_GEMM_ROWS + row], b[i * TW_GEMM_COLUMNS + column], sum);
            }
            c[at] = sum;
        }
    }
}

static void tile_f32(const uint32_t *a, const uint32_t *b, size_t n_words, const float *c0,
                     float *c, size_t c_stride)
{
    tile(step_f32, a, b, n_words, c0, c, c_stride);
}

static void tile_bf16(const uint32_t *a, const uint32_t *b, size_t n_words, const float *c0,
                      float *c, size_t c_stride)
{
    tile(step_bf16, a, b, n_words, c0, c, c_stride);
}

/* ---- rows ---- */

static float dot(const float *x, const float *y, size_t n)
{
    float lanes[16] = {0};
    for (size_t i = 0; i < n; i++) {
        lanes[i % 16] = fmaf(x[i], y[i], lanes[i % 16]);
    }
    return tw_ref_sum16(lanes);
}

static void rms_norm_backward(const float *x, const float *weight, const float *dy, size_t n,
                              float eps, bool accumulate, float *ret_dx, float *dweight)
{
    float r = 1.0f / sqrtf(dot(x, x, n) / (float)n + eps);
    float lanes[16] = {0};
    for (size_t i = 0; i < n; i++) {
        lanes[i % 16] = fmaf(weight[i] * dy[i], x[i] * r, lanes[i % 16]);
    }
    float mean = tw_ref_sum16(lanes) / (float)n;
    for (size_t i = 0; i < n; i++) {
        float h = x[i] * r;
        dweight[i] = fmaf(dy[i], h, dweight[i]);
        float dx = fmaf(-h, mean, weight[i] * dy[i]) * r;
        ret_dx[i] = accumulate ? ret_dx[i] + dx : dx;
    }
}

static void silu_mul_backward(const float *gate, const float *up, const float *dy, size_t n,
                              float *dgate, float *dup)
{
    for (size_t i = 0; i < n; i++) {
        float g = gate[i], u = up[i];
        float e = 1.0f + tw_ref_exp2(g * -TW_LOG2_E);
        float s = 1.0f / e;
        dup[i] = dy[i] * (g / e);
        dgate[i] = dy[i] * u * (s * fmaf(g, 1.0f - s, 1.0f));
    }
}

static float largest_of(const float *x, size_t n)
{
    float m = x[0];
    for (size_t i = 1; i < n; i++) {
        m = x[i] > m ? x[i] : m;
    }
    return m;
}

/* x[i] = 2^(fma(x[i], c, -(m c))); the sum of all. */
static float exponentials(float *x, size_t n, float c, float m)
{
    float lanes[16] = {0};
    for (size_t i = 0; i < n; i++) {
        x[i] = tw_ref_exp2(fmaf(x[i], c, -(m * c)));
        lanes[i % 16] = lanes[i % 16] + x[i];
    }
    return tw_ref_sum16(lanes);
}

static void softmax(float *scores, size_t n, size_t width, float c, float *ret_m,
                    float *ret_inverse)
{
    *ret_m = largest_of(scores, n);
    *ret_inverse = 1.0f / exponentials(scores, n, c, *ret_m);
    for (size_t i = 0; i < width; i++) {
        scores[i] = i < n ? scores[i] * *ret_inverse : 0;
    }
}

static void softmax_backward(float *scores, float *dw, size_t n, size_t width, float c, float m,
                             float inverse, float d, float scale)
{
    for (size_t i = 0; i < width; i++) {
        float w = i < n ? tw_ref_exp2(fmaf(scores[i], c, -(m * c))) * inverse : 0;
        scores[i] = w;
        dw[i] = i < n ? w * (dw[i] - d) * scale : 0;
    }
}

static double cross_entropy(float *logits, size_t n, uint32_t target, float scale)
{
    float m = largest_of(logits, n), right = logits[target];
    float l = exponentials(logits, n, TW_LOG2_E, m);
    float share = scale / l;
    for (size_t i = 0; i < n; i++) {
        logits[i] = logits[i] * share;
    }
    logits[target] = logits[target] - scale;
    return log((double)l) + ((double)m - (double)right);
}

static void adamw(const struct tw_adamw_step *step, const float *gradient, size_t n, float *weight,
                  float *m, float *v)
{
    float rest1 = 1.0f - step->beta1, rest2 = 1.0f - step->beta2;
    for (size_t i = 0; i < n; i++) {
        float g = gradient[i] * step->gradient_scale;
        m[i] = fmaf(step->beta1, m[i], rest1 * g);
        v[i] = fmaf(step->beta2, v[i], rest2 * (g * g));
        float root = sqrtf(v[i] * step->v_scale) + step->epsilon;
        float change = fmaf(step->weight_decay, weight[i], m[i] * step->m_scale / root);
        weight[i] = fmaf(-step->learning_rate, change, weight[i]);
    }
}

void tw_train_kernels_init_ref(struct tw_train_kernels *kernels)
{
    *kernels = (struct tw_train_kernels){
        .pack_rows = {pack_rows_f32, pack_rows_bf16},
        .pack_columns = {pack_columns_f32, pack_columns_bf16},
        .gemm_tile = {tile_f32, tile_bf16},
        .rms_norm_backward = rms_norm_backward,
        .silu_mul_backward = silu_mul_backward,
        .softmax = softmax,
        .softmax_backward = softmax_backward,
        .dot = dot,
        .cross_entropy = cross_entropy,
        .adamw = adamw,
    };
}
