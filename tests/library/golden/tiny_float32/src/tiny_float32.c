/*
 * tiny_float32.c: the network, row by row and then layer by layer.
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
#include <string.h>

#include "tiny_float32_internal.h"
#include "tiny_float32_weights.h"

#if TINY_FLOAT32_BUILD_ID != 0x84CE55E3UL
#error "tiny_float32.h is from another run of mbgen than this file"
#endif

#ifndef TINY_FLOAT32_LAYER_BEGIN
#define TINY_FLOAT32_LAYER_BEGIN(i) ((void)0)
#endif

#ifndef TINY_FLOAT32_LAYER_END
#define TINY_FLOAT32_LAYER_END(i) ((void)0)
#endif

/* The byte of the arena where the count of the rows that have come starts, a uint32_t. */
#define TINY_FLOAT32_STATE 1744

/* Which rows of its input make a row of a layer's output, and where they are in the input or in a ring of its rows. */
struct tiny_float32_rows {
    int32_t height;   /* rows of the input */
    int32_t kh;       /* rows of a window */
    int32_t stride;   /* input rows from one window to the next */
    int32_t dilation; /* input rows from one row of a window to the next */
    int32_t top;      /* rows of padding above the input */
    int32_t pitch;    /* elements from one row to the next */
    int32_t oh;       /* rows of the output */
    int32_t slots;    /* input row q is in slot q % slots of the ring */
    int32_t newest;   /* elements from the ring to the row that came last, until it is in its slot */
};

static const struct tiny_float32_rows tiny_float32_conv_1_rows = {25, 3, 2, 1, 1, 57, 13, 2, -120};
static const struct tiny_float32_rows tiny_float32_depthwise_1_rows = {13, 3, 1, 1, 1, 40, 13, 2, -176};
static const struct tiny_float32_rows tiny_float32_depthwise_2_rows = {13, 3, 2, 1, 1, 60, 7, 2, -256};
static const struct tiny_float32_rows tiny_float32_depthwise_3_rows = {7, 3, 1, 1, 1, 20, 7, 7, 0};

/* The input rows of one row of the output: where they start, in elements, and which of them are not padding. */
struct tiny_float32_window {
    int32_t rows[3];
    int32_t kh_begin;
    int32_t kh_end;
};

/* As the number of the newest row: it is in its slot, as all others are. */
#define TINY_FLOAT32_IN_ITS_SLOT (-1)

/* Find the input rows of output row oh; the row of number `newest` is not in its slot yet. */
static void tiny_float32_find_rows(struct tiny_float32_window *window, const struct tiny_float32_rows *layer,
                                   int32_t oh, int32_t newest)
{
    window->kh_begin = 0;
    window->kh_end = 0;
    for (int32_t kh = 0; kh < layer->kh; kh++) {
        const int32_t row = oh * layer->stride + kh * layer->dilation - layer->top;

        window->rows[kh] = 0;
        if (row >= 0 && row < layer->height) {
            window->rows[kh] = row == newest ? layer->newest : row % layer->slots * layer->pitch;
            if (window->kh_end == 0) {
                window->kh_begin = kh;
            }
            window->kh_end = kh + 1;
        }
    }
}

/* How many output rows can be made when `come` input rows have come. */
static int32_t tiny_float32_rows_ready(const struct tiny_float32_rows *layer, int32_t come)
{
    const int32_t spare = come - ((layer->kh - 1) * layer->dilation + 1 - layer->top); /* beyond what row 0 needs */
    int32_t ready = 0;

    if (come == layer->height) {
        ready = layer->oh;
    } else if (come > 0 && spare >= 0) {
        ready = spare / layer->stride + 1;
    } else {
        /* none yet */
    }
    return ready;
}

/* Move the newest row, if it is not there yet, into its slot: over the oldest, which no later row needs. */
static int32_t tiny_float32_keep_row(float *ring, const struct tiny_float32_rows *layer, int32_t row)
{
    if (row != TINY_FLOAT32_IN_ITS_SLOT) {
        (void)memcpy(ring + row % layer->slots * layer->pitch, ring + layer->newest,
                     (size_t)layer->pitch * sizeof ring[0]);
    }
    return TINY_FLOAT32_IN_ITS_SLOT;
}

/* Each stage of the row pipeline hands the rows that it completes to the next. */
static void tiny_float32_stage_2(struct tiny_float32_arena *arena, int32_t ih);
static void tiny_float32_stage_3(struct tiny_float32_arena *arena, int32_t ih);

