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

#if TINY_INT8_BUILD_ID != 0x5D5F63C3UL
#error "tiny_int8.h is from another run of mbgen than this file"
#endif

/* conv_1: weights */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int8_t tiny_int8_conv_1_weights[108] = {
    -117, -103,  -43,  -17,   31,   -5,  -60,  -87,   49,   60, -119,  -99,  -12,  -28,   99,    4,
     -20,  -18,   42,   22,  -83,   61,   65,  116,   73,  -55,  -46,   38,   38,   50,   94,  -53,
     112, -127, -108,  121,  113,  -51,  -92,  -47, -117,  100,   41,   22,  -65,   -7,  -79,   70,
      -7, -120,  -63,   53,    5,  -32,  -63, -104,   28,   41,    5,  110,  109,  -75,   28,   33,
     -64,  -51,   -3,   62,  -53,   57,   39,  -72,  -29,   84,   87,   40, -126,   47,  -70,   82,
     105,  -18,  117,   66,  -44,   97,  -29, -101,   24,   89,   40,  -27,  103,   -5,  -29,  -90,
     -73,   51,   76,  -53,   33,   95,  -90,  -57,    6,   16,  -26,  -26,
};

/* conv_1: bias */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_conv_1_bias[4] = {
    -372,  112,  431, -304,
};

/* conv_1: multiplier */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_conv_1_multiplier[4] = {
    1799516133, 1224374533, 1218275867, 1966011333,
};

/* conv_1: shift */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_conv_1_shift[4] = {
    -10,  -9,  -8,  -9,
};

/* depthwise_1: weights */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int8_t tiny_int8_depthwise_1_weights[36] = {
     112,  107,   -6,  -75,  -64,   89,   23,  -84,   98,  118,  120,   32,  121,   27,    0,  120,
      27,   73,  -41,   74,  121, -114,    9,  -33, -114, -106,  -59,  -78,   55,  -73,   32,   91,
      -1,  -95, -111,  -52,
};

/* depthwise_1: bias */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_depthwise_1_bias[4] = {
     -88,   -8, -195,  349,
};

/* depthwise_1: multiplier */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_depthwise_1_multiplier[4] = {
    1270647245, 1336146278, 1342780109, 1113640474,
};

/* depthwise_1: shift */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_depthwise_1_shift[4] = {
    -6, -5, -5, -5,
};

/* pointwise_1: weights */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int8_t tiny_int8_pointwise_1_weights[24] = {
     -52,   46,   34,  -34,  -87,   23, -105,   43,   77,   43, -111,    6,  -50,   14,   46,  -77,
    -118,   -1,   31,  -96,  108,   -5,  119,    9,
};

/* pointwise_1: bias */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_pointwise_1_bias[6] = {
     228,  274,   -4, -107,  167, -481,
};

/* pointwise_1: multiplier */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_pointwise_1_multiplier[6] = {
    1673188000, 1341934320, 1409661280, 1131701600, 1339118000, 1985387360,
};

/* pointwise_1: shift */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_pointwise_1_shift[6] = {
    -4, -4, -5, -4, -4, -6,
};

/* depthwise_2: weights */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int8_t tiny_int8_depthwise_2_weights[54] = {
    -107,  -27, -121,  -39,   58,  -39,   -2,   -5, -112, -104,  -51,   12, -109,  107,   91,   16,
      59,   62, -125,  114, -115,   87,   85,   62,  -93,   80,  117,   82,   49,  -63,   14,   -5,
      94,  -40,  -23,  -61,   -3,   18,  -10,  -46,   13,   30,  -85,   21,   53, -101,   30,  -15,
     110,  -28,  -47,   53,   94, -105,
};

/* depthwise_2: bias */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_depthwise_2_bias[6] = {
    -393, -332, -159,   12,   68,  -96,
};

/* depthwise_2: multiplier */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_depthwise_2_multiplier[6] = {
    1420156621, 1776478208, 1772287795, 1190821478, 1177257779, 2049689600,
};

/* depthwise_2: shift */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_depthwise_2_shift[6] = {
    -7, -8, -7, -7, -7, -7,
};

/* pointwise_2: weights */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int8_t tiny_int8_pointwise_2_weights[24] = {
     -17,  -65,   85,  -90,  -92,  -56,  -34,  -41,  -56,  -70,   32,    9,   40,  111,  111,  -95,
      74,  -22,   82,   43, -113,   98,  109,  127,
};

/* pointwise_2: bias */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_pointwise_2_bias[4] = {
    -440, -357,  130,   37,
};

/* pointwise_2: multiplier */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_pointwise_2_multiplier[4] = {
    1286789360, 1716758560, 1367222400, 1630170400,
};

/* pointwise_2: shift */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_pointwise_2_shift[4] = {
    -4, -5, -5, -4,
};

/* depthwise_3: weights */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int8_t tiny_int8_depthwise_3_weights[36] = {
      97,   68,   94,  112,  -51,   10,  -33, -125,  -67, -111,  -98,  -21,  106,   89,   37,  -67,
     -95,   43,   60,  -24,  -93,  -60,  124,   52,   17,  -49,   92,  -33,  -13,   68,  -22,   -1,
    -120,   72,  -55,    4,
};

/* depthwise_3: bias */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_depthwise_3_bias[4] = {
      47, -341, -261,  -57,
};

/* depthwise_3: multiplier */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_depthwise_3_multiplier[4] = {
    2003091251, 1274431898, 1520008602, 1673164288,
};

/* depthwise_3: shift */
TINY_INT8_ALIGNED(8) TINY_INT8_WEIGHTS_ATTR
const int32_t tiny_int8_depthwise_3_shift[4] = {
    -7, -8, -7, -8,
};
