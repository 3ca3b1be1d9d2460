/* decoder.h: the inside of a loaded model, shared by loading and the forward pass.
 *
 * One program for every architecture we have: per layer
 *     x += Wo attention(rope(norm?(Wq n(x) + bq)), ...);  x += Wdown (silu(Wgate n(x)) * Wup n(x))
 * with n = RMS norm, then logits = Wout n(x) for the rows asked for. With experts the feed-forward
 * is a sum over those that a router chose for the row, each weighted. Buffers are sized once, at
 * load, for the largest batch; a pass allocates nothing.
 */
#ifndef TW_MODEL_DECODER_H
#define TW_MODEL_DECODER_H

#include "device/device.h"
#include "model/model.h"

struct tw_decoder_layer {
    struct tw_device_buffer *attn_norm, *ffn_norm;
    struct tw_device_buffer *q_norm, *k_norm;          /* NULL without QK norm */
    struct tw_device_buffer *q_bias, *k_bias, *v_bias; /* NULL without bias */
    struct tw_device_matrix *q, *k, *v, *attn_output;
    struct tw_device_matrix *router;  /* NULL without experts; with them, what follows is theirs */
    struct tw_device_matrix *gate_up; /* interleaved; NULL where gate and up differ in format */
    struct tw_device_matrix *gate, *up;
    struct tw_device_matrix *down;
};

struct tw_kv_cache {
    struct tw_device_buffer *pages;
    struct tw_kv_shape shape;
    uint32_t n_pages;
};

struct tw_model {
    struct tw_device *device;
    struct tw_model_files *files;
    struct tw_weights *weights; /* where the matrices come from, and may lie */
    struct tw_model_shape shape;
    const struct tw_tokenizer *tokenizer;
    struct tw_tokenizer *own_tokenizer; /* NULL: it is somebody else's */
    enum tw_pooling pooling;
    uint32_t max_rows, max_outputs;
    uint32_t n_rows, n_outputs; /* of the last pass */
    uint32_t n_outputs_done;    /* whose logits were computed */
    uint64_t weight_bytes;
    struct tw_model_products products;

    struct tw_device_table *embedding;
    struct tw_decoder_layer *layers;
    struct tw_device_buffer *output_norm;
    struct tw_device_matrix *output;

    /* [n_dims / 2]: what a position is multiplied by to get a pair's angle, and what cosine and
     * sine are multiplied by (YaRN; otherwise 1). */
    double *rope_frequencies;
    double rope_magnitude;

    /* Work space of a pass: [max_rows, ...] f32. */
    struct tw_stream *stream;
    struct tw_device_buffer *x, *qkv, *attention, *hidden, *up, *cos_sin, *logits;
    struct tw_device_buffer *routing; /* logits of the router; NULL without experts */
    struct tw_device_row *rows;
    uint32_t *outputs; /* [max_rows] */
    const uint32_t **tables;
    float *cos_sin_host;
};

/* Fills rope_frequencies and rope_magnitude. */
enum tw_status tw_decoder_init_rope(struct tw_model *model, struct tw_error *error);

/* Operations a pass of this shape puts on its stream, at most. */
uint32_t tw_decoder_operations(const struct tw_model_shape *shape);

#endif
