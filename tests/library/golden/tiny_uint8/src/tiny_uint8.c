/*
 * tiny_uint8.c: the network, layer by layer.
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

#include <stddef.h>

#include "tiny_uint8_internal.h"
#include "tiny_uint8_weights.h"

#if TINY_UINT8_BUILD_ID != 0xF9378DB1UL
#error "tiny_uint8.h is from another run of mbgen than this file"
#endif

#ifndef TINY_UINT8_LAYER_BEGIN
#define TINY_UINT8_LAYER_BEGIN(i) ((void)0)
#endif

#ifndef TINY_UINT8_LAYER_END
#define TINY_UINT8_LAYER_END(i) ((void)0)
#endif

enum tiny_uint8_status tiny_uint8_invoke(struct tiny_uint8_arena *arena, const uint8_t *input, uint8_t *output)
{
    if (arena == NULL || input == NULL || output == NULL) {
        return TINY_UINT8_ERROR_NULL;
    }

    /* 0  pointwise_1: pointwise 4x4x3 -> 4x4x8 */
    TINY_UINT8_LAYER_BEGIN(0);
    tiny_uint8_pointwise_1(input, tiny_uint8_pointwise_1_weights, tiny_uint8_pointwise_1_bias,
                           tiny_uint8_pointwise_1_multiplier, tiny_uint8_pointwise_1_shift,
                           (uint8_t *)(arena->bytes + 128));
    TINY_UINT8_LAYER_END(0);

    /* 1  depthwise_1: depthwise_conv2d 4x4x8 -> 4x4x8 */
    TINY_UINT8_LAYER_BEGIN(1);
    tiny_uint8_depthwise_1((uint8_t *)(arena->bytes + 128), tiny_uint8_depthwise_1_weights, tiny_uint8_depthwise_1_bias,
                           tiny_uint8_depthwise_1_multiplier, tiny_uint8_depthwise_1_shift, (uint8_t *)arena->bytes);
    TINY_UINT8_LAYER_END(1);

    /* 2  pool_1: average_pool2d 4x4x8 -> 1x1x8 */
    TINY_UINT8_LAYER_BEGIN(2);
    tiny_uint8_pool_1((uint8_t *)arena->bytes, output);
    TINY_UINT8_LAYER_END(2);

    /* 3  reshape_1: reshape 1x1x8 -> 8 */
    TINY_UINT8_LAYER_BEGIN(3);
    /* the same bytes under another shape */
    TINY_UINT8_LAYER_END(3);

    return TINY_UINT8_OK;
}
