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
 *     run before and after layer i of tiny_float32_invoke; README.md lists the layers
 */
#ifndef TINY_FLOAT32_H
#define TINY_FLOAT32_H

#include <stdint.h>

/* Every source file of the library checks that it belongs to this header. */
#define TINY_FLOAT32_BUILD_ID 0xABABCC9FUL

/* Integers that #if can use. Sizes are in bytes; elements are of float in and float out. */
#define TINY_FLOAT32_ARENA_BYTES 1024UL
#define TINY_FLOAT32_ARENA_ALIGNMENT 16
#define TINY_FLOAT32_CONSTANT_BYTES 448UL
#define TINY_FLOAT32_LAYER_COUNT 4

#define TINY_FLOAT32_INPUT_HEIGHT 4
#define TINY_FLOAT32_INPUT_WIDTH 4
#define TINY_FLOAT32_INPUT_CHANNELS 3
#define TINY_FLOAT32_INPUT_ELEMENTS 48UL
#define TINY_FLOAT32_INPUT_BYTES 192UL

#define TINY_FLOAT32_OUTPUT_HEIGHT 1
#define TINY_FLOAT32_OUTPUT_WIDTH 1
#define TINY_FLOAT32_OUTPUT_CHANNELS 8
#define TINY_FLOAT32_OUTPUT_ELEMENTS 8UL
#define TINY_FLOAT32_OUTPUT_BYTES 32UL

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
    TINY_FLOAT32_ERROR_NULL = 1,     /* an argument is a null pointer */
    TINY_FLOAT32_ERROR_SELF_TEST = 2 /* the answer to the built-in input is wrong */
};

/*
 * The memory that one inference works in. It is the caller's, holds nothing between two calls, and needs no
 * initialisation. As many inferences can run at the same time as there are arenas.
 */
struct tiny_float32_arena {
    TINY_FLOAT32_ALIGNED(16) int8_t bytes[TINY_FLOAT32_ARENA_BYTES];
};

/*
 * Run the network once.
 *
 * arena   working memory; what it holds afterwards means nothing
 * input   48 elements, 4x4x3: row after row, the channels of a pixel side by side
 * output  8 elements, 8
 *
 * The three must not overlap. Returns TINY_FLOAT32_ERROR_NULL, with nothing written, if one is a null pointer.
 */
enum tiny_float32_status tiny_float32_invoke(struct tiny_float32_arena *arena, const float *input, float *output);

/*
 * Run the network on a built-in input and compare the answer with the one that it must give:
 * no element may differ by more than 0.00032691864f.
 *
 * Needs 32 bytes of stack for the answer. A program that does not call this does not link its data.
 */
enum tiny_float32_status tiny_float32_self_test(struct tiny_float32_arena *arena);

#ifdef __cplusplus
}
#endif

#endif
