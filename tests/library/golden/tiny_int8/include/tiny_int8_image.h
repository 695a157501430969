/*
 * tiny_int8_image.h: images to the network's int8_t input. Optional; needs no other file of the library.
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

#ifndef TINY_INT8_IMAGE_H
#define TINY_INT8_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "tiny_int8.h"

#if TINY_INT8_BUILD_ID != 0x5D5F63C3UL
#error "tiny_int8.h is from another run of mbgen than this file"
#endif

/* One real value as an element of the input: divided by the scale, rounded with halves to even, cut to the type. */
static inline int8_t tiny_int8_quantize_input(float value)
{
    const float low = -128.0f;
    const float high = 127.0f;
    float scaled = value / TINY_INT8_INPUT_SCALE;
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
    return (int8_t)(whole + TINY_INT8_INPUT_ZERO_POINT);
}

/* Rows of an image, 57 elements each, of real values that are preprocessed as in training. */
static inline void tiny_int8_rows_from_image(const float *image, uint32_t row_count, int8_t *rows)
{
    for (size_t i = 0; i < row_count * TINY_INT8_INPUT_ROW_ELEMENTS; i++) {
        rows[i] = tiny_int8_quantize_input(image[i]);
    }
}

/* A whole image, 25x19x3. */
static inline void tiny_int8_input_from_image(const float *image, int8_t *input)
{
    tiny_int8_rows_from_image(image, TINY_INT8_INPUT_HEIGHT, input);
}

/* Rows of a picture, 57 elements each, of 8-bit pixels x, which become the real values x/127.5-1. */
static inline void tiny_int8_rows_from_pixels(const uint8_t *pixels, uint32_t row_count, int8_t *rows)
{
    static const int8_t table[256] = {
        -128, -127, -126, -125, -124, -123, -122, -121, -120, -119, -118, -117, -116, -115, -114, -113,
        -112, -111, -110, -109, -108, -107, -106, -105, -104, -103, -102, -101, -100,  -99,  -98,  -97,
         -96,  -95,  -94,  -93,  -92,  -91,  -90,  -89,  -88,  -87,  -86,  -85,  -84,  -83,  -82,  -81,
         -80,  -79,  -78,  -77,  -76,  -75,  -74,  -73,  -72,  -71,  -70,  -69,  -68,  -67,  -66,  -65,
         -64,  -63,  -62,  -61,  -60,  -59,  -58,  -57,  -56,  -55,  -54,  -53,  -52,  -51,  -50,  -49,
         -48,  -47,  -46,  -45,  -44,  -43,  -42,  -41,  -40,  -39,  -38,  -37,  -36,  -35,  -34,  -33,
         -32,  -31,  -30,  -29,  -28,  -27,  -26,  -25,  -24,  -23,  -22,  -21,  -20,  -19,  -18,  -17,
         -16,  -15,  -14,  -13,  -12,  -11,  -10,   -9,   -8,   -7,   -6,   -5,   -4,   -3,   -2,   -1,
           1,    2,    3,    4,    5,    6,    7,    8,    9,   10,   11,   12,   13,   14,   15,   16,
          17,   18,   19,   20,   21,   22,   23,   24,   25,   26,   27,   28,   29,   30,   31,   32,
          33,   34,   35,   36,   37,   38,   39,   40,   41,   42,   43,   44,   45,   46,   47,   48,
          49,   50,   51,   52,   53,   54,   55,   56,   57,   58,   59,   60,   61,   62,   63,   64,
          65,   66,   67,   68,   69,   70,   71,   72,   73,   74,   75,   76,   77,   78,   79,   80,
          81,   82,   83,   84,   85,   86,   87,   88,   89,   90,   91,   92,   93,   94,   95,   96,
          97,   98,   99,  100,  101,  102,  103,  104,  105,  106,  107,  108,  109,  110,  111,  112,
         113,  114,  115,  116,  117,  118,  119,  120,  121,  122,  123,  124,  125,  126,  127,  127,
};

    for (size_t i = 0; i < row_count * TINY_INT8_INPUT_ROW_ELEMENTS; i++) {
        rows[i] = table[pixels[i]];
    }
}

/* A whole picture, 25x19x3. */
static inline void tiny_int8_input_from_pixels(const uint8_t *pixels, int8_t *input)
{
    tiny_int8_rows_from_pixels(pixels, TINY_INT8_INPUT_HEIGHT, input);
}

/* One element of the output as a real value. */
static inline float tiny_int8_dequantize_output(int8_t element)
{
    return TINY_INT8_OUTPUT_SCALE * (float)(element - TINY_INT8_OUTPUT_ZERO_POINT);
}

#endif
