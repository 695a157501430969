/*
 * tiny_int8_selftest.c: a built-in input and the output that it must give.
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

#include <stddef.h>

#include "tiny_int8.h"
#include "tiny_int8_weights.h"

#if TINY_INT8_BUILD_ID != 0x9FC667B4UL
#error "tiny_int8.h is from another run of mbgen than this file"
#endif

/* what goes in */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
static const int8_t tiny_int8_test_input[48] = {
     113,   32,   47,  101,   20,   70,   85,  -71, -114,  -52,  -56,   95,  105, -127,   -1,   82,
     -95,   76,  -98,   -9,   81,  -51,  -41,  -57,   56,  -63,  125,  -15,   -6,    1,   21,   13,
       2,  126,   78,   74,   51,   31,  -41,  125,   -9,  -73,   88,  -87,   91,   28,  -99, -117,
};

/* what must come out */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
static const int8_t tiny_int8_test_output[8] = {
    15, 10, 28,  7,  3, 41,  2, -1,
};

enum tiny_int8_status tiny_int8_self_test(struct tiny_int8_arena *arena)
{
    int8_t output[TINY_INT8_OUTPUT_ELEMENTS];
    enum tiny_int8_status status;

    status = tiny_int8_invoke(arena, tiny_int8_test_input, output);
    if (status != TINY_INT8_OK) {
        return status;
    }
    for (size_t i = 0; i < TINY_INT8_OUTPUT_ELEMENTS; i++) {
        if (output[i] != tiny_int8_test_output[i]) {
            return TINY_INT8_ERROR_SELF_TEST;
        }
    }
    return TINY_INT8_OK;
}
