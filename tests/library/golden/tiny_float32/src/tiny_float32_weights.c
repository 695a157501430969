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

#if TINY_FLOAT32_BUILD_ID != 0x84CE55E3UL
#error "tiny_float32.h is from another run of mbgen than this file"
#endif

/* conv_1: weights */
TINY_FLOAT32_ALIGNED(16) TINY_FLOAT32_WEIGHTS_ATTR
const float tiny_float32_conv_1_weights[108] = {
    0x1.053cd6p+0f, -0x1.472008p+0f, 0x1.ac221ap-3f, -0x1.22b2b2p-2f,
    -0x1.cf834cp-3f, -0x1.b98b02p-4f, -0x1.028ee8p+0f, -0x1.daff5cp-4f,
    -0x1.bafd36p-2f, 0x1.a9580cp+0f, 0x1.ce6936p-4f, -0x1.69180cp-3f,
    -0x1.2009dp-3f, -0x1.560a2cp-2f, -0x1.0e1e58p-1f, -0x1.902e22p-3f,
    0x1.ed8318p-3f, -0x1.e88eccp-4f, 0x1.ea5f5ap-2f, -0x1.9931dcp-4f,
    0x1.8d77fep-7f, 0x1.8bbaeap-1f, 0x1.171812p-2f, -0x1.02ad58p-2f,
    -0x1.767448p-4f, 0x1.14bfb6p-2f, 0x1.ef61eep-1f, -0x1.14175ap-3f,
    -0x1.f2cee4p-4f, 0x1.0097ap-1f, -0x1.c5de14p-2f, -0x1.2ab8b6p-3f,
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
    -0x1.96c1cep-2f, 0x1.12ec64p-4f, -0x1.c5c164p-5f, 0x1.163334p-2f,
};

/* conv_1: bias */
TINY_FLOAT32_ALIGNED(16) TINY_FLOAT32_WEIGHTS_ATTR
const float tiny_float32_conv_1_bias[4] = {
    0x1.700c3ap-6f, 0x1.051fap-2f, 0x1.32ecacp-3f, 0x1.328822p-3f,
};

/* depthwise_1: weights */
TINY_FLOAT32_ALIGNED(16) TINY_FLOAT32_WEIGHTS_ATTR
const float tiny_float32_depthwise_1_weights[36] = {
    -0x1.050e76p+0f, -0x1.5c7bf6p-3f, -0x1.379bdp-2f, 0x1.10c0e2p-2f,
    -0x1.23b724p+0f, 0x1.2cabf2p-1f, 0x1.1125d2p-1f, -0x1.4d5484p-1f,
    -0x1.f5045p-2f, -0x1.9a3338p-2f, 0x1.62ae16p-6f, 0x1.482d5cp-2f,
    0x1.062122p+0f, -0x1.945e46p-4f, 0x1.88f618p-2f, 0x1.3e4bb2p-4f,
    0x1.c28a88p-1f, 0x1.7bfc1ep-2f, 0x1.5e5952p-1f, -0x1.13e286p-1f,
    -0x1.89b58p-4f, -0x1.a0a6c8p-2f, 0x1.81443cp-1f, 0x1.50b62ep-2f,
    -0x1.3877c8p-3f, -0x1.cf53bep-3f, 0x1.f04bfep-3f, -0x1.672a6cp-2f,
    -0x1.dc7626p-2f, 0x1.ecd338p-3f, 0x1.3b47eap+0f, -0x1.f814dep-4f,
    -0x1.1c9a7p-2f, -0x1.2bd0fp-1f, -0x1.55c348p-1f, 0x1.0cca9ap-2f,
};

/* depthwise_1: bias */
TINY_FLOAT32_ALIGNED(16) TINY_FLOAT32_WEIGHTS_ATTR
const float tiny_float32_depthwise_1_bias[4] = {
    0x1.5c7d2ap-4f, 0x1.e10504p-11f, 0x1.10723ep-5f, 0x1.7bd5ep-7f,
};

/* pointwise_1: weights */
TINY_FLOAT32_ALIGNED(16) TINY_FLOAT32_WEIGHTS_ATTR
const float tiny_float32_pointwise_1_weights[24] = {
    0x1.1bf712p-4f, -0x1.86b25cp-1f, -0x1.d51cf4p-3f, 0x1.c89e86p-5f,
    -0x1.90fb3cp-2f, -0x1.e7dd32p-3f, -0x1.a363b8p-2f, -0x1.558026p-3f,
    0x1.b4ca9cp-2f, -0x1.a0569ap-3f, -0x1.3b208ep-4f, 0x1.a09fb2p-2f,
    0x1.4a1f52p-2f, 0x1.b1f92p-1f, -0x1.0b9504p+0f, 0x1.b6b638p-2f,
    -0x1.eddbe2p-3f, 0x1.13d94ep-4f, 0x1.ace98ep-2f, 0x1.155014p-1f,
    0x1.0a12e4p-1f, 0x1.3da894p-4f, 0x1.9c12dap-1f, -0x1.21c3fep-3f,
};

/* pointwise_1: bias */
TINY_FLOAT32_ALIGNED(16) TINY_FLOAT32_WEIGHTS_ATTR
const float tiny_float32_pointwise_1_bias[6] = {
    -0x1.cdf834p-7f, 0x1.476a0cp-4f, -0x1.c3af2cp-5f, 0x1.ba8db8p-3f,
    0x1.a1778ep-4f, 0x1.bd8ecep-3f,
};

