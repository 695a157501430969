/*
 * tiny_uint8_selftest.c: a built-in input and the output that it must give.
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

#include <stddef.h>

#include "tiny_uint8.h"
#include "tiny_uint8_weights.h"

#if TINY_UINT8_BUILD_ID != 0xD1D451E9UL
#error "tiny_uint8.h is from another run of mbgen than this file"
#endif

/* what goes in */
TINY_UINT8_ALIGNED(8) TINY_UINT8_WEIGHTS_ATTR
static const uint8_t tiny_uint8_test_input[48] = {
    139,  74, 229, 241, 169,  65,   6, 160, 149, 106,  38, 175, 188, 205, 175, 229,
     98, 249,  10, 148,  95,  86, 147, 198,  66,  39, 106, 213, 171,  45, 167,  57,
     69,  81,  55,  14, 153, 178, 215,  76,  52,  39, 250,  72, 215,  50, 161, 223,
};

/* what must come out */
TINY_UINT8_ALIGNED(8) TINY_UINT8_WEIGHTS_ATTR
static const uint8_t tiny_uint8_test_output[8] = {
    140, 144, 150, 137, 131, 161, 127, 128,
};

enum tiny_uint8_status tiny_uint8_self_test(struct tiny_uint8_arena *arena)
{
    uint8_t output[TINY_UINT8_OUTPUT_ELEMENTS];
    enum tiny_uint8_status status;

    status = tiny_uint8_invoke(arena, tiny_uint8_test_input, output);
    if (status != TINY_UINT8_OK) {
        return status;
    }
    for (size_t i = 0; i < TINY_UINT8_OUTPUT_ELEMENTS; i++) {
        if (output[i] != tiny_uint8_test_output[i]) {
            return TINY_UINT8_ERROR_SELF_TEST;
        }
    }
    return TINY_UINT8_OK;
}
