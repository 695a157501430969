/*
 * tiny_int8.h: a MobileNet as a C library, its public interface (C99 or later, C++11 or later).
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

/*
 * Macros that may be defined when the library and its user are compiled:
 *
 * TINY_INT8_ALIGNED(bytes)
 *     aligns the variable or the member that is declared after it
 * TINY_INT8_ARENA_ATTR
 *     is for the caller to put before an arena: a section in fast memory, for instance
 * TINY_INT8_WEIGHTS_ATTR
 *     stands before every constant array: a section in external flash, for instance
 * TINY_INT8_LAYER_BEGIN(i), TINY_INT8_LAYER_END(i)
 *     run before and after layer i, or each of its rows while those of the input come in; README.md has the list
 */
#ifndef TINY_INT8_H
#define TINY_INT8_H

#include <stdint.h>

/* Every source file of the library checks that it belongs to this header. */
#define TINY_INT8_BUILD_ID 0x5D5F63C3UL

/* Integers that #if can use. Sizes are in bytes; elements are of int8_t in and int8_t out. */
#define TINY_INT8_ARENA_BYTES 624UL
#define TINY_INT8_ARENA_ALIGNMENT 8
#define TINY_INT8_CONSTANT_BYTES 618UL
#define TINY_INT8_LAYER_COUNT 8

#define TINY_INT8_INPUT_HEIGHT 25
#define TINY_INT8_INPUT_WIDTH 19
#define TINY_INT8_INPUT_CHANNELS 3
#define TINY_INT8_INPUT_ROW_ELEMENTS 57UL
#define TINY_INT8_INPUT_ELEMENTS 1425UL
#define TINY_INT8_INPUT_BYTES 1425UL
#define TINY_INT8_INPUT_ZERO_POINT 0
#define TINY_INT8_INPUT_SCALE 0.0078125f /* real = scale * (element - zero point) */

#define TINY_INT8_OUTPUT_HEIGHT 1
#define TINY_INT8_OUTPUT_WIDTH 1
#define TINY_INT8_OUTPUT_CHANNELS 4
#define TINY_INT8_OUTPUT_ELEMENTS 4UL
#define TINY_INT8_OUTPUT_BYTES 4UL
#define TINY_INT8_OUTPUT_ZERO_POINT 3
#define TINY_INT8_OUTPUT_SCALE 0.05f /* real = scale * (element - zero point) */

#ifndef TINY_INT8_ALIGNED
#if defined(__GNUC__)
#define TINY_INT8_ALIGNED(bytes) __attribute__((__aligned__(bytes)))
#elif defined(_MSC_VER)
#define TINY_INT8_ALIGNED(bytes) __declspec(align(bytes))
#elif defined(__cplusplus)
#define TINY_INT8_ALIGNED(bytes) alignas(bytes)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define TINY_INT8_ALIGNED(bytes) _Alignas(bytes)
#else
#error "define TINY_INT8_ALIGNED(bytes): this compiler's way to align a variable is not known"
#endif
#endif

#ifndef TINY_INT8_ARENA_ATTR
#define TINY_INT8_ARENA_ATTR
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum tiny_int8_status {
    TINY_INT8_OK = 0,
    TINY_INT8_ERROR_NULL = 1,      /* an argument is a null pointer */
    TINY_INT8_ERROR_SELF_TEST = 2, /* the answer to the built-in input is wrong */
    TINY_INT8_ERROR_ROWS = 3       /* more rows than the picture has, or its end before all have come */
};

/*
 * The memory that one inference works in. It is the caller's: as many inferences can run at the same time as there are
 * arenas.
 */
struct tiny_int8_arena {
    TINY_INT8_ALIGNED(8) int8_t bytes[TINY_INT8_ARENA_BYTES];
};

/*
 * Run the network once, on a whole picture.
 *
 * arena   working memory; it needs no preparation, and a picture that has come in part is dropped
 * input   1425 elements, 25x19x3: row after row, the channels of a pixel side by side
 * output  4 elements, 4
 *
 * The three must not overlap. Returns TINY_INT8_ERROR_NULL, with nothing written, if one is a null pointer.
 */
enum tiny_int8_status tiny_int8_invoke(struct tiny_int8_arena *arena, const int8_t *input, int8_t *output);

/*
 * The same for a picture that comes in portions, as a camera gives it: push_rows until it is complete, then finish.
 * A call that returns an error has changed nothing, and the picture can go on.
 */

/*
 * Begin a picture, whatever has come of another. Needed once for an arena that is not all zeros;
 * tiny_int8_finish and tiny_int8_invoke begin the next picture themselves.
 *
 * TINY_INT8_ERROR_NULL   `arena` is a null pointer
 */
enum tiny_int8_status tiny_int8_begin(struct tiny_int8_arena *arena);

/*
 * Take the next `row_count` rows, 57 elements each. They are not needed afterwards.
 *
 * TINY_INT8_ERROR_NULL   an argument is a null pointer
 * TINY_INT8_ERROR_ROWS   fewer than `row_count` of the picture's 25 rows are left, or none was begun
 */
enum tiny_int8_status tiny_int8_push_rows(struct tiny_int8_arena *arena, const int8_t *rows, uint32_t row_count);

/*
 * Give the output of a picture, 4 elements, and begin the next.
 *
 * TINY_INT8_ERROR_NULL   an argument is a null pointer
 * TINY_INT8_ERROR_ROWS   the picture's 25 rows have not all come
 */
enum tiny_int8_status tiny_int8_finish(struct tiny_int8_arena *arena, int8_t *output);

/*
 * Run the network on a built-in input and compare the answer with the one that it must give:
 * every element must be equal.
 *
 * Needs 4 bytes of stack for the answer. A program that does not call this does not link its data.
 */
enum tiny_int8_status tiny_int8_self_test(struct tiny_int8_arena *arena);

#ifdef __cplusplus
}
#endif

#endif
