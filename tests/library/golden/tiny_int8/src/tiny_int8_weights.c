/*
 * tiny_int8_weights.c: constants, nothing else.
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

#include "tiny_int8_weights.h"

#include "tiny_int8.h"

#if TINY_INT8_BUILD_ID != 0x9FC667B4UL
#error "tiny_int8.h is from another run of mbgen than this file"
#endif

/* pointwise_1: weights */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int8_t tiny_int8_pointwise_1_weights[24] = {
      49,   60, -119,  -99,  -12,  -28,   99,    4,  -20,  -18,   42,   22,  -83,   61,   65,  116,
      73,  -55,  -46,   38,   38,   50,   94,  -53,
};

/* pointwise_1: bias, zero points folded in */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_pointwise_1_bias[8] = {
     438, -499, -424,  473,  443, -202, -361, -187,
};

/* pointwise_1: multipliers */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_pointwise_1_multiplier[8] = {
    1349637100, 1836561800, 1827413800, 1474508500, 1376951400, 1234470700, 1308437000, 1588296900,
};

/* pointwise_1: shifts, positive to the left */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_pointwise_1_shift[8] = {
    -8, -8, -7, -7, -8, -7, -7, -8,
};

/* depthwise_1: weights */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int8_t tiny_int8_depthwise_1_weights[72] = {
      28,   41,    5,  110,  109,  -75,   28,   33,  -64,  -51,   -3,   62,  -53,   57,   39,  -72,
     -29,   84,   87,   40, -126,   47,  -70,   82,  105,  -18,  117,   66,  -44,   97,  -29, -101,
      24,   89,   40,  -27,  103,   -5,  -29,  -90,  -73,   51,   76,  -53,   33,   95,  -90,  -57,
       6,   16,  -26,  -26,  -95,   29,  110,  -77,   76,  -82, -116,   63,  -81,   64,  -43,   17,
     112,  107,   -6,  -75,  -64,   89,   23,  -84,
};

/* depthwise_1: bias, zero points folded in */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_depthwise_1_bias[8] = {
     24066,  30800,  22740,  20603, -27429,  51050,  -7808, -44202,
};

/* depthwise_1: multipliers */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_depthwise_1_multiplier[8] = {
    2020425933, 1514846003, 1327071539, 1825096499, 1199609037, 1715730330, 1166983987, 1399192474,
};

/* depthwise_1: shifts, positive to the left */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_depthwise_1_shift[8] = {
    -7, -7, -7, -7, -8, -7, -7, -8,
};
