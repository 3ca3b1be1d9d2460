/* cpu_device.h: what the files of the CPU device share; nobody else includes it. */
#ifndef TW_DEVICE_CPU_DEVICE_H
#define TW_DEVICE_CPU_DEVICE_H

#include "base/threadpool.h"
#include "device/device.h"
#include "kernel/kernels.h"

/* Whoever raises the limit must raise what the kernels can do. */
_Static_assert(TW_LIMIT_MODEL_HEAD_DIM <= (int)TW_HEAD_DIM_MAX, "heads wider than kernels allow");

struct tw_device {
    struct tw_kernels kernels;
    struct tw_threadpool *pool;
    int n_threads;
    char name[64];
};

struct tw_device_buffer {
    uint8_t *data;
    size_t size_bytes;
};

/* The packed form of layout.h, one expert's groups after the other's. n_rows counts both sources of
 * an interleaved pair; rows and groups are those of one expert. */
struct tw_device_matrix {
    enum tw_dtype dtype;
    size_t n_rows;
    size_t n_columns;
    bool interleaved; /* panel 0 of a group: gate, panel 1: up */
    size_t n_experts; /* 1: a matrix like any other */
    const uint8_t *groups;
    uint8_t *own_groups; /* the same, or NULL: somebody else's */
    size_t n_groups;
    size_t group_bytes;
    size_t size_bytes;
};

struct tw_device_table {
    enum tw_dtype dtype;
    size_t n_rows;
    size_t n_columns;
    size_t row_bytes;
    const uint8_t *data;
};

#endif
