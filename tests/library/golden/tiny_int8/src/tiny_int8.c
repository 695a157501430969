/*
 * tiny_int8.c: the network, row by row and then layer by layer.
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
#include <string.h>

#include "tiny_int8_internal.h"
#include "tiny_int8_weights.h"

#if TINY_INT8_BUILD_ID != 0x5D5F63C3UL
#error "tiny_int8.h is from another run of mbgen than this file"
#endif

#ifndef TINY_INT8_LAYER_BEGIN
#define TINY_INT8_LAYER_BEGIN(i) ((void)0)
#endif

#ifndef TINY_INT8_LAYER_END
#define TINY_INT8_LAYER_END(i) ((void)0)
#endif

/* The byte of the arena where the count of the rows that have come starts, a uint32_t. */
#define TINY_INT8_STATE 464

/* Which rows of its input make a row of a layer's output, and where they are in the input or in a ring of its rows. */
struct tiny_int8_rows {
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

static const struct tiny_int8_rows tiny_int8_conv_1_rows = {25, 3, 2, 1, 1, 57, 13, 2, -128};
static const struct tiny_int8_rows tiny_int8_depthwise_1_rows = {13, 3, 1, 1, 1, 40, 13, 2, -192};
static const struct tiny_int8_rows tiny_int8_depthwise_2_rows = {13, 3, 2, 1, 1, 60, 7, 2, -272};
static const struct tiny_int8_rows tiny_int8_depthwise_3_rows = {7, 3, 1, 1, 1, 20, 7, 7, 0};

/* The input rows of one row of the output: where they start, in elements, and which of them are not padding. */
struct tiny_int8_window {
    int32_t rows[3];
    int32_t kh_begin;
    int32_t kh_end;
};

/* As the number of the newest row: it is in its slot, as all others are. */
#define TINY_INT8_IN_ITS_SLOT (-1)

/* Find the input rows of output row oh; the row of number `newest` is not in its slot yet. */
static void tiny_int8_find_rows(struct tiny_int8_window *window, const struct tiny_int8_rows *layer, int32_t oh,
                                int32_t newest)
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
static int32_t tiny_int8_rows_ready(const struct tiny_int8_rows *layer, int32_t come)
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
static int32_t tiny_int8_keep_row(int8_t *ring, const struct tiny_int8_rows *layer, int32_t row)
{
    if (row != TINY_INT8_IN_ITS_SLOT) {
        (void)tiny_int8_copy_bytes(ring + row % layer->slots * layer->pitch, ring + layer->newest,
                     (size_t)layer->pitch * sizeof ring[0]);
    }
    return TINY_INT8_IN_ITS_SLOT;
}

/* Each stage of the row pipeline hands the rows that it completes to the next. */
static void tiny_int8_stage_2(struct tiny_int8_arena *arena, int32_t ih);
static void tiny_int8_stage_3(struct tiny_int8_arena *arena, int32_t ih);

/*
 * Stage 1 of the row pipeline: conv_1, 25x19x3 -> 13x10x4.
 * Takes row ih of its input, at byte 0 of the arena; keeps the last 2 in a ring at byte 128.
 */
static void tiny_int8_stage_1(struct tiny_int8_arena *arena, int32_t ih)
{
    const struct tiny_int8_rows *const layer = &tiny_int8_conv_1_rows;
    const int32_t ready = tiny_int8_rows_ready(layer, ih + 1);
    int8_t *const ring = arena->bytes + 128;
    struct tiny_int8_window window;
    int32_t newest = ih;

    for (int32_t oh = tiny_int8_rows_ready(layer, ih); oh < ready; oh++) {
        tiny_int8_find_rows(&window, layer, oh, newest);
        TINY_INT8_LAYER_BEGIN(0);
        tiny_int8_conv_1(ring, window.rows, window.kh_begin, window.kh_end, tiny_int8_conv_1_weights,
                         tiny_int8_conv_1_bias, tiny_int8_conv_1_multiplier, tiny_int8_conv_1_shift, arena->bytes + 64);
        TINY_INT8_LAYER_END(0);
        newest = tiny_int8_keep_row(ring, layer, newest);
        tiny_int8_stage_2(arena, oh);
    }
    (void)tiny_int8_keep_row(ring, layer, newest);
}

/*
 * Stage 2 of the row pipeline: depthwise_1 and pointwise_1, 13x10x4 -> 13x10x6.
 * Takes row ih of its input, at byte 64 of the arena; keeps the last 2 in a ring at byte 256.
 */
static void tiny_int8_stage_2(struct tiny_int8_arena *arena, int32_t ih)
{
    const struct tiny_int8_rows *const layer = &tiny_int8_depthwise_1_rows;
    const int32_t ready = tiny_int8_rows_ready(layer, ih + 1);
    int8_t *const ring = arena->bytes + 256;
    struct tiny_int8_window window;
    int32_t newest = ih;

    for (int32_t oh = tiny_int8_rows_ready(layer, ih); oh < ready; oh++) {
        tiny_int8_find_rows(&window, layer, oh, newest);
        TINY_INT8_LAYER_BEGIN(1);
        tiny_int8_depthwise_1(ring, window.rows, window.kh_begin, window.kh_end, tiny_int8_depthwise_1_weights,
                              tiny_int8_depthwise_1_bias, tiny_int8_depthwise_1_multiplier, tiny_int8_depthwise_1_shift,
                              arena->bytes);
        TINY_INT8_LAYER_END(1);
        newest = tiny_int8_keep_row(ring, layer, newest);
        TINY_INT8_LAYER_BEGIN(2);
        tiny_int8_pointwise_1(arena->bytes, tiny_int8_pointwise_1_weights, tiny_int8_pointwise_1_bias,
                              tiny_int8_pointwise_1_multiplier, tiny_int8_pointwise_1_shift, arena->bytes + 64);
        TINY_INT8_LAYER_END(2);
        tiny_int8_stage_3(arena, oh);
    }
    (void)tiny_int8_keep_row(ring, layer, newest);
}

/*
 * Stage 3 of the row pipeline: depthwise_2 and pointwise_2, 13x10x6 -> 7x5x4.
 * Takes row ih of its input, at byte 64 of the arena; keeps the last 2 in a ring at byte 336.
 */
static void tiny_int8_stage_3(struct tiny_int8_arena *arena, int32_t ih)
{
    const struct tiny_int8_rows *const layer = &tiny_int8_depthwise_2_rows;
    const int32_t ready = tiny_int8_rows_ready(layer, ih + 1);
    int8_t *const ring = arena->bytes + 336;
    struct tiny_int8_window window;
    int32_t newest = ih;

    for (int32_t oh = tiny_int8_rows_ready(layer, ih); oh < ready; oh++) {
        tiny_int8_find_rows(&window, layer, oh, newest);
        TINY_INT8_LAYER_BEGIN(3);
        tiny_int8_depthwise_2(ring, window.rows, window.kh_begin, window.kh_end, tiny_int8_depthwise_2_weights,
                              tiny_int8_depthwise_2_bias, tiny_int8_depthwise_2_multiplier, tiny_int8_depthwise_2_shift,
                              arena->bytes);
        TINY_INT8_LAYER_END(3);
        newest = tiny_int8_keep_row(ring, layer, newest);
        TINY_INT8_LAYER_BEGIN(4);
        tiny_int8_pointwise_2(arena->bytes, tiny_int8_pointwise_2_weights, tiny_int8_pointwise_2_bias,
                              tiny_int8_pointwise_2_multiplier, tiny_int8_pointwise_2_shift,
                              arena->bytes + 480 + oh * 20);
        TINY_INT8_LAYER_END(4);
    }
    (void)tiny_int8_keep_row(ring, layer, newest);
}

enum tiny_int8_status tiny_int8_begin(struct tiny_int8_arena *arena)
{
    const uint32_t come = 0;

