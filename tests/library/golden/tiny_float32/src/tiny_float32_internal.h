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

#ifdef __cplusplus
extern "C" {
#endif

void tiny_float32_conv_1(const float *TINY_FLOAT32_RESTRICT input, const int32_t *TINY_FLOAT32_RESTRICT rows,
                         int32_t kh_begin, int32_t kh_end, const float *TINY_FLOAT32_RESTRICT weights,
                         const float *TINY_FLOAT32_RESTRICT bias, float *TINY_FLOAT32_RESTRICT output);
void tiny_float32_depthwise_1(const float *TINY_FLOAT32_RESTRICT input, const int32_t *TINY_FLOAT32_RESTRICT rows,
                              int32_t kh_begin, int32_t kh_end, const float *TINY_FLOAT32_RESTRICT weights,
                              const float *TINY_FLOAT32_RESTRICT bias, float *TINY_FLOAT32_RESTRICT output);
void tiny_float32_pointwise_1(const float *TINY_FLOAT32_RESTRICT input, const float *TINY_FLOAT32_RESTRICT weights,
                              const float *TINY_FLOAT32_RESTRICT bias, float *TINY_FLOAT32_RESTRICT output);
void tiny_float32_depthwise_2(const float *TINY_FLOAT32_RESTRICT input, const int32_t *TINY_FLOAT32_RESTRICT rows,
                              int32_t kh_begin, int32_t kh_end, const float *TINY_FLOAT32_RESTRICT weights,
                              const float *TINY_FLOAT32_RESTRICT bias, float *TINY_FLOAT32_RESTRICT output);
void tiny_float32_pointwise_2(const float *TINY_FLOAT32_RESTRICT input, const float *TINY_FLOAT32_RESTRICT weights,
                              const float *TINY_FLOAT32_RESTRICT bias, float *TINY_FLOAT32_RESTRICT output);
void tiny_float32_depthwise_3(const float *TINY_FLOAT32_RESTRICT input, const int32_t *TINY_FLOAT32_RESTRICT rows,
                              int32_t kh_begin, int32_t kh_end, const float *TINY_FLOAT32_RESTRICT weights,
                              const float *TINY_FLOAT32_RESTRICT bias, float *TINY_FLOAT32_RESTRICT output);
void tiny_float32_pool_1(const float *TINY_FLOAT32_RESTRICT input, float *TINY_FLOAT32_RESTRICT output);

#ifdef __cplusplus
}
#endif

#endif
