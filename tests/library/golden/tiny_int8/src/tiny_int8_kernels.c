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

#if TINY_INT8_BUILD_ID != 0x5D5F63C3UL
#error "tiny_int8.h is from another run of mbgen than this file"
#endif

/*
 * (1, 25, 19, 3) to (1, 13, 10, 4)
 * plain loops
 * Touches 57 elements of input from each of rows[3], weights[108], bias[4], multiplier[4], shift[4], output[40],
 *   counted in elements.
 */
void tiny_int8_conv_1(const int8_t *TINY_INT8_RESTRICT input, const int32_t *TINY_INT8_RESTRICT rows, int32_t kh_begin,
                      int32_t kh_end, const int8_t *TINY_INT8_RESTRICT weights, const int32_t *TINY_INT8_RESTRICT bias,
                      const int32_t *TINY_INT8_RESTRICT multiplier, const int32_t *TINY_INT8_RESTRICT shift,
                      int8_t *TINY_INT8_RESTRICT output)
{
    for (int32_t ow = 0; ow < 10; ow++) {
        for (int32_t oc = 0; oc < 4; oc++) {
            int32_t acc = bias[oc];

            for (int32_t kh = kh_begin; kh < kh_end; kh++) {
                for (int32_t kw = 0; kw < 3; kw++) {
                    const int32_t iw = ow * 2 + kw * 1 - 1;

                    for (int32_t ic = 0; iw >= 0 && iw < 19 && ic < 3; ic++) {
                        const int32_t x = (int32_t)input[rows[kh] + iw * 3 + ic] - 0;

                        acc += x * (int32_t)weights[((oc * 3 + kh) * 3 + kw) * 3 + ic];
                    }
                }
            }
            acc = tiny_int8_requantize_wide_i32(acc, multiplier[oc], shift[oc]) + -128;
            acc = tiny_int8_max_i32(acc, -128);
            acc = tiny_int8_min_i32(acc, 127);
            output[ow * 4 + oc] = (int8_t)acc;
        }
    }
}

/*
 * (1, 13, 10, 4) to (1, 13, 10, 4)
 * plain loops
 * Touches 40 elements of input from each of rows[3], weights[36], bias[4], multiplier[4], shift[4], output[40], counted
 *   in elements.
 */
void tiny_int8_depthwise_1(const int8_t *TINY_INT8_RESTRICT input, const int32_t *TINY_INT8_RESTRICT rows,
                           int32_t kh_begin, int32_t kh_end, const int8_t *TINY_INT8_RESTRICT weights,
                           const int32_t *TINY_INT8_RESTRICT bias, const int32_t *TINY_INT8_RESTRICT multiplier,
                           const int32_t *TINY_INT8_RESTRICT shift, int8_t *TINY_INT8_RESTRICT output)
{
    for (int32_t ow = 0; ow < 10; ow++) {
        for (int32_t oc = 0; oc < 4; oc++) {
            int32_t acc = bias[oc];

            for (int32_t kh = kh_begin; kh < kh_end; kh++) {
                for (int32_t kw = 0; kw < 3; kw++) {
                    const int32_t iw = ow * 1 + kw * 1 - 1;

                    for (int32_t ic = oc; iw >= 0 && iw < 10 && ic < oc + 1; ic++) {
                        const int32_t x = (int32_t)input[rows[kh] + iw * 4 + ic] - (-128);

                        acc += x * (int32_t)weights[(kh * 3 + kw) * 4 + ic];
                    }
                }
            }
            acc = tiny_int8_requantize_wide_i32(acc, multiplier[oc], shift[oc]) + -1;
            acc = tiny_int8_max_i32(acc, -128);
            acc = tiny_int8_min_i32(acc, 127);
            output[ow * 4 + oc] = (int8_t)acc;
        }
    }
}

/*
 * (1, 13, 10, 4) to (1, 13, 10, 6)
 * plain loops
 * Touches input[40], weights[24], bias[6], multiplier[6], shift[6], output[60], counted in elements.
 */
void tiny_int8_pointwise_1(const int8_t *TINY_INT8_RESTRICT input, const int8_t *TINY_INT8_RESTRICT weights,
                           const int32_t *TINY_INT8_RESTRICT bias, const int32_t *TINY_INT8_RESTRICT multiplier,
                           const int32_t *TINY_INT8_RESTRICT shift, int8_t *TINY_INT8_RESTRICT output)
{
    for (int32_t place = 0; place < 10; place++) {
        for (int32_t oc = 0; oc < 6; oc++) {
            int32_t acc = bias[oc];

            for (int32_t ic = 0; ic < 4; ic++) {
                acc += ((int32_t)input[place * 4 + ic] - (-1)) * (int32_t)weights[oc * 4 + ic];
            }
            acc = tiny_int8_requantize_wide_i32(acc, multiplier[oc], shift[oc]) + 3;
            acc = tiny_int8_max_i32(acc, -128);
            acc = tiny_int8_min_i32(acc, 127);
            output[place * 6 + oc] = (int8_t)acc;
        }
    }
}

/*
 * (1, 13, 10, 6) to (1, 7, 5, 6)
 * plain loops
 * Touches 60 elements of input from each of rows[3], weights[54], bias[6], multiplier[6], shift[6], output[30], counted
 *   in elements.
 */
