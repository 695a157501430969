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

#if TINY_FLOAT32_BUILD_ID != 0x84CE55E3UL
#error "tiny_float32.h is from another run of mbgen than this file"
#endif

/*
 * (1, 25, 19, 3) to (1, 13, 10, 4)
 * plain loops
 * Touches 57 elements of input from each of rows[3], weights[108], bias[4], output[40], counted in elements.
 */
void tiny_float32_conv_1(const float *TINY_FLOAT32_RESTRICT input, const int32_t *TINY_FLOAT32_RESTRICT rows,
                         int32_t kh_begin, int32_t kh_end, const float *TINY_FLOAT32_RESTRICT weights,
                         const float *TINY_FLOAT32_RESTRICT bias, float *TINY_FLOAT32_RESTRICT output)
{
    for (int32_t ow = 0; ow < 10; ow++) {
        for (int32_t oc = 0; oc < 4; oc++) {
            float acc = bias[oc];

            for (int32_t kh = kh_begin; kh < kh_end; kh++) {
                for (int32_t kw = 0; kw < 3; kw++) {
                    const int32_t iw = ow * 2 + kw * 1 - 1;

                    for (int32_t ic = 0; iw >= 0 && iw < 19 && ic < 3; ic++) {
                        const float x = (float)input[rows[kh] + iw * 3 + ic] - 0.0f;

                        acc += x * (float)weights[((oc * 3 + kh) * 3 + kw) * 3 + ic];
                    }
                }
            }
            output[ow * 4 + oc] = (float)acc;
        }
    }
}

/*
 * (1, 13, 10, 4) to (1, 13, 10, 4)
 * plain loops
 * Touches 40 elements of input from each of rows[3], weights[36], bias[4], output[40], counted in elements.
 */
void tiny_float32_depthwise_1(const float *TINY_FLOAT32_RESTRICT input, const int32_t *TINY_FLOAT32_RESTRICT rows,
                              int32_t kh_begin, int32_t kh_end, const float *TINY_FLOAT32_RESTRICT weights,
                              const float *TINY_FLOAT32_RESTRICT bias, float *TINY_FLOAT32_RESTRICT output)
{
    for (int32_t ow = 0; ow < 10; ow++) {
        for (int32_t oc = 0; oc < 4; oc++) {
            float acc = bias[oc];

            for (int32_t kh = kh_begin; kh < kh_end; kh++) {
                for (int32_t kw = 0; kw < 3; kw++) {
                    const int32_t iw = ow * 1 + kw * 1 - 1;

                    for (int32_t ic = oc; iw >= 0 && iw < 10 && ic < oc + 1; ic++) {
                        const float x = (float)input[rows[kh] + iw * 4 + ic] - 0.0f;

                        acc += x * (float)weights[(kh * 3 + kw) * 4 + ic];
                    }
                }
            }
            output[ow * 4 + oc] = (float)acc;
        }
    }
}

/*
 * (1, 13, 10, 4) to (1, 13, 10, 6)
 * plain loops
 * Touches input[40], weights[24], bias[6], output[60], counted in elements.
 */
void tiny_float32_pointwise_1(const float *TINY_FLOAT32_RESTRICT input, const float *TINY_FLOAT32_RESTRICT weights,
                              const float *TINY_FLOAT32_RESTRICT bias, float *TINY_FLOAT32_RESTRICT output)
{
    for (int32_t place = 0; place < 10; place++) {
        for (int32_t oc = 0; oc < 6; oc++) {
            float acc = bias[oc];

            for (int32_t ic = 0; ic < 4; ic++) {
                acc += ((float)input[place * 4 + ic] - 0.0f) * (float)weights[oc * 4 + ic];
            }
            output[place * 6 + oc] = (float)acc;
        }
    }
}

/*
 * (1, 13, 10, 6) to (1, 7, 5, 6)
 * plain loops
 * Touches 60 elements of input from each of rows[3], weights[54], bias[6], output[30], counted in elements.
 */
