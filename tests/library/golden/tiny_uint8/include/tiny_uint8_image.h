/*
 * tiny_uint8_image.h: images to the network's uint8_t input. Optional; needs no other file of the library.
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

#ifndef TINY_UINT8_IMAGE_H
#define TINY_UINT8_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "tiny_uint8.h"

#if TINY_UINT8_BUILD_ID != 0xD1D451E9UL
#error "tiny_uint8.h is from another run of mbgen than this file"
#endif

/* One real value as an element of the input: divided by the scale, rounded with halves to even, cut to the type. */
static inline uint8_t tiny_uint8_quantize_input(float value)
{
    const float low = -128.0f;
    const float high = 127.0f;
    float scaled = value / TINY_UINT8_INPUT_SCALE;
    int32_t whole;
    float rest;

    /* Cut first: both bounds are whole numbers, and what is left fits int32_t. A NaN becomes the lower bound. */
    if (!(scaled > low)) {
        scaled = low;
    }
    if (scaled > high) {
        scaled = high;
    }
    whole = (int32_t)scaled; /* towards zero, so that the rest has the sign of the value */
    rest = scaled - (float)whole;
    if (rest > 0.5f || (rest >= 0.5f && whole % 2 != 0)) {
        whole += 1;
    } else if (rest < -0.5f || (rest <= -0.5f && whole % 2 != 0)) {
        whole -= 1;
    }
    return (uint8_t)(whole + TINY_UINT8_INPUT_ZERO_POINT);
}

/* Rows of an image, 12 elements each, of real values that are preprocessed as in training. */
static inline void tiny_uint8_rows_from_image(const float *image, uint32_t row_count, uint8_t *rows)
{
    for (size_t i = 0; i < row_count * TINY_UINT8_INPUT_ROW_ELEMENTS; i++) {
        rows[i] = tiny_uint8_quantize_input(image[i]);
    }
}

/* A whole image, 4x4x3. */
static inline void tiny_uint8_input_from_image(const float *image, uint8_t *input)
{
    tiny_uint8_rows_from_image(image, TINY_UINT8_INPUT_HEIGHT, input);
}

/* Rows of a picture, 12 elements each, of 8-bit pixels x, which become the real values x/127.5-1. */
static inline void tiny_uint8_rows_from_pixels(const uint8_t *pixels, uint32_t row_count, uint8_t *rows)
{
    static const uint8_t table[256] = {
          0,   1,   2,   3,   4,   5,   6,   7,   8,   9,  10,  11,  12,  13,  14,  15,
         16,  17,  18,  19,  20,  21,  22,  23,  24,  25,  26,  27,  28,  29,  30,  31,
         32,  33,  34,  35,  36,  37,  38,  39,  40,  41,  42,  43,  44,  45,  46,  47,
         48,  49,  50,  51,  52,  53,  54,  55,  56,  57,  58,  59,  60,  61,  62,  63,
         64,  65,  66,  67,  68,  69,  70,  71,  72,  73,  74,  75,  76,  77,  78,  79,
         80,  81,  82,  83,  84,  85,  86,  87,  88,  89,  90,  91,  92,  93,  94,  95,
         96,  97,  98,  99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111,
        112, 113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127,
        129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 141, 142, 143, 144,
        145, 146, 147, 148, 149, 150, 151, 152, 153, 154, 155, 156, 157, 158, 159, 160,
        161, 162, 163, 164, 165, 166, 167, 168, 169, 170, 171, 172, 173, 174, 175, 176,
        177, 178, 179, 180, 181, 182, 183, 184, 185, 186, 187, 188, 189, 190, 191, 192,
        193, 194, 195, 196, 197, 198, 199, 200, 201, 202, 203, 204, 205, 206, 207, 208,
        209, 210, 211, 212, 213, 214, 215, 216, 217, 218, 219, 220, 221, 222, 223, 224,
        225, 226, 227, 228, 229, 230, 231, 232, 233, 234, 235, 236, 237, 238, 239, 240,
        241, 242, 243, 244, 245, 246, 247, 248, 249, 250, 251, 252, 253, 254, 255, 255,
};

    for (size_t i = 0; i < row_count * TINY_UINT8_INPUT_ROW_ELEMENTS; i++) {
        rows[i] = table[pixels[i]];
    }
}

/* A whole picture, 4x4x3. */
static inline void tiny_uint8_input_from_pixels(const uint8_t *pixels, uint8_t *input)
{
    tiny_uint8_rows_from_pixels(pixels, TINY_UINT8_INPUT_HEIGHT, input);
}

/* One element of the output as a real value. */
static inline float tiny_uint8_dequantize_output(uint8_t element)
{
    return TINY_UINT8_OUTPUT_SCALE * (float)(element - TINY_UINT8_OUTPUT_ZERO_POINT);
}

#endif
