/*
 * tiny_int8_kernels.c: one function for each form of layer, printed from lowered TIR.
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

#include "tiny_int8.h"
#include "tiny_int8_internal.h"

#if TINY_INT8_BUILD_ID != 0x9FC667B4UL
#error "tiny_int8.h is from another run of mbgen than this file"
#endif

/*
 * pointwise (1, 4, 4, 3) to (1, 4, 4, 8)
 * plain loops
 * Touches input[48], weights[24], bias[8], multiplier[8], shift[8], output[128].
 */
void tiny_int8_pointwise_1(const int8_t *TINY_INT8_RESTRICT input, const int8_t *TINY_INT8_RESTRICT weights,
                           const int32_t *TINY_INT8_RESTRICT bias, const int32_t *TINY_INT8_RESTRICT multiplier,
                           const int32_t *TINY_INT8_RESTRICT shift, int8_t *TINY_INT8_RESTRICT output)
{
    for (int32_t place = 0; place < 16; place++) {
        for (int32_t oc = 0; oc < 8; oc++) {
            int32_t acc = bias[oc];

            for (int32_t ic = 0; ic < 3; ic++) {
                acc += (int32_t)input[place * 3 + ic] * (int32_t)weights[oc * 3 + ic];
            }
            acc = tiny_int8_requantize_wide_i32(acc, multiplier[oc], shift[oc]) + -128;
            acc = tiny_int8_min_i32(acc, 127);
            output[place * 8 + oc] = (int8_t)tiny_int8_max_i32(acc, -128);
        }
    }
}

/*
 * depthwise (1, 4, 4, 8) to (1, 4, 4, 8)
 * plain loops
 * Touches input[128], weights[72], bias[8], multiplier[8], shift[8], output[128].
 */
void tiny_int8_depthwise_1(const int8_t *TINY_INT8_RESTRICT input, const int8_t *TINY_INT8_RESTRICT weights,
                           const int32_t *TINY_INT8_RESTRICT bias, const int32_t *TINY_INT8_RESTRICT multiplier,
                           const int32_t *TINY_INT8_RESTRICT shift, int8_t *TINY_INT8_RESTRICT output)
{
    for (int32_t oh = 0; oh < 4; oh++) {
        for (int32_t ow = 0; ow < 4; ow++) {
            for (int32_t oc = 0; oc < 8; oc++) {
                int32_t acc = bias[oc];

                for (int32_t kh = 0; kh < 3; kh++) {
                    for (int32_t kw = 0; kw < 3; kw++) {
                        const int32_t ih = oh + kh - 1;
                        const int32_t iw = ow + kw - 1;
                        const int32_t inside = ih >= 0 && ih < 4 && iw >= 0 && iw < 4;
                        const int32_t value = inside ? (int32_t)input[(ih * 4 + iw) * 8 + oc] : -128;

                        acc += value * (int32_t)weights[(kh * 3 + kw) * 8 + oc];
                    }
                }
                acc = tiny_int8_requantize_wide_i32(acc, multiplier[oc], shift[oc]) + 3;
            acc = tiny_int8_min_i32(acc, 127);
            output[(oh * 4 + ow) * 8 + oc] = (int8_t)tiny_int8_max_i32(acc, -128);
            }
        }
    }
}

/*
 * pool (1, 4, 4, 8) to (1, 1, 1, 8)
 * plain loops
 * Touches input[128], output[8].
 */
void tiny_int8_pool_1(const int8_t *TINY_INT8_RESTRICT input, int8_t *TINY_INT8_RESTRICT output)
{
    for (int32_t oc = 0; oc < 8; oc++) {
        int32_t total = 0;

        for (int32_t place = 0; place < 16; place++) {
            total += (int32_t)input[place * 8 + oc];
        }
        output[oc] = (int8_t)tiny_int8_average_i32(total, 16);
    }
}
