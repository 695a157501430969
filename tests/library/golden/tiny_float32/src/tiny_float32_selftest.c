/*
 * tiny_float32_selftest.c: a built-in input and the output that it must give.
 *
 * Made by mbgen 0.0.0 with Apache TVM 0.0.0. Make it again rather than edit it.
 *
 * Model     built-in MobileNet V1, alpha 0.25, resolution 4, 8 classes
 * Weights   random
 * Target    cortex-a72: -mcpu=cortex-a72 -O3 -fno-schedule-insns
 * Options   alpha=0.25
 * Numerics  float32: the model's operations; sums may run in another order
 */

#include <stddef.h>

#include "tiny_float32.h"
#include "tiny_float32_weights.h"

#if TINY_FLOAT32_BUILD_ID != 0xABABCC9FUL
#error "tiny_float32.h is from another run of mbgen than this file"
#endif

/* what goes in */
TINY_FLOAT32_ALIGNED(16) TINY_FLOAT32_WEIGHTS_ATTR
static const float tiny_float32_test_input[48] = {
    0x1.00320ep-2f, 0x1.96bf36p-1f, 0x1.1a4d5ap-1f, -0x1.19634ap-1f,
    -0x1.99426cp-2f, 0x1.7e84ccp-1f, -0x1.fa9bbcp-1f, 0x1.48f01ap-1f,
    0x1.3032f8p-1f, -0x1.06ad48p-4f, -0x1.9363bcp-2f, -0x1.c5c8cap-2f,
    -0x1.f606fp-2f, -0x1.c1ef56p-4f, 0x1.2a132p-7f, 0x1.b64014p-4f,
    0x1.fb646ep-1f, 0x1.2baf9p-1f, 0x1.f47236p-3f, 0x1.f4b1f8p-1f,
    -0x1.23861ep-1f, -0x1.5bf16p-1f, 0x1.ccf654p-3f, -0x1.d300dep-1f,
    -0x1.db76a2p-1f, 0x1.e7e07ap-6f, -0x1.14d71ap-4f, 0x1.ab2e08p-1f,
    0x1.08a7c6p-2f, 0x1.ce9b68p-6f, -0x1.99ce1ap-8f, -0x1.028b72p-1f,
    -0x1.f3ec44p-1f, -0x1.3afaeep-1f, 0x1.894822p-2f, -0x1.329426p-1f,
    -0x1.0b308cp-2f, -0x1.fc2d18p-1f, 0x1.51f808p-1f, -0x1.61d4f4p-1f,
    -0x1.dbf4e6p-2f, 0x1.8575cap-1f, 0x1.40d344p-6f, 0x1.637b5ap-1f,
    0x1.1e2408p-2f, 0x1.ef259cp-2f, -0x1.a24efap-1f, 0x1.510cd8p-4f,
};

/* what must come out */
TINY_FLOAT32_ALIGNED(16) TINY_FLOAT32_WEIGHTS_ATTR
static const float tiny_float32_test_output[8] = {
    0x1.15a674p-3f, -0x1.4976a8p-3f, 0x1.15c4f8p-2f, 0x1.77514cp-4f,
    -0x1.df9848p-4f, 0x1.4ec3c2p-2f, 0x1.c9555ap-4f, -0x1.c62c16p-4f,
};

enum tiny_float32_status tiny_float32_self_test(struct tiny_float32_arena *arena)
{
    float output[TINY_FLOAT32_OUTPUT_ELEMENTS];
    enum tiny_float32_status status;

    status = tiny_float32_invoke(arena, tiny_float32_test_input, output);
    if (status != TINY_FLOAT32_OK) {
        return status;
    }
    for (size_t i = 0; i < TINY_FLOAT32_OUTPUT_ELEMENTS; i++) {
        const float difference = output[i] - tiny_float32_test_output[i];

        /* Negated, so that a NaN fails. */
        if (!(difference >= -0.00032691864f && difference <= 0.00032691864f)) {
            return TINY_FLOAT32_ERROR_SELF_TEST;
        }
    }
    return TINY_FLOAT32_OK;
}
