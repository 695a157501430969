/*
 * tiny_int8_internal.h: what goes beyond C99 or stays inside the library.
 *
 * Made by mbgen 0.0.0 with Apache TVM 0.0.0. Make it again rather than edit it.
 *
 * Model     built-in MobileNet V1, alpha 0.25, resolution 4, 8 classes
 * Weights   random
 * Target    cortex-m4: -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -O2 -ffunction-sections
 *           -fdata-sections
 * Options   alpha=0.25, preprocess=x/127.5-1
 * Numerics  tflite: every layer equals TFLite's reference kernels, bit for bit
 */

#ifndef TINY_INT8_INTERNAL_H
#define TINY_INT8_INTERNAL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define TINY_INT8_RESTRICT __restrict__
#define TINY_INT8_INLINE __inline__ __attribute__((__always_inline__))
#elif defined(__cplusplus)
#define TINY_INT8_RESTRICT
#define TINY_INT8_INLINE inline
#else
#define TINY_INT8_RESTRICT restrict
#define TINY_INT8_INLINE inline
#endif

/* total / count, rounded to nearest, half away from zero. */
static TINY_INT8_INLINE int32_t tiny_int8_average_i32(int32_t total, int32_t count)
{
    return (total > 0 ? total + count / 2 : total - count / 2) / count;
}

/* Copy `count` bytes between places that lie apart. */
#if defined(__GNUC__)
__attribute__((__noinline__, __unused__))
#endif
static void tiny_int8_copy_bytes(void *y, const void *x, size_t count)
{
    size_t left = count;
#if defined(__GNUC__) && !defined(__clang__) && defined(__ARM_FEATURE_DSP) && defined(__OPTIMIZE__)
    size_t lines = (((uintptr_t)y | (uintptr_t)x) & 3U) == 0U ? count / 32 : 0;

    left -= 32 * lines;
    __asm__ volatile(
        "cmp %[lines], #0\n\t"
        "beq 2f\n\t"
        "1:\n\t"
        "ldm %[x]!, {r4, r5, r6, r8, r9, r10, r11, r12}\n\t"
        "stm %[y]!, {r4, r5, r6, r8, r9, r10, r11, r12}\n\t"
        "subs %[lines], %[lines], #1\n\t"
        "bne 1b\n\t"
        "2:\n\t"
        : [y] "+r"(y), [x] "+r"(x), [lines] "+r"(lines)
        : 
        : "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "cc", "memory");
#endif
    if (left > 0) {
        (void)memcpy(y, x, left);
    }
}

static TINY_INT8_INLINE int32_t tiny_int8_max_i32(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

static TINY_INT8_INLINE int32_t tiny_int8_min_i32(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/*
 * acc * multiplier * 2^(shift - 31), rounded twice as TFLite does; shift, from -31 to 31, is positive to the left.
 * A sum that the left shift takes beyond int32 stays at its end, from where every clamp to bytes is the same.
 */
static TINY_INT8_INLINE int32_t tiny_int8_requantize_wide_i32(int32_t acc, int32_t multiplier, int32_t shift)
{
    const int32_t left = shift > 0 ? shift : 0;
    const int32_t right = shift > 0 ? 0 : -shift;
    const int64_t raised = (int64_t)acc * ((int64_t)1 << left);
    const int64_t scaled = raised < INT32_MIN ? INT32_MIN : (raised > INT32_MAX ? INT32_MAX : raised);
    const int32_t high = (int32_t)((scaled * multiplier + ((int64_t)1 << 30)) >> 31);
    const int32_t half = (int32_t)(((int64_t)1 << right) >> 1);

    return (int32_t)(((int64_t)high + half - (high < 0 && right > 0 ? 1 : 0)) >> right);
}

#ifdef __cplusplus
extern "C" {
#endif

void tiny_int8_conv_1(const int8_t *TINY_INT8_RESTRICT input, const int32_t *TINY_INT8_RESTRICT rows, int32_t kh_begin,
                      int32_t kh_end, const int8_t *TINY_INT8_RESTRICT weights, const int32_t *TINY_INT8_RESTRICT bias,
                      const int32_t *TINY_INT8_RESTRICT multiplier, const int32_t *TINY_INT8_RESTRICT shift,
                      int8_t *TINY_INT8_RESTRICT output);
void tiny_int8_depthwise_1(const int8_t *TINY_INT8_RESTRICT input, const int32_t *TINY_INT8_RESTRICT rows,
                           int32_t kh_begin, int32_t kh_end, const int8_t *TINY_INT8_RESTRICT weights,
                           const int32_t *TINY_INT8_RESTRICT bias, const int32_t *TINY_INT8_RESTRICT multiplier,
                           const int32_t *TINY_INT8_RESTRICT shift, int8_t *TINY_INT8_RESTRICT output);
void tiny_int8_pointwise_1(const int8_t *TINY_INT8_RESTRICT input, const int8_t *TINY_INT8_RESTRICT weights,
                           const int32_t *TINY_INT8_RESTRICT bias, const int32_t *TINY_INT8_RESTRICT multiplier,
                           const int32_t *TINY_INT8_RESTRICT shift, int8_t *TINY_INT8_RESTRICT output);
void tiny_int8_depthwise_2(const int8_t *TINY_INT8_RESTRICT input, const int32_t *TINY_INT8_RESTRICT rows,
                           int32_t kh_begin, int32_t kh_end, const int8_t *TINY_INT8_RESTRICT weights,
                           const int32_t *TINY_INT8_RESTRICT bias, const int32_t *TINY_INT8_RESTRICT multiplier,
                           const int32_t *TINY_INT8_RESTRICT shift, int8_t *TINY_INT8_RESTRICT output);
void tiny_int8_pointwise_2(const int8_t *TINY_INT8_RESTRICT input, const int8_t *TINY_INT8_RESTRICT weights,
                           const int32_t *TINY_INT8_RESTRICT bias, const int32_t *TINY_INT8_RESTRICT multiplier,
                           const int32_t *TINY_INT8_RESTRICT shift, int8_t *TINY_INT8_RESTRICT output);
void tiny_int8_depthwise_3(const int8_t *TINY_INT8_RESTRICT input, const int32_t *TINY_INT8_RESTRICT rows,
                           int32_t kh_begin, int32_t kh_end, const int8_t *TINY_INT8_RESTRICT weights,
                           const int32_t *TINY_INT8_RESTRICT bias, const int32_t *TINY_INT8_RESTRICT multiplier,
                           const int32_t *TINY_INT8_RESTRICT shift, int8_t *TINY_INT8_RESTRICT output);
void tiny_int8_pool_1(const int8_t *TINY_INT8_RESTRICT input, int8_t *TINY_INT8_RESTRICT output);

#ifdef __cplusplus
}
#endif

#endif
