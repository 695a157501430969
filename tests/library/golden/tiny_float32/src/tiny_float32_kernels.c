/*
 * tiny_float32_kernels.c: one function for each form of layer, printed from lowered TIR.
 *
 * Made by mbgen 0.0.0 with Apache TVM 0.0.0. Make it again rather than edit it.
 *
 * Model     built-in MobileNet V1, alpha 0.25, resolution 4, 8 classes
 * Weights   random
 * Target    cortex-a72: -mcpu=cortex-a72 -O3 -fno-schedule-insns
 * Options   alpha=0.25
 * Numerics  float32: the model's operations; sums may run in another order
 */

#include "tiny_float32.h"
#include "tiny_float32_internal.h"

#if TINY_FLOAT32_BUILD_ID != 0xABABCC9FUL
#error "tiny_float32.h is from another run of mbgen than this file"
#endif

/*
 * pointwise (1, 4, 4, 3) to (1, 4, 4, 8)
 * plain loops
 * Touches input[48], weights[24], bias[8], output[128].
 */
void tiny_float32_pointwise_1(const float *TINY_FLOAT32_RESTRICT input, const float *TINY_FLOAT32_RESTRICT weights,
                              const float *TINY_FLOAT32_RESTRICT bias, float *TINY_FLOAT32_RESTRICT output)
{
    for (int32_t place = 0; place < 16; place++) {
        for (int32_t oc = 0; oc < 8; oc += 4) {
            tiny_float32_f32x4 acc = *(const tiny_float32_f32x4_u *)(bias + oc);

            for (int32_t ic = 0; ic < 3; ic++) {
                acc += input[place * 3 + ic] * *(const tiny_float32_f32x4_u *)(weights + ic * 8 + oc);
            }
            for (int32_t lane = 0; lane < 4; lane++) {
                acc[lane] = tiny_float32_min_f32(tiny_float32_max_f32(acc[lane], 0.0f), 6.0f);
            }
            *(tiny_float32_f32x4_u *)(output + place * 8 + oc) = acc;
        }
    }
}

/*
 * depthwise (1, 4, 4, 8) to (1, 4, 4, 8)
 * plain loops
 * Touches input[128], weights[72], bias[8], output[128].
 */
void tiny_float32_depthwise_1(const float *TINY_FLOAT32_RESTRICT input, const float *TINY_FLOAT32_RESTRICT weights,
                              const float *TINY_FLOAT32_RESTRICT bias, float *TINY_FLOAT32_RESTRICT output)
{
    for (int32_t oh = 0; oh < 4; oh++) {
        for (int32_t ow = 0; ow < 4; ow++) {
            for (int32_t oc = 0; oc < 8; oc++) {
                float acc = bias[oc];

                for (int32_t kh = 0; kh < 3; kh++) {
                    for (int32_t kw = 0; kw < 3; kw++) {
                        const int32_t ih = oh + kh - 1;
                        const int32_t iw = ow + kw - 1;
                        const int32_t inside = ih >= 0 && ih < 4 && iw >= 0 && iw < 4;
                        const float value = inside ? input[(ih * 4 + iw) * 8 + oc] : 0.0f;

                        acc += value * weights[(kh * 3 + kw) * 8 + oc];
                    }
                }
                output[(oh * 4 + ow) * 8 + oc] = acc;
            }
        }
    }
}

/*
 * pool (1, 4, 4, 8) to (1, 1, 1, 8)
 * plain loops
 * Touches input[128], output[8].
 */
void tiny_float32_pool_1(const float *TINY_FLOAT32_RESTRICT input, float *TINY_FLOAT32_RESTRICT output)
{
    for (int32_t oc = 0; oc < 8; oc++) {
        float total = 0.0f;

        for (int32_t place = 0; place < 16; place++) {
            total += input[place * 8 + oc];
        }
        output[oc] = total / 16.0f;
    }
}
