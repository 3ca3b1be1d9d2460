#include "textbook_decoder.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct tw_model_shape textbook_shape(enum textbook_kind kind)
{
    bool odd = kind == TEXTBOOK_ODD;
    uint32_t head_dim = odd ? 10 : 16;
    return (struct tw_model_shape){
        .arch = "qwen3",
        .n_layers = 2,
        .n_embed = odd ? 20 : 32,
        .n_heads = odd ? 3 : 4,
        .n_kv_heads = odd ? 1 : 2,
        .head_dim = head_dim,
        .n_ffn = odd ? 22 : 48,
        .n_vocab = odd ? 37 : 40,
        .n_context_tokens = 140,
        .rms_eps = 1e-3f, /* large, so that it is seen */
        .rope = {.freq_base = 1000, .factor = 1, .n_dims = head_dim},
        .has_qk_norm = true,
        .tied_head = kind == TEXTBOOK_TIED,
    };
}

/* ---- where the tensors are ---- */

static size_t offset_of(const struct tw_parameters *p, const char *name)
{
    for (size_t i = 0; i < tw_parameters_count(p); i++) {
        struct tw_parameter tensor = tw_parameters_tensor(p, i);
        if (strcmp(tensor.name, name) == 0) {
            return tensor.offset;
        }
    }
    assert(!"a tensor has its name");
    return 0;
}

static size_t layer_offset(const struct tw_parameters *p, size_t layer, const char *part)
{
    char name[96];
    snprintf(name, sizeof name, "model.layers.%zu.%s.weight", layer, part);
    return offset_of(p, name);
}

struct textbook textbook_open(const struct tw_parameters *p)
{
    struct textbook book = {.shape = p->shape};
    assert(p->shape.n_layers <= TEXTBOOK_LAYERS);
    book.embedding = offset_of(p, "model.embed_tokens.weight");
    book.final_norm = offset_of(p, "model.norm.weight");
    book.head = p->shape.tied_head ? book.embedding : offset_of(p, "lm_head.weight");
    for (size_t i = 0; i < p->shape.n_layers; i++) {
        book.layers[i] = (struct textbook_layer){
            .input_norm = layer_offset(p, i, "input_layernorm"),
            .q = layer_offset(p, i, "self_attn.q_proj"),
            .k = layer_offset(p, i, "self_attn.k_proj"),
            .v = layer_offset(p, i, "self_attn.v_proj"),
            .q_norm = layer_offset(p, i, "self_attn.q_norm"),
            .k_norm = layer_offset(p, i, "self_attn.k_norm"),
            .o = layer_offset(p, i, "self_attn.o_proj"),
            .ffn_norm = layer_offset(p, i, "post_attention_layernorm"),
            .gate = layer_offset(p, i, "mlp.gate_proj"),
            .up = layer_offset(p, i, "mlp.up_proj"),
            .down = layer_offset(p, i, "mlp.down_proj"),
        };
    }
    return book;
}

/* ---- the parts ---- */

/* y = W x */
static void project(const double *w, size_t n_outputs, size_t n_inputs, const double *x, double *y)
{
    for (size_t i = 0; i < n_outputs; i++) {
        double sum = 0;
        for (size_t j = 0; j < n_inputs; j++) {
            sum += w[i * n_inputs + j] * x[j];
        }
        y[i] = sum;
    }
}

static void normalise(const double *weight, size_t n, double eps, const double *x, double *y)
{
    double squares = 0;
    for (size_t i = 0; i < n; i++) {
        squares += x[i] * x[i];
    }
    double root = sqrt(squares / (double)n + eps);
    for (size_t i = 0; i < n; i++) {
        y[i] = x[i] / root * weight[i];
    }
}

/* Value i and value i + dim / 2 of a head are a point that turns by position / base^(2 i / dim). */
static void turn(double *head, size_t dim, size_t position, double base)
{
    for (size_t i = 0; i < dim / 2; i++) {
        double angle = (double)position / pow(base, 2.0 * (double)i / (double)dim);
        double a = head[i], b = head[i + dim / 2];
        head[i] = a * cos(angle) - b * sin(angle);
        head[i + dim / 2] = b * cos(angle) + a * sin(angle);
    }
}

/* Rows of one document. */
static double xs[TEXTBOOK_TOKENS][TEXTBOOK_WIDTH], qs[TEXTBOOK_TOKENS][TEXTBOOK_WIDTH];
static double ks[TEXTBOOK_TOKENS][TEXTBOOK_WIDTH], vs[TEXTBOOK_TOKENS][TEXTBOOK_WIDTH];

