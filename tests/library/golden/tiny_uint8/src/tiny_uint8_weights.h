/*
 * tiny_uint8_weights.h: the constant arrays of tiny_uint8_weights.c.
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

#ifndef TINY_UINT8_WEIGHTS_H
#define TINY_UINT8_WEIGHTS_H

#include <stdint.h>

#ifndef TINY_UINT8_WEIGHTS_ATTR
#define TINY_UINT8_WEIGHTS_ATTR
#endif

#ifdef __cplusplus
extern "C" {
#endif

extern TINY_UINT8_WEIGHTS_ATTR const int8_t tiny_uint8_pointwise_1_weights[24];
extern TINY_UINT8_WEIGHTS_ATTR const int32_t tiny_uint8_pointwise_1_bias[8];
extern TINY_UINT8_WEIGHTS_ATTR const int32_t tiny_uint8_pointwise_1_multiplier[8];
extern TINY_UINT8_WEIGHTS_ATTR const int32_t tiny_uint8_pointwise_1_shift[8];
extern TINY_UINT8_WEIGHTS_ATTR const int8_t tiny_uint8_depthwise_1_weights[72];
extern TINY_UINT8_WEIGHTS_ATTR const int32_t tiny_uint8_depthwise_1_bias[8];
extern TINY_UINT8_WEIGHTS_ATTR const int32_t tiny_uint8_depthwise_1_multiplier[8];
extern TINY_UINT8_WEIGHTS_ATTR const int32_t tiny_uint8_depthwise_1_shift[8];

#ifdef __cplusplus
}
#endif

#endif
