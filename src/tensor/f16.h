/* f16.h: conversions between f32 and the 16-bit floats, exact and round-to-nearest-even.
 *
 * Plain C, so that every ISA level agrees with it bit for bit (NaN payloads apart).
 */
#ifndef TW_TENSOR_F16_H
#define TW_TENSOR_F16_H

#include <stdint.h>
#include <string.h>

static inline uint32_t tw_f32_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float tw_f32_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Subnormals: shift the mantissa to where a normal f32 with the same exponent would have it and
 * let one exact float subtraction normalise it. */
static inline float tw_f16_to_f32(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 0x1fu;
    uint32_t mantissa = half & 0x3ffu;
    if (exponent == 0x1f) {
        return tw_f32_from_bits(sign | 0x7f800000u | mantissa << 13);
    }
    if (exponent == 0) {
        float magnitude = (float)mantissa * 0x1p-24f;
        return tw_f32_from_bits(sign | tw_f32_bits(magnitude));
    }
    return tw_f32_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

static inline uint16_t tw_f32_to_f16(float value)
{
    uint32_t bits = tw_f32_bits(value);
    uint32_t sign = bits >> 16 & 0x8000u;
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x1ffu)); /* quiet NaN */
    }
    if (magnitude >= 0x47800000u) {
        return (uint16_t)(sign | 0x7c00u); /* 65536 and more */
    }
    if (magnitude < 0x38800000u) {
        /* Below the smallest normal half: adding 0.5 leaves units of 2^-24 in the mantissa, and
         * the addition rounds to nearest even. */
        float shifted = tw_f32_from_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (tw_f32_bits(shifted) - 0x3f000000u));
    }
    uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u); /* may carry to infinity */
    return (uint16_t)(sign | (rounded - 0x38000000u) >> 13);
}

static inline float tw_bf16_to_f32(uint16_t half)
{
    return tw_f32_from_bits((uint32_t)half << 16);
}

static inline uint16_t tw_f32_to_bf16(float value)
{
    uint32_t bits = tw_f32_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return (uint16_t)(bits >> 16 | 0x40u); /* quiet NaN */
    }
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

#endif
