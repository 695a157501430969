/*
 * tiny_float32_weights.c: constants, nothing else.
 *
 * Made by mbgen 0.0.0 with Apache TVM 0.0.0. Make it again rather than edit it.
 *
 * Model     built-in MobileNet V1, alpha 0.25, resolution 4, 8 classes
 * Weights   random
 * Target    cortex-a72: -mcpu=cortex-a72 -O3 -fno-schedule-insns
 * Options   alpha=0.25
 * Numerics  float32: the model's operations; sums may run in another order
 */

#include "tiny_float32_weights.h"

#include "tiny_float32.h"

#if TINY_FLOAT32_BUILD_ID != 0xABABCC9FUL
#error "tiny_float32.h is from another run of mbgen than this file"
#endif

/* pointwise_1: weights */
TINY_FLOAT32_ALIGNED(16) TINY_FLOAT32_WEIGHTS_ATTR
const float tiny_float32_pointwise_1_weights[24] = {
    0x1.053cd6p+0f, -0x1.22b2b2p-2f, -0x1.028ee8p+0f, 0x1.a9580cp+0f,
    -0x1.2009dp-3f, -0x1.902e22p-3f, 0x1.ea5f5ap-2f, 0x1.8bbaeap-1f,
    -0x1.472008p+0f, -0x1.cf834cp-3f, -0x1.daff5cp-4f, 0x1.ce6936p-4f,
    -0x1.560a2cp-2f, 0x1.ed8318p-3f, -0x1.9931dcp-4f, 0x1.171812p-2f,
    0x1.ac221ap-3f, -0x1.b98b02p-4f, -0x1.bafd36p-2f, -0x1.69180cp-3f,
    -0x1.0e1e58p-1f, -0x1.e88eccp-4f, 0x1.8d77fep-7f, -0x1.02ad58p-2f,
};

/* pointwise_1: bias */
TINY_FLOAT32_ALIGNED(16) TINY_FLOAT32_WEIGHTS_ATTR
const float tiny_float32_pointwise_1_bias[8] = {
    -0x1.2b903ap-6f, 0x1.bacc56p-5f, 0x1.8c4e58p-3f, -0x1.b9bef6p-6f,
    -0x1.8f0beap-6f, 0x1.9a8c32p-4f, -0x1.6b181p-4f, -0x1.ddf456p-6f,
};

/* depthwise_1: weights */
TINY_FLOAT32_ALIGNED(16) TINY_FLOAT32_WEIGHTS_ATTR
const float tiny_float32_depthwise_1_weights[72] = {
    0x1.c3dc26p-2f, 0x1.2923a4p-2f, 0x1.76da38p-5f, 0x1.5717ecp-2f,
    -0x1.6a0138p+0f, 0x1.05745ep-1f, -0x1.eb568ep-2f, -0x1.ab2aacp-1f,
    0x1.1b1498p-3f, 0x1.66add2p-2f, -0x1.c7711ep-3f, -0x1.138f56p-1f,
    0x1.ac077ep-7f, -0x1.b01b2p-6f, 0x1.67d548p-1f, 0x1.7eac42p-2f,
    0x1.8cef38p-4f, 0x1.1c93fep-1f, -0x1.a4e944p-4f, -0x1.da0f82p-2f,
    0x1.2b09bp-2f, 0x1.2a427ap-2f, -0x1.b7f838p-4f, -0x1.90cc4ap-2f,
    0x1.d54ea4p-4f, -0x1.3f37eep+0f, 0x1.615808p-2f, 0x1.f7293ep-3f,
    -0x1.a38c24p-1f, 0x1.f69ba2p-6f, -0x1.ed9e78p-2f, 0x1.83b27ap-2f,
    -0x1.045f98p+0f, -0x1.d438ap-2f, 0x1.6b4e12p-2f, 0x1.2809e6p-1f,
    -0x1.143986p+0f, -0x1.fdfe28p-3f, 0x1.4fe48p-3f, -0x1.37eb2ep-2f,
    0x1.973432p-1f, -0x1.30f43cp-1f, 0x1.6b0a6cp-3f, -0x1.0c644ep-1f,
    0x1.67ed3p-1f, -0x1.62bbd6p-7f, -0x1.7d2f4p-3f, -0x1.b7daf8p-1f,
    0x1.ae8c1ep-1f, 0x1.816c32p-2f, 0x1.81d31ep-2f, 0x1.234c3p-1f,
    0x1.659ba6p-3f, -0x1.474b54p-2f, -0x1.99b938p-2f, -0x1.99b3dp-2f,
    0x1.5ebd1p-1f, -0x1.75db8ap-1f, -0x1.315758p-2f, -0x1.48f42ap-3f,
    0x1.cc051p-4f, 0x1.269432p-2f, -0x1.3fc4d2p-1f, -0x1.bae22ap-1f,
    -0x1.214a88p-9f, 0x1.36ac1ep-1f, 0x1.839d1ep-2f, 0x1.b9a71ep-4f,
    -0x1.44c472p-3f, 0x1.2c4574p-3f, -0x1.f259aap-4f, 0x1.a268e6p-2f,
};

/* depthwise_1: bias */
TINY_FLOAT32_ALIGNED(16) TINY_FLOAT32_WEIGHTS_ATTR
const float tiny_float32_depthwise_1_bias[8] = {
    -0x1.4567d8p-4f, 0x1.b7e0a2p-7f, -0x1.6b011ep-7f, 0x1.bd1ebap-5f,
    0x1.700c3ap-6f, 0x1.051fap-2f, 0x1.32ecacp-3f, 0x1.328822p-3f,
};
