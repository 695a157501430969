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
#include <string.h>

#include "tiny_uint8_internal.h"
#include "tiny_uint8_weights.h"

#if TINY_UINT8_BUILD_ID != 0xD1D451E9UL
#error "tiny_uint8.h is from another run of mbgen than this file"
#endif

#ifndef TINY_UINT8_LAYER_BEGIN
#define TINY_UINT8_LAYER_BEGIN(i) ((void)0)
#endif

#ifndef TINY_UINT8_LAYER_END
#define TINY_UINT8_LAYER_END(i) ((void)0)
#endif

/* The byte of the arena where the count of the rows that have come starts, a uint32_t. */
#define TINY_UINT8_STATE 48

/* Which rows of its input make a row of a layer's output, and where they are in the input or in a ring of its rows. */
struct tiny_uint8_rows {
    int32_t height;   /* rows of the input */
    int32_t kh;       /* rows of a window */
    int32_t stride;   /* input rows from one window to the next */
    int32_t dilation; /* input rows from one row of a window to the next */
    int32_t top;      /* rows of padding above the input */
    int32_t pitch;    /* elements from one row to the next */
};

static const struct tiny_uint8_rows tiny_uint8_depthwise_1_rows = {4, 3, 1, 1, 1, 32};

/* The input rows of one row of the output: where they start, in elements, and which of them are not padding. */
struct tiny_uint8_window {
    int32_t rows[3];
    int32_t kh_begin;
    int32_t kh_end;
};

/* Find the input rows of output row oh. */
static void tiny_uint8_find_rows(struct tiny_uint8_window *window, const struct tiny_uint8_rows *layer, int32_t oh)
{
    window->kh_begin = 0;
    window->kh_end = 0;
    for (int32_t kh = 0; kh < layer->kh; kh++) {
        const int32_t row = oh * layer->stride + kh * layer->dilation - layer->top;

        window->rows[kh] = 0;
        if (row >= 0 && row < layer->height) {
            window->rows[kh] = row * layer->pitch;
            if (window->kh_end == 0) {
                window->kh_begin = kh;
            }
            window->kh_end = kh + 1;
        }
    }
}

enum tiny_uint8_status tiny_uint8_begin(struct tiny_uint8_arena *arena)
{
    const uint32_t come = 0;

    if (arena == NULL) {
        return TINY_UINT8_ERROR_NULL;
    }
    (void)memcpy(arena->bytes + TINY_UINT8_STATE, &come, sizeof come);
    return TINY_UINT8_OK;
}

enum tiny_uint8_status tiny_uint8_push_rows(struct tiny_uint8_arena *arena, const uint8_t *rows, uint32_t row_count)
{
    const uint32_t height = TINY_UINT8_INPUT_HEIGHT;
    uint32_t come;

    if (arena == NULL || rows == NULL) {
        return TINY_UINT8_ERROR_NULL;
    }
    (void)memcpy(&come, arena->bytes + TINY_UINT8_STATE, sizeof come);
    if (come > height || row_count > height - come) {
        return TINY_UINT8_ERROR_ROWS;
    }
    (void)memcpy(arena->bytes + come * TINY_UINT8_INPUT_ROW_ELEMENTS * sizeof rows[0], rows,
                 row_count * TINY_UINT8_INPUT_ROW_ELEMENTS * sizeof rows[0]);
    come += row_count;
    (void)memcpy(arena->bytes + TINY_UINT8_STATE, &come, sizeof come);
    return TINY_UINT8_OK;
}

/* Run all layers on the whole input, which is in the arena or the caller's. */
static enum tiny_uint8_status tiny_uint8_run(struct tiny_uint8_arena *arena, const uint8_t *input, uint8_t *output)
{
    struct tiny_uint8_window window;

    /* 0  pointwise_1: pointwise 4x4x3 -> 4x4x8 */
    TINY_UINT8_LAYER_BEGIN(0);
    tiny_uint8_pointwise_1(input, tiny_uint8_pointwise_1_weights, tiny_uint8_pointwise_1_bias,
                           tiny_uint8_pointwise_1_multiplier, tiny_uint8_pointwise_1_shift,
                           (uint8_t *)(arena->bytes + 128));
    TINY_UINT8_LAYER_END(0);

    /* 1  depthwise_1: depthwise_conv2d 4x4x8 -> 4x4x8 */
    TINY_UINT8_LAYER_BEGIN(1);
    for (int32_t oh = 0; oh < 4; oh++) {
        tiny_uint8_find_rows(&window, &tiny_uint8_depthwise_1_rows, oh);
        tiny_uint8_depthwise_1((uint8_t *)(arena->bytes + 128), window.rows, window.kh_begin, window.kh_end,
                               tiny_uint8_depthwise_1_weights, tiny_uint8_depthwise_1_bias,
                               tiny_uint8_depthwise_1_multiplier, tiny_uint8_depthwise_1_shift,
                               (uint8_t *)(arena->bytes + oh * 32));
    }
    TINY_UINT8_LAYER_END(1);

    /* 2  pool_1: average_pool2d 4x4x8 -> 1x1x8 */
    TINY_UINT8_LAYER_BEGIN(2);
    tiny_uint8_pool_1((uint8_t *)arena->bytes, output);
    TINY_UINT8_LAYER_END(2);

    /* 3  reshape_1: reshape 1x1x8 -> 8 */
    TINY_UINT8_LAYER_BEGIN(3);
    /* the same bytes under another shape */
    TINY_UINT8_LAYER_END(3);

    return tiny_uint8_begin(arena);
}

enum tiny_uint8_status tiny_uint8_finish(struct tiny_uint8_arena *arena, uint8_t *output)
{
    uint32_t come;

    if (arena == NULL || output == NULL) {
        return TINY_UINT8_ERROR_NULL;
    }
    (void)memcpy(&come, arena->bytes + TINY_UINT8_STATE, sizeof come);
    if (come != (uint32_t)TINY_UINT8_INPUT_HEIGHT) {
        return TINY_UINT8_ERROR_ROWS;
    }
    return tiny_uint8_run(arena, (uint8_t *)arena->bytes, output);
}

enum tiny_uint8_status tiny_uint8_invoke(struct tiny_uint8_arena *arena, const uint8_t *input, uint8_t *output)
{
    if (arena == NULL || input == NULL || output == NULL) {
        return TINY_UINT8_ERROR_NULL;
    }
    return tiny_uint8_run(arena, input, output);
}
