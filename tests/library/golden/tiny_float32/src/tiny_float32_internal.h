/*
 * tiny_float32_internal.h: what goes beyond C99 or stays inside the library.
 *
 * Made by mbgen 0.0.0 with Apache TVM 0.0.0. Make it again rather than edit it.
 *
 * Model     built-in MobileNet V1, alpha 0.25, resolution 4, 8 classes
 * Weights   random
 * Target    cortex-a72: -mcpu=cortex-a72 -O3 -fno-schedule-insns
 * Options   alpha=0.25
 * Numerics  float32: the model's operations; sums may run in another order
 */

#ifndef TINY_FLOAT32_INTERNAL_H
#define TINY_FLOAT32_INTERNAL_H

#include <stdint.h>

#if defined(__GNUC__)
#define TINY_FLOAT32_RESTRICT __restrict__
#define TINY_FLOAT32_INLINE __inline__ __attribute__((__always_inline__))
#elif defined(__cplusplus)
#define TINY_FLOAT32_RESTRICT
#define TINY_FLOAT32_INLINE inline
#else
#define TINY_FLOAT32_RESTRICT restrict
#define TINY_FLOAT32_INLINE inline
#endif

#if !defined(__GNUC__)
#error "the kernels of tiny_float32 use the vector types of GCC and Clang"
#endif

/* Vectors for registers; those in _u are for memory, at any address that suits one element. */
typedef float tiny_float32_f32x4 __attribute__((__vector_size__(16)));
typedef tiny_float32_f32x4 tiny_float32_f32x4_u __attribute__((__aligned__(4), __may_alias__));

#define TINY_FLOAT32_LOAD(vector, address) (*(const vector##_u *)(const void *)(address))
#define TINY_FLOAT32_STORE(vector, address, value) (*(vector##_u *)(void *)(address) = (value))

static TINY_FLOAT32_INLINE float tiny_float32_max_f32(float a, float b)
{
    return a > b ? a : b;
}

static TINY_FLOAT32_INLINE float tiny_float32_min_f32(float a, float b)
{
    return a < b ? a : b;
}

#ifdef __cplusplus
extern "C" {
#endif

void tiny_float32_pointwise_1(const float *TINY_FLOAT32_RESTRICT input, const float *TINY_FLOAT32_RESTRICT weights,
                              const float *TINY_FLOAT32_RESTRICT bias, float *TINY_FLOAT32_RESTRICT output);
void tiny_float32_depthwise_1(const float *TINY_FLOAT32_RESTRICT input, const float *TINY_FLOAT32_RESTRICT weights,
                              const float *TINY_FLOAT32_RESTRICT bias, float *TINY_FLOAT32_RESTRICT output);
void tiny_float32_pool_1(const float *TINY_FLOAT32_RESTRICT input, float *TINY_FLOAT32_RESTRICT output);

#ifdef __cplusplus
}
#endif

#endif