/*
 * Stage 1 of the row pipeline: conv_1, 25x19x3 -> 13x10x4.
 * Takes row ih of its input, at byte 0 of the arena; keeps the last 2 in a ring at byte 480.
 */
static void tiny_float32_stage_1(struct tiny_float32_arena *arena, int32_t ih)
{
    const struct tiny_float32_rows *const layer = &tiny_float32_conv_1_rows;
    const int32_t ready = tiny_float32_rows_ready(layer, ih + 1);
    float *const ring = (float *)(void *)(arena->bytes + 480);
    struct tiny_float32_window window;
    int32_t newest = ih;

    for (int32_t oh = tiny_float32_rows_ready(layer, ih); oh < ready; oh++) {
        tiny_float32_find_rows(&window, layer, oh, newest);
        TINY_FLOAT32_LAYER_BEGIN(0);
        tiny_float32_conv_1(ring, window.rows, window.kh_begin, window.kh_end, tiny_float32_conv_1_weights,
                            tiny_float32_conv_1_bias, (float *)(void *)(arena->bytes + 240));
        TINY_FLOAT32_LAYER_END(0);
        newest = tiny_float32_keep_row(ring, layer, newest);
        tiny_float32_stage_2(arena, oh);
    }
    (void)tiny_float32_keep_row(ring, layer, newest);
}

/*
 * Stage 2 of the row pipeline: depthwise_1 and pointwise_1, 13x10x4 -> 13x10x6.
 * Takes row ih of its input, at byte 240 of the arena; keeps the last 2 in a ring at byte 944.
 */
static void tiny_float32_stage_2(struct tiny_float32_arena *arena, int32_t ih)
{
    const struct tiny_float32_rows *const layer = &tiny_float32_depthwise_1_rows;
    const int32_t ready = tiny_float32_rows_ready(layer, ih + 1);
    float *const ring = (float *)(void *)(arena->bytes + 944);
    struct tiny_float32_window window;
    int32_t newest = ih;

    for (int32_t oh = tiny_float32_rows_ready(layer, ih); oh < ready; oh++) {
        tiny_float32_find_rows(&window, layer, oh, newest);
        TINY_FLOAT32_LAYER_BEGIN(1);
        tiny_float32_depthwise_1(ring, window.rows, window.kh_begin, window.kh_end, tiny_float32_depthwise_1_weights,
                                 tiny_float32_depthwise_1_bias, (float *)(void *)arena->bytes);
        TINY_FLOAT32_LAYER_END(1);
        newest = tiny_float32_keep_row(ring, layer, newest);
        TINY_FLOAT32_LAYER_BEGIN(2);
        tiny_float32_pointwise_1((float *)(void *)arena->bytes, tiny_float32_pointwise_1_weights,
                                 tiny_float32_pointwise_1_bias, (float *)(void *)(arena->bytes + 240));
        TINY_FLOAT32_LAYER_END(2);
        tiny_float32_stage_3(arena, oh);
    }
    (void)tiny_float32_keep_row(ring, layer, newest);
}

/*
 * Stage 3 of the row pipeline: depthwise_2 and pointwise_2, 13x10x6 -> 7x5x4.
 * Takes row ih of its input, at byte 240 of the arena; keeps the last 2 in a ring at byte 1264.
 */
static void tiny_float32_stage_3(struct tiny_float32_arena *arena, int32_t ih)
{
    const struct tiny_float32_rows *const layer = &tiny_float32_depthwise_2_rows;
    const int32_t ready = tiny_float32_rows_ready(layer, ih + 1);
    float *const ring = (float *)(void *)(arena->bytes + 1264);
    struct tiny_float32_window window;
    int32_t newest = ih;

    for (int32_t oh = tiny_float32_rows_ready(layer, ih); oh < ready; oh++) {
        tiny_float32_find_rows(&window, layer, oh, newest);
        TINY_FLOAT32_LAYER_BEGIN(3);
        tiny_float32_depthwise_2(ring, window.rows, window.kh_begin, window.kh_end, tiny_float32_depthwise_2_weights,
                                 tiny_float32_depthwise_2_bias, (float *)(void *)arena->bytes);
        TINY_FLOAT32_LAYER_END(3);
        newest = tiny_float32_keep_row(ring, layer, newest);
        TINY_FLOAT32_LAYER_BEGIN(4);
        tiny_float32_pointwise_2((float *)(void *)arena->bytes, tiny_float32_pointwise_2_weights,
                                 tiny_float32_pointwise_2_bias, (float *)(void *)(arena->bytes + 1760 + oh * 80));
        TINY_FLOAT32_LAYER_END(4);
    }
    (void)tiny_float32_keep_row(ring, layer, newest);
}

