/*
 * tiny_float32_weights.h: the constant arrays of tiny_float32_weights.c.
 *
 * Made by mbgen 0.0.0 with Apache TVM 0.0.0. Make it again rather than edit it.
 *
 * Model     built-in MobileNet V1, alpha 0.25, resolution 4, 8 classes
 * Weights   random
 * Target    cortex-a72: -mcpu=cortex-a72 -O3 -fno-schedule-insns
 * Options   alpha=0.25
 * Numerics  float32: the model's operations; sums may run in another order
 */

#ifndef TINY_FLOAT32_WEIGHTS_H
#define TINY_FLOAT32_WEIGHTS_H

#include <stdint.h>

#ifndef TINY_FLOAT32_WEIGHTS_ATTR
#define TINY_FLOAT32_WEIGHTS_ATTR
#endif

#ifdef __cplusplus
extern "C" {
#endif

extern TINY_FLOAT32_WEIGHTS_ATTR const float tiny_float32_conv_1_weights[108];
extern TINY_FLOAT32_WEIGHTS_ATTR const float tiny_float32_conv_1_bias[4];
extern TINY_FLOAT32_WEIGHTS_ATTR const float tiny_float32_depthwise_1_weights[36];
extern TINY_FLOAT32_WEIGHTS_ATTR const float tiny_float32_depthwise_1_bias[4];
extern TINY_FLOAT32_WEIGHTS_ATTR const float tiny_float32_pointwise_1_weights[24];
extern TINY_FLOAT32_WEIGHTS_ATTR const float tiny_float32_pointwise_1_bias[6];
extern TINY_FLOAT32_WEIGHTS_ATTR const float tiny_float32_depthwise_2_weights[54];
extern TINY_FLOAT32_WEIGHTS_ATTR const float tiny_float32_depthwise_2_bias[6];
extern TINY_FLOAT32_WEIGHTS_ATTR const float tiny_float32_pointwise_2_weights[24];
extern TINY_FLOAT32_WEIGHTS_ATTR const float tiny_float32_pointwise_2_bias[4];
extern TINY_FLOAT32_WEIGHTS_ATTR const float tiny_float32_depthwise_3_weights[36];
extern TINY_FLOAT32_WEIGHTS_ATTR const float tiny_float32_depthwise_3_bias[4];

#ifdef __cplusplus
}
#endif

#endif