    if (arena == NULL) {
        return TINY_INT8_ERROR_NULL;
    }
    (void)memcpy(arena->bytes + TINY_INT8_STATE, &come, sizeof come);
    return TINY_INT8_OK;
}

enum tiny_int8_status tiny_int8_push_rows(struct tiny_int8_arena *arena, const int8_t *rows, uint32_t row_count)
{
    const uint32_t height = TINY_INT8_INPUT_HEIGHT;
    uint32_t come;

    if (arena == NULL || rows == NULL) {
        return TINY_INT8_ERROR_NULL;
    }
    (void)memcpy(&come, arena->bytes + TINY_INT8_STATE, sizeof come);
    if (come > height || row_count > height - come) {
        return TINY_INT8_ERROR_ROWS;
    }
    for (uint32_t i = 0; i < row_count; i++) {
        (void)tiny_int8_copy_bytes(arena->bytes, rows + i * TINY_INT8_INPUT_ROW_ELEMENTS,
                     TINY_INT8_INPUT_ROW_ELEMENTS * sizeof rows[0]);
        tiny_int8_stage_1(arena, (int32_t)come + (int32_t)i);
    }
    come += row_count;
    (void)memcpy(arena->bytes + TINY_INT8_STATE, &come, sizeof come);
    return TINY_INT8_OK;
}

enum tiny_int8_status tiny_int8_finish(struct tiny_int8_arena *arena, int8_t *output)
{
    uint32_t come;
    struct tiny_int8_window window;