void tiny_float32_depthwise_2(const float *TINY_FLOAT32_RESTRICT input, const int32_t *TINY_FLOAT32_RESTRICT rows,
                              int32_t kh_begin, int32_t kh_end, const float *TINY_FLOAT32_RESTRICT weights,
                              const float *TINY_FLOAT32_RESTRICT bias, float *TINY_FLOAT32_RESTRICT output)
{
    for (int32_t ow = 0; ow < 5; ow++) {
        for (int32_t oc = 0; oc < 6; oc++) {
            float acc = bias[oc];

            for (int32_t kh = kh_begin; kh < kh_end; kh++) {
                for (int32_t kw = 0; kw < 3; kw++) {
                    const int32_t iw = ow * 2 + kw * 1 - 1;

                    for (int32_t ic = oc; iw >= 0 && iw < 10 && ic < oc + 1; ic++) {
                        const float x = (float)input[rows[kh] + iw * 6 + ic] - 0.0f;

                        acc += x * (float)weights[(kh * 3 + kw) * 6 + ic];
                    }
                }
            }
            output[ow * 6 + oc] = (float)acc;
        }
    }
}

/*
 * (1, 7, 5, 6) to (1, 7, 5, 4)
 * plain loops
 * Touches input[30], weights[24], bias[4], output[20], counted in elements.
 */
void tiny_float32_pointwise_2(const float *TINY_FLOAT32_RESTRICT input, const float *TINY_FLOAT32_RESTRICT weights,
                              const float *TINY_FLOAT32_RESTRICT bias, float *TINY_FLOAT32_RESTRICT output)
{
    for (int32_t place = 0; place < 5; place++) {
        for (int32_t oc = 0; oc < 4; oc++) {
            float acc = bias[oc];

            for (int32_t ic = 0; ic < 6; ic++) {
                acc += ((float)input[place * 6 + ic] - 0.0f) * (float)weights[oc * 6 + ic];
            }
            output[place * 4 + oc] = (float)acc;
        }
    }
}

/*
 * (1, 7, 5, 4) to (1, 7, 5, 4)
 * plain loops
 * Touches 20 elements of input from each of rows[3], weights[36], bias[4], output[20], counted in elements.
 */
void tiny_float32_depthwise_3(const float *TINY_FLOAT32_RESTRICT input, const int32_t *TINY_FLOAT32_RESTRICT rows,
                              int32_t kh_begin, int32_t kh_end, const float *TINY_FLOAT32_RESTRICT weights,
                              const float *TINY_FLOAT32_RESTRICT bias, float *TINY_FLOAT32_RESTRICT output)
{
    for (int32_t ow = 0; ow < 5; ow++) {
        for (int32_t oc = 0; oc < 4; oc++) {
            float acc = bias[oc];

            for (int32_t kh = kh_begin; kh < kh_end; kh++) {
                for (int32_t kw = 0; kw < 3; kw++) {
                    const int32_t iw = ow * 1 + kw * 1 - 1;

                    for (int32_t ic = oc; iw >= 0 && iw < 5 && ic < oc + 1; ic++) {
                        const float x = (float)input[rows[kh] + iw * 4 + ic] - 0.0f;

                        acc += x * (float)weights[(kh * 3 + kw) * 4 + ic];
                    }
                }
            }
            output[ow * 4 + oc] = (float)acc;
        }
    }
}

/*
 * (1, 7, 5, 4) to (1, 1, 1, 4)
 * plain loops
 * Touches input[140], output[4], counted in elements.
 */
void tiny_float32_pool_1(const float *TINY_FLOAT32_RESTRICT input, float *TINY_FLOAT32_RESTRICT output)
{
    for (int32_t oc = 0; oc < 4; oc++) {
        float acc = 0;

        for (int32_t place = 0; place < 35; place++) {
            acc += (float)input[place * 4 + oc];
        }
        acc /= 35.0f;
        output[oc] = (float)acc;
    }
}