static void attend(const struct textbook *book, size_t position, size_t head, double *ret_out)
{
    size_t dim = book->shape.head_dim;
    size_t kv_head = head / (book->shape.n_heads / book->shape.n_kv_heads);
    double weights[TEXTBOOK_TOKENS], largest = -INFINITY, total = 0;
    for (size_t i = 0; i <= position; i++) {
        weights[i] = 0;
        for (size_t j = 0; j < dim; j++) {
            weights[i] += qs[position][head * dim + j] * ks[i][kv_head * dim + j];
        }
        weights[i] /= sqrt((double)dim);
        largest = fmax(largest, weights[i]);
    }
    for (size_t i = 0; i <= position; i++) {
        weights[i] = exp(weights[i] - largest);
        total += weights[i];
    }
    for (size_t j = 0; j < dim; j++) {
        ret_out[j] = 0;
        for (size_t i = 0; i <= position; i++) {
            ret_out[j] += weights[i] / total * vs[i][kv_head * dim + j];
        }
    }
}

static void attention(const struct textbook *book, const struct textbook_layer *at, const double *w,
                      size_t n_tokens)
{
    const struct tw_model_shape *s = &book->shape;
    size_t d = s->n_embed, dim = s->head_dim, q = s->n_heads * dim, kv = s->n_kv_heads * dim;
    double row[TEXTBOOK_WIDTH], out[TEXTBOOK_WIDTH], eps = (double)s->rms_eps;
    for (size_t i = 0; i < n_tokens; i++) {
        normalise(w + at->input_norm, d, eps, xs[i], row);
        project(w + at->q, q, d, row, qs[i]);
        project(w + at->k, kv, d, row, ks[i]);
        project(w + at->v, kv, d, row, vs[i]);
        for (size_t head = 0; head < s->n_heads; head++) {
            normalise(w + at->q_norm, dim, eps, qs[i] + head * dim, qs[i] + head * dim);
            turn(qs[i] + head * dim, dim, i, s->rope.freq_base);
        }
        for (size_t head = 0; head < s->n_kv_heads; head++) {
            normalise(w + at->k_norm, dim, eps, ks[i] + head * dim, ks[i] + head * dim);
            turn(ks[i] + head * dim, dim, i, s->rope.freq_base);
        }
    }
    for (size_t i = 0; i < n_tokens; i++) {
        for (size_t head = 0; head < s->n_heads; head++) {
            attend(book, i, head, out + head * dim);
        }
        project(w + at->o, d, q, out, row);
        for (size_t j = 0; j < d; j++) {
            xs[i][j] += row[j];
        }
    }
}

static void feed_forward(const struct textbook *book, const struct textbook_layer *at,
                         const double *w, double *x)
{
    size_t d = book->shape.n_embed, f = book->shape.n_ffn;
    double normed[TEXTBOOK_WIDTH], gate[TEXTBOOK_WIDTH], up[TEXTBOOK_WIDTH], out[TEXTBOOK_WIDTH];
    normalise(w + at->ffn_norm, d, (double)book->shape.rms_eps, x, normed);
    project(w + at->gate, f, d, normed, gate);
    project(w + at->up, f, d, normed, up);
    for (size_t i = 0; i < f; i++) {
        gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
    }
    project(w + at->down, d, f, gate, out);
    for (size_t i = 0; i < d; i++) {
        x[i] += out[i];
    }
}

static double loss_of_token(const struct textbook *book, const double *w, const double *x,
                            size_t target)
{
    double normed[TEXTBOOK_WIDTH], logits[TEXTBOOK_WIDTH], sum = 0;
    size_t d = book->shape.n_embed;
    normalise(w + book->final_norm, d, (double)book->shape.rms_eps, x, normed);
    project(w + book->head, book->shape.n_vocab, d, normed, logits);
    for (size_t i = 0; i < book->shape.n_vocab; i++) {
        sum += exp(logits[i]);
    }
    return log(sum) - logits[target];
}

double textbook_loss(const struct textbook *book, const double *weights,
                     const struct tw_train_batch *batch)
{
    const struct tw_model_shape *s = &book->shape;
    double sum = 0;
    for (size_t document = 0; document < batch->documents.n_documents; document++) {
        size_t first = batch->documents.starts[document];
        size_t n = batch->documents.starts[document + 1] - first;
        for (size_t i = 0; i < n; i++) {
            memcpy(xs[i], weights + book->embedding + (size_t)batch->tokens[first + i] * s->n_embed,
                   s->n_embed * sizeof xs[i][0]);
        }
        for (size_t layer = 0; layer < s->n_layers; layer++) {
            attention(book, &book->layers[layer], weights, n);
            for (size_t i = 0; i < n; i++) {
                feed_forward(book, &book->layers[layer], weights, xs[i]);
            }
        }
        for (size_t i = 1; i < n; i++) {
            if (batch->is_target[first + i]) {
                sum += loss_of_token(book, weights, xs[i - 1], (size_t)batch->tokens[first + i]);
            }
        }
    }
    return sum;
}
