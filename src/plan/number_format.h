/* number_format.h: the formats that weights and KV caches have in other engines and ours.
 *
 * bits: of a value with its share of the block's scales. rate: which of a device's arithmetic rates
 * a product with such weights runs at, where the device has it; weights that a kernel widens first
 * (int4, the GGUF formats on GPUs) run at bf16's.
 * Threads: any. Errors: none.
 */
#ifndef TW_PLAN_NUMBER_FORMAT_H
#define TW_PLAN_NUMBER_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

enum tw_plan_rate { TW_PLAN_RATE_BF16 = 0, TW_PLAN_RATE_FP8, TW_PLAN_RATE_INT8, TW_PLAN_RATE_FP4 };
#define TW_PLAN_N_RATES 4

struct tw_number_format {
    const char *name; /* "bf16", "fp8", "int8", "nvfp4", "mxfp4", "int4", "q8_0", "q4_k", ... */
    double bits;
    enum tw_plan_rate rate;
    bool has_all;      /* embedding and head too */
    bool experts_only; /* in models that have experts */
};

/* NULL for a name that is not known. */
const struct tw_number_format *tw_number_format_find(const char *name);
/* Row i of the table, NULL behind the last. */
const struct tw_number_format *tw_number_format_at(uint32_t i);

#endif
