/*
 * tiny_uint8_weights.c: constants, nothing else.
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

#include "tiny_uint8_weights.h"

#include "tiny_uint8.h"

#if TINY_UINT8_BUILD_ID != 0xD1D451E9UL
#error "tiny_uint8.h is from another run of mbgen than this file"
#endif

/* pointwise_1: weights */
TINY_UINT8_ALIGNED(8) TINY_UINT8_WEIGHTS_ATTR
const int8_t tiny_uint8_pointwise_1_weights[24] = {
      49,   60, -119,  -99,  -12,  -28,   99,    4,  -20,  -18,   42,   22,  -83,   61,   65,  116,
      73,  -55,  -46,   38,   38,   50,   94,  -53,
};

/* pointwise_1: bias */
TINY_UINT8_ALIGNED(8) TINY_UINT8_WEIGHTS_ATTR
const int32_t tiny_uint8_pointwise_1_bias[8] = {
     438, -499, -424,  473,  443, -202, -361, -187,
};

/* pointwise_1: multiplier */
TINY_UINT8_ALIGNED(8) TINY_UINT8_WEIGHTS_ATTR
const int32_t tiny_uint8_pointwise_1_multiplier[8] = {
    1349637100, 1836561800, 1827413800, 1474508500, 1376951400, 1234470700, 1308437000, 1588296900,
};

/* pointwise_1: shift */
TINY_UINT8_ALIGNED(8) TINY_UINT8_WEIGHTS_ATTR
const int32_t tiny_uint8_pointwise_1_shift[8] = {
    -8, -8, -7, -7, -8, -7, -7, -8,
};

/* depthwise_1: weights */
TINY_UINT8_ALIGNED(8) TINY_UINT8_WEIGHTS_ATTR
const int8_t tiny_uint8_depthwise_1_weights[72] = {
      28,   41,    5,  110,  109,  -75,   28,   33,  -64,  -51,   -3,   62,  -53,   57,   39,  -72,
     -29,   84,   87,   40, -126,   47,  -70,   82,  105,  -18,  117,   66,  -44,   97,  -29, -101,
      24,   89,   40,  -27,  103,   -5,  -29,  -90,  -73,   51,   76,  -53,   33,   95,  -90,  -57,
       6,   16,  -26,  -26,  -95,   29,  110,  -77,   76,  -82, -116,   63,  -81,   64,  -43,   17,
     112,  107,   -6,  -75,  -64,   89,   23,  -84,
};

/* depthwise_1: bias */
TINY_UINT8_ALIGNED(8) TINY_UINT8_WEIGHTS_ATTR
const int32_t tiny_uint8_depthwise_1_bias[8] = {
    386, 464, 468, 123, 475, 106,   0, 470,
};

/* depthwise_1: multiplier */
TINY_UINT8_ALIGNED(8) TINY_UINT8_WEIGHTS_ATTR
const int32_t tiny_uint8_depthwise_1_multiplier[8] = {
    2020425920, 1514846080, 1327071520, 1825096480, 1199609040, 1715730400, 1166984000, 1399192480,
};

/* depthwise_1: shift */
TINY_UINT8_ALIGNED(8) TINY_UINT8_WEIGHTS_ATTR
const int32_t tiny_uint8_depthwise_1_shift[8] = {
    -7, -7, -7, -7, -8, -7, -7, -8,
};
