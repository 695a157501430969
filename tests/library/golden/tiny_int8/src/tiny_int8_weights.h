/*
 * tiny_int8_weights.h: the constant arrays of tiny_int8_weights.c.
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

#ifndef TINY_INT8_WEIGHTS_H
#define TINY_INT8_WEIGHTS_H

#include <stdint.h>

#ifndef TINY_INT8_WEIGHTS_ATTR
#define TINY_INT8_WEIGHTS_ATTR
#endif

#ifdef __cplusplus
extern "C" {
#endif

extern TINY_INT8_WEIGHTS_ATTR const int8_t tiny_int8_conv_1_weights[108];
extern TINY_INT8_WEIGHTS_ATTR const int32_t tiny_int8_conv_1_bias[4];
extern TINY_INT8_WEIGHTS_ATTR const int32_t tiny_int8_conv_1_multiplier[4];
extern TINY_INT8_WEIGHTS_ATTR const int32_t tiny_int8_conv_1_shift[4];
extern TINY_INT8_WEIGHTS_ATTR const int8_t tiny_int8_depthwise_1_weights[36];
extern TINY_INT8_WEIGHTS_ATTR const int32_t tiny_int8_depthwise_1_bias[4];
extern TINY_INT8_WEIGHTS_ATTR const int32_t tiny_int8_depthwise_1_multiplier[4];
extern TINY_INT8_WEIGHTS_ATTR const int32_t tiny_int8_depthwise_1_shift[4];
extern TINY_INT8_WEIGHTS_ATTR const int8_t tiny_int8_pointwise_1_weights[24];
extern TINY_INT8_WEIGHTS_ATTR const int32_t tiny_int8_pointwise_1_bias[6];
extern TINY_INT8_WEIGHTS_ATTR const int32_t tiny_int8_pointwise_1_multiplier[6];
extern TINY_INT8_WEIGHTS_ATTR const int32_t tiny_int8_pointwise_1_shift[6];
extern TINY_INT8_WEIGHTS_ATTR const int8_t tiny_int8_depthwise_2_weights[54];
extern TINY_INT8_WEIGHTS_ATTR const int32_t tiny_int8_depthwise_2_bias[6];
extern TINY_INT8_WEIGHTS_ATTR const int32_t tiny_int8_depthwise_2_multiplier[6];
extern TINY_INT8_WEIGHTS_ATTR const int32_t tiny_int8_depthwise_2_shift[6];
extern TINY_INT8_WEIGHTS_ATTR const int8_t tiny_int8_pointwise_2_weights[24];
extern TINY_INT8_WEIGHTS_ATTR const int32_t tiny_int8_pointwise_2_bias[4];
extern TINY_INT8_WEIGHTS_ATTR const int32_t tiny_int8_pointwise_2_multiplier[4];
extern TINY_INT8_WEIGHTS_ATTR const int32_t tiny_int8_pointwise_2_shift[4];
extern TINY_INT8_WEIGHTS_ATTR const int8_t tiny_int8_depthwise_3_weights[36];
extern TINY_INT8_WEIGHTS_ATTR const int32_t tiny_int8_depthwise_3_bias[4];
extern TINY_INT8_WEIGHTS_ATTR const int32_t tiny_int8_depthwise_3_multiplier[4];
extern TINY_INT8_WEIGHTS_ATTR const int32_t tiny_int8_depthwise_3_shift[4];

#ifdef __cplusplus
}
#endif

#endif
