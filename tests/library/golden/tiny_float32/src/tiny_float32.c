/*
 * tiny_float32.c: the network, layer by layer.
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

#include <stddef.h>

#include "tiny_float32_internal.h"
#include "tiny_float32_weights.h"

#if TINY_FLOAT32_BUILD_ID != 0xABABCC9FUL
#error "tiny_float32.h is from another run of mbgen than this file"
#endif

#ifndef TINY_FLOAT32_LAYER_BEGIN
#define TINY_FLOAT32_LAYER_BEGIN(i) ((void)0)
#endif

#ifndef TINY_FLOAT32_LAYER_END
#define TINY_FLOAT32_LAYER_END(i) ((void)0)
#endif

enum tiny_float32_status tiny_float32_invoke(struct tiny_float32_arena *arena, const float *input, float *output)
{
    if (arena == NULL || input == NULL || output == NULL) {
        return TINY_FLOAT32_ERROR_NULL;
    }

    /* 0  pointwise_1: pointwise 4x4x3 -> 4x4x8 */
    TINY_FLOAT32_LAYER_BEGIN(0);
    tiny_float32_pointwise_1(input, tiny_float32_pointwise_1_weights, tiny_float32_pointwise_1_bias,
                             (float *)(void *)(arena->bytes + 512));
    TINY_FLOAT32_LAYER_END(0);

    /* 1  depthwise_1: depthwise_conv2d 4x4x8 -> 4x4x8 */
    TINY_FLOAT32_LAYER_BEGIN(1);
    tiny_float32_depthwise_1((float *)(void *)(arena->bytes + 512), tiny_float32_depthwise_1_weights,
                             tiny_float32_depthwise_1_bias, (float *)(void *)arena->bytes);
    TINY_FLOAT32_LAYER_END(1);

    /* 2  pool_1: average_pool2d 4x4x8 -> 1x1x8 */
    TINY_FLOAT32_LAYER_BEGIN(2);
    tiny_float32_pool_1((float *)(void *)arena->bytes, output);
    TINY_FLOAT32_LAYER_END(2);

    /* 3  reshape_1: reshape 1x1x8 -> 8 */
    TINY_FLOAT32_LAYER_BEGIN(3);
    /* the same bytes under another shape */
    TINY_FLOAT32_LAYER_END(3);

    return TINY_FLOAT32_OK;
}
