/* Classifies one stored picture and prints its class, and how long each layer took. */
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

static uint32_t ticks[MOBILENET_LAYER_COUNT];
static uint32_t began;

void profile_begin(int layer)
{
    (void)layer;
    began = board_ticks();
}

/* A layer that runs row by row begins and ends with each of its rows. */
void profile_end(int layer)
{
    ticks[layer] += (board_ticks() - began) & BOARD_TICKS_MASK;
}

int main(void)
{
    mobilenet_input_from_pixels(mobilenet_picture, input);
    if (mobilenet_invoke(&arena, input, output) != MOBILENET_OK) {
        board_print("the network did not run\n");
        return 1;
    }
    print_class(best_class(output, MOBILENET_OUTPUT_ELEMENTS));
    board_print("\n");
    for (size_t i = 0; i < MOBILENET_LAYER_COUNT; i++) {
        board_print("layer ");
        board_print_number((uint32_t)i);
        board_print(": ");
        board_print_number(ticks[i]);
        board_print(" ticks\n");
    }
    return 0;
}
