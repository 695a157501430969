/*
 * tiny_float32.h: a MobileNet as a C library, its public interface (C99 or later, C++11 or later).
 *
 * Made by mbgen 0.0.0 with Apache TVM 0.0.0. Make it again rather than edit it.
 *
 * Model     built-in MobileNet V1, alpha 0.25, resolution 4, 8 classes
 * Weights   random
 * Target    cortex-a72: -mcpu=cortex-a72 -O3 -fno-schedule-insns
 * Options   alpha=0.25
 * Numerics  float32: the model's operations; sums may run in another order
 */

/*
 * Macros that may be defined when the library and its user are compiled:
 *
 * TINY_FLOAT32_ALIGNED(bytes)
 *     aligns the variable or the member that is declared after it
 * TINY_FLOAT32_ARENA_ATTR
 *     is for the caller to put before an arena: a section in fast memory, for instance
 * TINY_FLOAT32_WEIGHTS_ATTR
 *     stands before every constant array: a section in external flash, for instance
 * TINY_FLOAT32_LAYER_BEGIN(i), TINY_FLOAT32_LAYER_END(i)
 *     run before and after layer i, or each of its rows while those of the input come in; README.md has the list
 */
#ifndef TINY_FLOAT32_H
#define TINY_FLOAT32_H

#include <stdint.h>

/* Every source file of the library checks that it belongs to this header. */
#define TINY_FLOAT32_BUILD_ID 0x84CE55E3UL

/* Integers that #if can use. Sizes are in bytes; elements are of float in and float out. */
#define TINY_FLOAT32_ARENA_BYTES 2320UL
#define TINY_FLOAT32_ARENA_ALIGNMENT 16
#define TINY_FLOAT32_CONSTANT_BYTES 1240UL
#define TINY_FLOAT32_LAYER_COUNT 8

#define TINY_FLOAT32_INPUT_HEIGHT 25
#define TINY_FLOAT32_INPUT_WIDTH 19
#define TINY_FLOAT32_INPUT_CHANNELS 3
#define TINY_FLOAT32_INPUT_ROW_ELEMENTS 57UL
#define TINY_FLOAT32_INPUT_ELEMENTS 1425UL
#define TINY_FLOAT32_INPUT_BYTES 5700UL

#define TINY_FLOAT32_OUTPUT_HEIGHT 1
#define TINY_FLOAT32_OUTPUT_WIDTH 1
#define TINY_FLOAT32_OUTPUT_CHANNELS 4
#define TINY_FLOAT32_OUTPUT_ELEMENTS 4UL
#define TINY_FLOAT32_OUTPUT_BYTES 16UL

#ifndef TINY_FLOAT32_ALIGNED
#if defined(__GNUC__)
#define TINY_FLOAT32_ALIGNED(bytes) __attribute__((__aligned__(bytes)))
#elif defined(_MSC_VER)
#define TINY_FLOAT32_ALIGNED(bytes) __declspec(align(bytes))
#elif defined(__cplusplus)
#define TINY_FLOAT32_ALIGNED(bytes) alignas(bytes)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define TINY_FLOAT32_ALIGNED(bytes) _Alignas(bytes)
#else
#error "define TINY_FLOAT32_ALIGNED(bytes): this compiler's way to align a variable is not known"
#endif
#endif

#ifndef TINY_FLOAT32_ARENA_ATTR
#define TINY_FLOAT32_ARENA_ATTR
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum tiny_float32_status {
    TINY_FLOAT32_OK = 0,
    TINY_FLOAT32_ERROR_NULL = 1,      /* an argument is a null pointer */
    TINY_FLOAT32_ERROR_SELF_TEST = 2, /* the answer to the built-in input is wrong */
    TINY_FLOAT32_ERROR_ROWS = 3       /* more rows than the picture has, or its end before all have come */
};

/*
 * The memory that one inference works in. It is the caller's: as many inferences can run at the same time as there are
 * arenas.
 */
struct tiny_float32_arena {
    TINY_FLOAT32_ALIGNED(16) int8_t bytes[TINY_FLOAT32_ARENA_BYTES];
};

/*
 * Run the network once, on a whole picture.
 *
 * arena   working memory; it needs no preparation, and a picture that has come in part is dropped
 * input   1425 elements, 25x19x3: row after row, the channels of a pixel side by side
 * output  4 elements, 4
 *
 * The three must not overlap. Returns TINY_FLOAT32_ERROR_NULL, with nothing written, if one is a null pointer.
 */
enum tiny_float32_status tiny_float32_invoke(struct tiny_float32_arena *arena, const float *input, float *output);

/*
 * The same for a picture that comes in portions, as a camera gives it: push_rows until it is complete, then finish.
 * A call that returns an error has changed nothing, and the picture can go on.
 */

/*
 * Begin a picture, whatever has come of another. Needed once for an arena that is not all zeros;
 * tiny_float32_finish and tiny_float32_invoke begin the next picture themselves.
 *
 * TINY_FLOAT32_ERROR_NULL   `arena` is a null pointer
 */
enum tiny_float32_status tiny_float32_begin(struct tiny_float32_arena *arena);

/*
 * Take the next `row_count` rows, 57 elements each. They are not needed afterwards.
 *
 * TINY_FLOAT32_ERROR_NULL   an argument is a null pointer
 * TINY_FLOAT32_ERROR_ROWS   fewer than `row_count` of the picture's 25 rows are left, or none was begun
 */
enum tiny_float32_status tiny_float32_push_rows(struct tiny_float32_arena *arena, const float *rows, uint32_t row_count);

/*
 * Give the output of a picture, 4 elements, and begin the next.
 *
 * TINY_FLOAT32_ERROR_NULL   an argument is a null pointer
 * TINY_FLOAT32_ERROR_ROWS   the picture's 25 rows have not all come
 */
enum tiny_float32_status tiny_float32_finish(struct tiny_float32_arena *arena, float *output);

/*
 * Run the network on a built-in input and compare the answer with the one that it must give:
 * no element may differ by more than 0.0009012275f.
 *
 * Needs 16 bytes of stack for the answer. A program that does not call this does not link its data.
 */
enum tiny_float32_status tiny_float32_self_test(struct tiny_float32_arena *arena);

#ifdef __cplusplus
}
#endif

#endif
