/* ref.h: the parts of the reference level. Plain scalar C; the specification of every kernel. */
#ifndef TW_KERNEL_REF_REF_H
#define TW_KERNEL_REF_REF_H

#include "kernel/kernels.h"
#include "kernel/tiles.h"

void tw_ref_init_tiles(struct tw_kernels *kernels);
void tw_ref_init_attention(struct tw_kernels *kernels);

/* 2^x as in kernels.h, and the sum of 16 lanes as a tree. */
float tw_ref_exp2(float x);
float tw_ref_sum16(const float lanes[16]);

/* The larger of max |x[i]| and 0; NaN counts as no value, so that what is made from it stays
 * defined whatever the input. */
float tw_ref_largest_magnitude(const float *x, size_t n);

/* What a block is multiplied by before it is rounded to bytes: see kernels.h. */
float tw_ref_byte_inverse(float largest);

/* Round to even of x * inverse, in -127..127; 0 where that is no number. */
int8_t tw_ref_quantise_value(float x, float inverse);

#endif
