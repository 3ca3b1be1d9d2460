/* dense_state.h: what the files of dense.h share; nobody else includes it. */
#ifndef TW_DEVICE_DENSE_STATE_H
#define TW_DEVICE_DENSE_STATE_H

#include "device/cpu_device.h"
#include "device/dense.h"

/* Rows whose contributions to a norm's weight are summed on their own; then chunk by chunk. */
enum { TW_DENSE_CHUNK_ROWS = 64, TW_DENSE_CHUNK_VALUES = 4096, TW_DENSE_QUERY_ROWS = 64 };

struct tw_dense {
    struct tw_device *device;
    struct tw_train_kernels kernels;
    struct tw_dense_limits limits;
    uint32_t *gemm_words;   /* [limits.n_gemm_words]: panels of a product */
    float *norm_sums;       /* [chunks][norm_width] */
    size_t norm_width;      /* of a norm of the whole width, or of those of q and k heads */
    double *square_sums;    /* [chunks of parameters] */
    uint8_t *attention;     /* [n_threads] workspaces */
    size_t attention_bytes; /* of one thread */
};

/* Runs fn on all threads of the device. */
static inline void tw_dense_run(struct tw_dense *dense, tw_threadpool_fn fn, void *context)
{
    tw_threadpool_run(dense->device->pool, fn, context);
}

/* Packed panels and where their product goes. */
struct tw_panels {
    const struct tw_train_kernels *kernels;
    enum tw_gemm_format format;
    const uint32_t *a, *b;
    size_t m, n, n_words; /* n_words: of a panel's row */
    const float *c0;
    float *c;
    size_t c_stride;
};

/* The product of panels [a_begin, a_end) of A with [b_begin, b_end) of B. */
void tw_dense_multiply(const struct tw_panels *panels, size_t a_begin, size_t a_end, size_t b_begin,
                       size_t b_end);

/* Bytes of a thread's workspace for attention. */
size_t tw_dense_attention_bytes(const struct tw_dense_limits *limits);

#endif
