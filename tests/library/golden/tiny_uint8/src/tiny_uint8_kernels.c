/*
 * tiny_uint8_kernels.c: one function for each form of layer, printed from lowered TIR.
 *
 * Made by mbgen 0.0.0 with Apache TVM 0.0.0. Make it again rather than edit it.
 *
 * Model     built-in MobileNet V1, alpha 0.25, resolution 4, 8 classes
 * Weights   random
 * Target    cortex-m33: -mcpu=cortex-m33 -mthumb -mfloat-abi=hard -mfpu=fpv5-sp-d16 -O2 -ffunction-sections
 *           -fdata-sections
 * Options   alpha=0.25, preprocess=x/127.5-1
 * Numerics  tflite: every layer equals TFLite's reference kernels, bit for bit
 */

#include "tiny_uint8.h"
#include "tiny_uint8_internal.h"

#if TINY_UINT8_BUILD_ID != 0xD1D451E9UL
#error "tiny_uint8.h is from another run of mbgen than this file"
#endif

/*
 * (1, 4, 4, 3) to (1, 4, 4, 8)
 * plain loops
 * Touches input[48], weights[24], bias[8], multiplier[8], shift[8], output[128], counted in elements.
 */
void tiny_uint8_pointwise_1(const uint8_t *TINY_UINT8_RESTRICT input, const int8_t *TINY_UINT8_RESTRICT weights,
                            const int32_t *TINY_UINT8_RESTRICT bias, const int32_t *TINY_UINT8_RESTRICT multiplier,
                            const int32_t *TINY_UINT8_RESTRICT shift, uint8_t *TINY_UINT8_RESTRICT output)
{
    for (int32_t place = 0; place < 16; place++) {
        for (int32_t oc = 0; oc < 8; oc++) {
            int32_t acc = bias[oc];

            for (int32_t ic = 0; ic < 3; ic++) {
                acc += ((int32_t)input[place * 3 + ic] - 128) * (int32_t)weights[oc * 3 + ic];
            }
            acc = tiny_uint8_requantize_wide_i32(acc, multiplier[oc], shift[oc]) + 0;
            acc = tiny_uint8_max_i32(acc, 0);
            acc = tiny_uint8_min_i32(acc, 255);
            output[place * 8 + oc] = (uint8_t)acc;
        }
    }
}

/*
 * (1, 4, 4, 8) to (1, 4, 4, 8)
 * plain loops
 * Touches 32 elements of input from each of rows[3], weights[72], bias[8], multiplier[8], shift[8], output[32], counted
 *   in elements.
 */
void tiny_uint8_depthwise_1(const uint8_t *TINY_UINT8_RESTRICT input, const int32_t *TINY_UINT8_RESTRICT rows,
                            int32_t kh_begin, int32_t kh_end, const int8_t *TINY_UINT8_RESTRICT weights,
                            const int32_t *TINY_UINT8_RESTRICT bias, const int32_t *TINY_UINT8_RESTRICT multiplier,
                            const int32_t *TINY_UINT8_RESTRICT shift, uint8_t *TINY_UINT8_RESTRICT output)
{
    for (int32_t ow = 0; ow < 4; ow++) {
        for (int32_t oc = 0; oc < 8; oc++) {
            int32_t acc = bias[oc];

            for (int32_t kh = kh_begin; kh < kh_end; kh++) {
                for (int32_t kw = 0; kw < 3; kw++) {
                    const int32_t iw = ow * 1 + kw * 1 - 1;

                    for (int32_t ic = oc; iw >= 0 && iw < 4 && ic < oc + 1; ic++) {
                        const int32_t x = (int32_t)input[rows[kh] + iw * 8 + ic] - 0;

                        acc += x * (int32_t)weights[(kh * 3 + kw) * 8 + ic];
                    }
                }
            }
            acc = tiny_uint8_requantize_wide_i32(acc, multiplier[oc], shift[oc]) + 131;
            acc = tiny_uint8_max_i32(acc, 0);
            acc = tiny_uint8_min_i32(acc, 255);
            output[ow * 8 + oc] = (uint8_t)acc;
        }
    }
}

/*
 * (1, 4, 4, 8) to (1, 1, 1, 8)
 * plain loops
 * Touches input[128], output[8], counted in elements.
 */
void tiny_uint8_pool_1(const uint8_t *TINY_UINT8_RESTRICT input, uint8_t *TINY_UINT8_RESTRICT output)
{
    for (int32_t oc = 0; oc < 8; oc++) {
        int32_t acc = 0;

        for (int32_t place = 0; place < 16; place++) {
            acc += (int32_t)input[place * 8 + oc];
        }
        acc = tiny_uint8_average_i32(acc, 16);
        acc = tiny_uint8_max_i32(acc, 0);
        acc = tiny_uint8_min_i32(acc, 255);
        output[oc] = (uint8_t)acc;
    }
}