void tiny_int8_depthwise_2(const int8_t *TINY_INT8_RESTRICT input, const int32_t *TINY_INT8_RESTRICT rows,
                           int32_t kh_begin, int32_t kh_end, const int8_t *TINY_INT8_RESTRICT weights,
                           const int32_t *TINY_INT8_RESTRICT bias, const int32_t *TINY_INT8_RESTRICT multiplier,
                           const int32_t *TINY_INT8_RESTRICT shift, int8_t *TINY_INT8_RESTRICT output)
{
    for (int32_t ow = 0; ow < 5; ow++) {
        for (int32_t oc = 0; oc < 6; oc++) {
            int32_t acc = bias[oc];

            for (int32_t kh = kh_begin; kh < kh_end; kh++) {
                for (int32_t kw = 0; kw < 3; kw++) {
                    const int32_t iw = ow * 2 + kw * 1 - 1;

                    for (int32_t ic = oc; iw >= 0 && iw < 10 && ic < oc + 1; ic++) {
                        const int32_t x = (int32_t)input[rows[kh] + iw * 6 + ic] - 3;

                        acc += x * (int32_t)weights[(kh * 3 + kw) * 6 + ic];
                    }
                }
            }
            acc = tiny_int8_requantize_wide_i32(acc, multiplier[oc], shift[oc]) + 3;
            acc = tiny_int8_max_i32(acc, -128);
            acc = tiny_int8_min_i32(acc, 127);
            output[ow * 6 + oc] = (int8_t)acc;
        }
    }
}

/*
 * (1, 7, 5, 6) to (1, 7, 5, 4)
 * plain loops
 * Touches input[30], weights[24], bias[4], multiplier[4], shift[4], output[20], counted in elements.
 */
void tiny_int8_pointwise_2(const int8_t *TINY_INT8_RESTRICT input, const int8_t *TINY_INT8_RESTRICT weights,
                           const int32_t *TINY_INT8_RESTRICT bias, const int32_t *TINY_INT8_RESTRICT multiplier,
                           const int32_t *TINY_INT8_RESTRICT shift, int8_t *TINY_INT8_RESTRICT output)
{
    for (int32_t place = 0; place < 5; place++) {
        for (int32_t oc = 0; oc < 4; oc++) {
            int32_t acc = bias[oc];

            for (int32_t ic = 0; ic < 6; ic++) {
                acc += ((int32_t)input[place * 6 + ic] - 3) * (int32_t)weights[oc * 6 + ic];
            }
            acc = tiny_int8_requantize_wide_i32(acc, multiplier[oc], shift[oc]) + -20;
            acc = tiny_int8_max_i32(acc, -128);
            acc = tiny_int8_min_i32(acc, 127);
            output[place * 4 + oc] = (int8_t)acc;
        }
    }
}

/*
 * (1, 7, 5, 4) to (1, 7, 5, 4)
 * plain loops
 * Touches 20 elements of input from each of rows[3], weights[36], bias[4], multiplier[4], shift[4], output[20], counted
 *   in elements.
 */
void tiny_int8_depthwise_3(const int8_t *TINY_INT8_RESTRICT input, const int32_t *TINY_INT8_RESTRICT rows,
                           int32_t kh_begin, int32_t kh_end, const int8_t *TINY_INT8_RESTRICT weights,
                           const int32_t *TINY_INT8_RESTRICT bias, const int32_t *TINY_INT8_RESTRICT multiplier,
                           const int32_t *TINY_INT8_RESTRICT shift, int8_t *TINY_INT8_RESTRICT output)
{
    for (int32_t ow = 0; ow < 5; ow++) {
        for (int32_t oc = 0; oc < 4; oc++) {
            int32_t acc = bias[oc];

            for (int32_t kh = kh_begin; kh < kh_end; kh++) {
                for (int32_t kw = 0; kw < 3; kw++) {
                    const int32_t iw = ow * 1 + kw * 1 - 1;

                    for (int32_t ic = oc; iw >= 0 && iw < 5 && ic < oc + 1; ic++) {
                        const int32_t x = (int32_t)input[rows[kh] + iw * 4 + ic] - (-20);

                        acc += x * (int32_t)weights[(kh * 3 + kw) * 4 + ic];
                    }
                }
            }
            acc = tiny_int8_requantize_wide_i32(acc, multiplier[oc], shift[oc]) + 3;
            acc = tiny_int8_max_i32(acc, -128);
            acc = tiny_int8_min_i32(acc, 127);
            output[ow * 4 + oc] = (int8_t)acc;
        }
    }
}

/*
 * (1, 7, 5, 4) to (1, 1, 1, 4)
 * plain loops
 * Touches input[140], output[4], counted in elements.
 */
void tiny_int8_pool_1(const int8_t *TINY_INT8_RESTRICT input, int8_t *TINY_INT8_RESTRICT output)
{
    for (int32_t oc = 0; oc < 4; oc++) {
        int32_t acc = 0;

        for (int32_t place = 0; place < 35; place++) {
            acc += (int32_t)input[place * 4 + oc];
        }
        acc = tiny_int8_average_i32(acc, 35);
        acc = tiny_int8_max_i32(acc, -128);
        acc = tiny_int8_min_i32(acc, 127);
        output[oc] = (int8_t)acc;
    }
}
