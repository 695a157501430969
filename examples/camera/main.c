/* Classifies each frame of a camera; no frame is ever in memory as a whole. */
#include <stddef.h>
#include <stdint.h>

#include "board.h"
#include "camera.h"
#include "mobilenet.h"
#include "mobilenet_image.h"
#include "scores.h"

#define FRAMES 4 /* a product would go on for ever */

static MOBILENET_ARENA_ATTR struct mobilenet_arena arena;

/* Reads a line and makes it what the network takes. */
static void read_row(int8_t row[MOBILENET_INPUT_ROW_ELEMENTS])
{
    static uint16_t line[CAMERA_WIDTH];
    static uint8_t pixels[MOBILENET_INPUT_ROW_ELEMENTS];

    camera_read_line(line);
    for (size_t x = 0; x < CAMERA_WIDTH; x++) {
        const unsigned red = line[x] >> 11, green = line[x] >> 5 & 63u, blue = line[x] & 31u;

        pixels[3 * x] = (uint8_t)(red << 3 | red >> 2); /* the high bits again, so that white stays white */
        pixels[3 * x + 1] = (uint8_t)(green << 2 | green >> 4);
        pixels[3 * x + 2] = (uint8_t)(blue << 3 | blue >> 2);
    }
    mobilenet_rows_from_pixels(pixels, 1, row);
}

static enum mobilenet_status classify_frame(int8_t output[MOBILENET_OUTPUT_ELEMENTS])
{
    static int8_t row[MOBILENET_INPUT_ROW_ELEMENTS];
    enum mobilenet_status status = mobilenet_begin(&arena);

    for (int y = 0; y < CAMERA_HEIGHT && status == MOBILENET_OK; y++) {
        read_row(row);
        status = mobilenet_push_rows(&arena, row, 1);
    }
    return status == MOBILENET_OK ? mobilenet_finish(&arena, output) : status;
}

int main(void)
{
    board_print("arena ");
    board_print_number(MOBILENET_ARENA_BYTES);
    board_print(" bytes, a frame would be ");
    board_print_number(MOBILENET_INPUT_BYTES);
    board_print("\n");
    for (unsigned frame = 0; frame < FRAMES; frame++) {
        int8_t output[MOBILENET_OUTPUT_ELEMENTS];

        if (classify_frame(output) != MOBILENET_OK) {
            board_print("the network did not run\n");
            return 1;
        }
        board_print("frame ");
        board_print_number(frame);
        board_print(": ");
        print_class(best_class(output, MOBILENET_OUTPUT_ELEMENTS));
        board_print("\n");
    }
    return 0;
}
