/*
 * tiny_int8.c: the network, layer by layer.
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

#include <stddef.h>

#include "tiny_int8_internal.h"
#include "tiny_int8_weights.h"

#if TINY_INT8_BUILD_ID != 0x9FC667B4UL
#error "tiny_int8.h is from another run of mbgen than this file"
#endif

#ifndef TINY_INT8_LAYER_BEGIN
#define TINY_INT8_LAYER_BEGIN(i) ((void)0)
#endif

#ifndef TINY_INT8_LAYER_END
#define TINY_INT8_LAYER_END(i) ((void)0)
#endif

enum tiny_int8_status tiny_int8_invoke(struct tiny_int8_arena *arena, const int8_t *input, int8_t *output)
{
    if (arena == NULL || input == NULL || output == NULL) {
        return TINY_INT8_ERROR_NULL;
    }

    /* 0  pointwise_1: pointwise 4x4x3 -> 4x4x8 */
    TINY_INT8_LAYER_BEGIN(0);
    tiny_int8_pointwise_1(input, tiny_int8_pointwise_1_weights, tiny_int8_pointwise_1_bias,
                          tiny_int8_pointwise_1_multiplier, tiny_int8_pointwise_1_shift, arena->bytes + 128);
    TINY_INT8_LAYER_END(0);

    /* 1  depthwise_1: depthwise_conv2d 4x4x8 -> 4x4x8 */
    TINY_INT8_LAYER_BEGIN(1);
    tiny_int8_depthwise_1(arena->bytes + 128, tiny_int8_depthwise_1_weights, tiny_int8_depthwise_1_bias,
                          tiny_int8_depthwise_1_multiplier, tiny_int8_depthwise_1_shift, arena->bytes);
    TINY_INT8_LAYER_END(1);

    /* 2  pool_1: average_pool2d 4x4x8 -> 1x1x8 */
    TINY_INT8_LAYER_BEGIN(2);
    tiny_int8_pool_1(arena->bytes, output);
    TINY_INT8_LAYER_END(2);

    /* 3  reshape_1: reshape 1x1x8 -> 8 */
    TINY_INT8_LAYER_BEGIN(3);
    /* the same bytes under another shape */
    TINY_INT8_LAYER_END(3);

    return TINY_INT8_OK;
}
