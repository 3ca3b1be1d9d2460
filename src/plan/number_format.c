#include "plan/number_format.h"

#include <stddef.h>
#include <strings.h>

/* Scales: fp8 by rows or 128 x 128 blocks (nothing to speak of), int8 and int4 of groups of 128
 * with one half (int4 with four bits of zero point), nvfp4 one byte in 16, mxfp4 one in 32; GGUF's
 * blocks as they are laid out in files. */
static const struct tw_number_format formats[] = {
    {"bf16", 16, TW_PLAN_RATE_BF16, false, false},
    {"fp16", 16, TW_PLAN_RATE_BF16, false, false},
    {"f32", 32, TW_PLAN_RATE_BF16, false, false},
    {"fp8", 8, TW_PLAN_RATE_FP8, false, false},
    {"int8", 8.125, TW_PLAN_RATE_INT8, false, false},
    {"nvfp4", 4.5, TW_PLAN_RATE_FP4, false, false},
    {"mxfp4", 4.25, TW_PLAN_RATE_FP4, false, true},
    {"int4", 4.15625, TW_PLAN_RATE_BF16, false, false},
    {"q8_0", 8.5, TW_PLAN_RATE_INT8, true, false},
    {"q6_k", 6.5625, TW_PLAN_RATE_INT8, true, false},
    {"q5_k", 5.5, TW_PLAN_RATE_INT8, true, false},
    {"q4_k", 4.5, TW_PLAN_RATE_INT8, true, false},
    {"q4_0", 4.5, TW_PLAN_RATE_INT8, true, false},
    {"q3_k", 3.4375, TW_PLAN_RATE_INT8, true, false},
    {"q2_k", 2.625, TW_PLAN_RATE_INT8, true, false},
};

const struct tw_number_format *tw_number_format_at(uint32_t i)
{
    return i < sizeof formats / sizeof formats[0] ? &formats[i] : NULL;
}

const struct tw_number_format *tw_number_format_find(const char *name)
{
    const struct tw_number_format *format = NULL;
    for (uint32_t i = 0; (format = tw_number_format_at(i)) != NULL; i++) {
        if (strcasecmp(format->name, name) == 0) {
            return format;
        }
    }
    return NULL;
}