enum tiny_float32_status tiny_float32_begin(struct tiny_float32_arena *arena)
{
    const uint32_t come = 0;

    if (arena == NULL) {
        return TINY_FLOAT32_ERROR_NULL;
    }
    (void)memcpy(arena->bytes + TINY_FLOAT32_STATE, &come, sizeof come);
    return TINY_FLOAT32_OK;
}

enum tiny_float32_status tiny_float32_push_rows(struct tiny_float32_arena *arena, const float *rows, uint32_t row_count)
{
    const uint32_t height = TINY_FLOAT32_INPUT_HEIGHT;
    uint32_t come;

    if (arena == NULL || rows == NULL) {
        return TINY_FLOAT32_ERROR_NULL;
    }
    (void)memcpy(&come, arena->bytes + TINY_FLOAT32_STATE, sizeof come);
    if (come > height || row_count > height - come) {
        return TINY_FLOAT32_ERROR_ROWS;
    }
    for (uint32_t i = 0; i < row_count; i++) {
        (void)memcpy(arena->bytes, rows + i * TINY_FLOAT32_INPUT_ROW_ELEMENTS,
                     TINY_FLOAT32_INPUT_ROW_ELEMENTS * sizeof rows[0]);
        tiny_float32_stage_1(arena, (int32_t)come + (int32_t)i);
    }
    come += row_count;
    (void)memcpy(arena->bytes + TINY_FLOAT32_STATE, &come, sizeof come);
    return TINY_FLOAT32_OK;
}

enum tiny_float32_status tiny_float32_finish(struct tiny_float32_arena *arena, float *output)
{
    uint32_t come;
    struct tiny_float32_window window;

    if (arena == NULL || output == NULL) {
        return TINY_FLOAT32_ERROR_NULL;
    }
    (void)memcpy(&come, arena->bytes + TINY_FLOAT32_STATE, sizeof come);
    if (come != (uint32_t)TINY_FLOAT32_INPUT_HEIGHT) {
        return TINY_FLOAT32_ERROR_ROWS;
    }

    /* 5  depthwise_3: depthwise_conv2d 7x5x4 -> 7x5x4 */
    TINY_FLOAT32_LAYER_BEGIN(5);
    for (int32_t oh = 0; oh < 7; oh++) {
        tiny_float32_find_rows(&window, &tiny_float32_depthwise_3_rows, oh, TINY_FLOAT32_IN_ITS_SLOT);
        tiny_float32_depthwise_3((float *)(void *)(arena->bytes + 1760), window.rows, window.kh_begin, window.kh_end,
                                 tiny_float32_depthwise_3_weights, tiny_float32_depthwise_3_bias,
                                 (float *)(void *)(arena->bytes + oh * 80));
    }
    TINY_FLOAT32_LAYER_END(5);

    /* 6  pool_1: average_pool2d 7x5x4 -> 1x1x4 */
    TINY_FLOAT32_LAYER_BEGIN(6);
    tiny_float32_pool_1((float *)(void *)arena->bytes, output);
    TINY_FLOAT32_LAYER_END(6);

    /* 7  reshape_1: reshape 1x1x4 -> 4 */
    TINY_FLOAT32_LAYER_BEGIN(7);
    /* the same bytes under another shape */
    TINY_FLOAT32_LAYER_END(7);

    return tiny_float32_begin(arena);
}

enum tiny_float32_status tiny_float32_invoke(struct tiny_float32_arena *arena, const float *input, float *output)
{
    enum tiny_float32_status status;

    if (arena == NULL || input == NULL || output == NULL) {
        return TINY_FLOAT32_ERROR_NULL;
    }
    status = tiny_float32_begin(arena);
    if (status == TINY_FLOAT32_OK) {
        status = tiny_float32_push_rows(arena, input, TINY_FLOAT32_INPUT_HEIGHT);
    }
    if (status == TINY_FLOAT32_OK) {
        status = tiny_float32_finish(arena, output);
    }
    return status;
}