/* depthwise_2: weights */
TINY_FLOAT32_ALIGNED(16) TINY_FLOAT32_WEIGHTS_ATTR
const float tiny_float32_depthwise_2_weights[54] = {
    -0x1.b3a322p-7f, -0x1.88485ep-3f, 0x1.561d44p-4f, 0x1.781a6ap-2f,
    -0x1.2cc352p-2f, 0x1.84d088p-3f, -0x1.135242p-7f, 0x1.9d9d52p-1f,
    -0x1.534da6p-2f, 0x1.0bd142p-1f, -0x1.49a87cp-2f, -0x1.ebd83ep-2f,
    -0x1.6bac5ep-2f, -0x1.30b006p-1f, 0x1.2bb9bcp-4f, 0x1.0800b6p-1f,
    0x1.508452p-4f, 0x1.3fa78ap-2f, 0x1.a1d62cp-1f, 0x1.1481dp-3f,
    0x1.8fb148p-4f, -0x1.19a9b6p-3f, -0x1.9bb5c4p-1f, 0x1.84fc8p-2f,
    -0x1.c1a764p-1f, 0x1.4e2b9cp-2f, -0x1.d53faep-8f, 0x1.2074cp-1f,
    -0x1.159644p-5f, -0x1.a57a7ep-2f, 0x1.6e8008p-3f, -0x1.1ed746p-2f,
    -0x1.72997ep-4f, 0x1.570168p-6f, -0x1.138eccp-4f, -0x1.82aac4p-4f,
    -0x1.aa363ap-2f, -0x1.835892p-4f, -0x1.11b526p+0f, -0x1.423754p-4f,
    -0x1.32b3ccp-1f, 0x1.1ec99ap-1f, 0x1.4519ecp-1f, -0x1.f3766cp-1f,
    0x1.28ca22p-4f, -0x1.02cb16p-4f, -0x1.0bf58ep-1f, 0x1.1034d8p-2f,
    -0x1.d8c524p-3f, -0x1.c4816p-1f, -0x1.1113bp-3f, -0x1.2f9f54p-4f,
    0x1.b3f102p-5f, -0x1.3b3216p-1f,
};

/* depthwise_2: bias */
TINY_FLOAT32_ALIGNED(16) TINY_FLOAT32_WEIGHTS_ATTR
const float tiny_float32_depthwise_2_bias[6] = {
    0x1.f85da6p-5f, 0x1.2d3e44p-4f, -0x1.d554b2p-4f, -0x1.0dde04p-4f,
    -0x1.073fd2p-7f, -0x1.cf9b24p-5f,
};

/* pointwise_2: weights */
TINY_FLOAT32_ALIGNED(16) TINY_FLOAT32_WEIGHTS_ATTR
const float tiny_float32_pointwise_2_weights[24] = {
    0x1.be66b4p-1f, 0x1.aabfp-4f, -0x1.02b582p-1f, -0x1.938304p-2f,
    -0x1.d6cbdep-6f, 0x1.25dc14p+0f, -0x1.6d15d8p-4f, 0x1.05125cp-4f,
    0x1.0730f4p-2f, -0x1.48b63p-6f, 0x1.23ecb2p+0f, -0x1.10240ap-2f,
    0x1.7d0832p-2f, 0x1.4893b4p-4f, 0x1.3e0d74p-2f, -0x1.2d387ap-1f,
    0x1.c4a308p-1f, -0x1.f1c6d4p-5f, 0x1.17dd8ep-6f, -0x1.deb536p-2f,
    -0x1.759a9ep-2f, 0x1.20e3fep-2f, 0x1.f91684p-2f, 0x1.81aa9ap-2f,
};

/* pointwise_2: bias */
TINY_FLOAT32_ALIGNED(16) TINY_FLOAT32_WEIGHTS_ATTR
const float tiny_float32_pointwise_2_bias[4] = {
    0x1.ef31b8p-4f, 0x1.24a798p-4f, 0x1.750e1p-9f, 0x1.56a41cp-4f,
};

/* depthwise_3: weights */
TINY_FLOAT32_ALIGNED(16) TINY_FLOAT32_WEIGHTS_ATTR
const float tiny_float32_depthwise_3_weights[36] = {
    0x1.2fecc4p-2f, -0x1.9bf4dp-5f, 0x1.73bfcep-2f, 0x1.492376p-1f,
    0x1.e066eep-4f, -0x1.6cc108p-3f, 0x1.6ffafp-2f, 0x1.e695b4p-1f,
    -0x1.af3b28p-4f, -0x1.7a19a8p-5f, -0x1.175796p-4f, 0x1.3917acp-1f,
    -0x1.d652ap-1f, 0x1.76a02cp-3f, 0x1.313836p-1f, -0x1.a073c2p-2f,
    0x1.7d2dap-1f, 0x1.121406p-2f, -0x1.191b3cp-2f, 0x1.a2140ep-4f,
    -0x1.88d47ap-1f, -0x1.219286p-2f, 0x1.d3aff8p-1f, -0x1.c9a0bp-2f,
    0x1.d835dap-1f, -0x1.4e201cp-5f, 0x1.fd4474p-2f, 0x1.679abap-6f,
    -0x1.1ee8dep+0f, -0x1.25328ep-2f, 0x1.84d1f6p-4f, -0x1.26a4a4p-1f,
    -0x1.58efe8p-1f, 0x1.76f96cp-3f, -0x1.4c802p-2f, -0x1.b221bcp-1f,
};

/* depthwise_3: bias */
TINY_FLOAT32_ALIGNED(16) TINY_FLOAT32_WEIGHTS_ATTR
const float tiny_float32_depthwise_3_bias[4] = {
    -0x1.1836acp-4f, 0x1.608eep-4f, -0x1.8417cp-5f, 0x1.7ee202p-4f,
};
