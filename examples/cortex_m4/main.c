/* Classifies one stored picture and prints its class over the serial line. */
#include <stddef.h>
#include <stdint.h>

#include "board.h"
#include "mobilenet.h"
#include "mobilenet_image.h"
#include "scores.h"

extern const uint8_t mobilenet_picture[MOBILENET_INPUT_ELEMENTS]; /* red, green, blue; made by picture.py */

static MOBILENET_ARENA_ATTR struct mobilenet_arena arena;
static int8_t input[MOBILENET_INPUT_ELEMENTS];
static int8_t output[MOBILENET_OUTPUT_ELEMENTS];

int main(void)
{
    size_t best;

    if (mobilenet_self_test(&arena) != MOBILENET_OK) {
        board_print("the self-test failed\n");
        return 1;
    }
    board_print("self-test passed\n");

    mobilenet_input_from_pixels(mobilenet_picture, input);
    if (mobilenet_invoke(&arena, input, output) != MOBILENET_OK) {
        board_print("the network did not run\n");
        return 1;
    }
    best = best_class(output, MOBILENET_OUTPUT_ELEMENTS);
    print_class(best);
    board_print(", score ");
    board_print_number((uint32_t)(100.0f * mobilenet_dequantize_output(output[best]) + 0.5f));
    board_print(" %\n");
    return 0;
}
