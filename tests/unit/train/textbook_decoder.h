/* textbook_decoder.h: the loss of a qwen3 decoder in double, written plainly, one document and one
 * token after the other.
 *
 *     x = embedding[token]
 *     each layer    q, k, v of RMS norm(x); RMS norm and RoPE of every head of q and k;
 *                   x += Wo attention(q, k, v), a key-value head for n_heads / n_kv_heads heads;
 *                   x += Wdown (silu(Wgate n) Wup n), n = RMS norm(x)
 *     loss          -ln softmax(Whead RMS norm(x))[next token], where the next token is a target
 *
 * Tensors are found by the names that Hugging Face files give them. It shares no code with what it
 * is compared with. Threads: one at a time. Sizes: TEXTBOOK_*.
 */
#ifndef TW_TEST_TEXTBOOK_DECODER_H
#define TW_TEST_TEXTBOOK_DECODER_H

#include <stddef.h>

#include "train/gradient.h"
#include "train/parameters.h"

enum { TEXTBOOK_TOKENS = 320, TEXTBOOK_WIDTH = 96, TEXTBOOK_LAYERS = 3 };

/* Small qwen3 shapes: the head tied to the embedding or not, and one (untied) whose widths fit no
 * vector and no panel, so that parts have padding behind them. */
enum textbook_kind { TEXTBOOK_TIED, TEXTBOOK_UNTIED, TEXTBOOK_ODD, TEXTBOOK_KINDS };
struct tw_model_shape textbook_shape(enum textbook_kind kind);

/* Offsets of the tensors of a layer. */
struct textbook_layer {
    size_t input_norm, q, k, v, q_norm, k_norm, o, ffn_norm, gate, up, down;
};

struct textbook {
    struct tw_model_shape shape;
    size_t embedding, final_norm, head;
    struct textbook_layer layers[TEXTBOOK_LAYERS];
};

struct textbook textbook_open(const struct tw_parameters *parameters);

/* The sum over the batch's targets. */
double textbook_loss(const struct textbook *book, const double *weights,
                     const struct tw_train_batch *batch);

#endif