    if (arena == NULL || output == NULL) {
        return TINY_INT8_ERROR_NULL;
    }
    (void)memcpy(&come, arena->bytes + TINY_INT8_STATE, sizeof come);
    if (come != (uint32_t)TINY_INT8_INPUT_HEIGHT) {
        return TINY_INT8_ERROR_ROWS;
    }

    /* 5  depthwise_3: depthwise_conv2d 7x5x4 -> 7x5x4 */
    TINY_INT8_LAYER_BEGIN(5);
    for (int32_t oh = 0; oh < 7; oh++) {
        tiny_int8_find_rows(&window, &tiny_int8_depthwise_3_rows, oh, TINY_INT8_IN_ITS_SLOT);
        tiny_int8_depthwise_3(arena->bytes + 480, window.rows, window.kh_begin, window.kh_end,
                              tiny_int8_depthwise_3_weights, tiny_int8_depthwise_3_bias,
                              tiny_int8_depthwise_3_multiplier, tiny_int8_depthwise_3_shift, arena->bytes + oh * 20);
    }
    TINY_INT8_LAYER_END(5);

    /* 6  pool_1: average_pool2d 7x5x4 -> 1x1x4 */
    TINY_INT8_LAYER_BEGIN(6);
    tiny_int8_pool_1(arena->bytes, output);
    TINY_INT8_LAYER_END(6);

    /* 7  reshape_1: reshape 1x1x4 -> 4 */
    TINY_INT8_LAYER_BEGIN(7);
    /* the same bytes under another shape */
    TINY_INT8_LAYER_END(7);

    return tiny_int8_begin(arena);
}

enum tiny_int8_status tiny_int8_invoke(struct tiny_int8_arena *arena, const int8_t *input, int8_t *output)
{
    enum tiny_int8_status status;

    if (arena == NULL || input == NULL || output == NULL) {
        return TINY_INT8_ERROR_NULL;
    }
    status = tiny_int8_begin(arena);
    if (status == TINY_INT8_OK) {
        status = tiny_int8_push_rows(arena, input, TINY_INT8_INPUT_HEIGHT);
    }
    if (status == TINY_INT8_OK) {
        status = tiny_int8_finish(arena, output);
    }
    return status;
}
