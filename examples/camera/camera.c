/*
 * camera.h without a camera: a disc that moves over a background, from left to right and around again. On a board the
 * lines come from the camera's DMA buffer.
 */
#include "camera.h"

#define STEP 24 /* pixels from one frame to the next */

void camera_read_line(uint16_t line[CAMERA_WIDTH])
{
    static int frame, y;
    const int radius = CAMERA_HEIGHT / 4;
    const int dy = y - CAMERA_HEIGHT / 2;

    for (int x = 0; x < CAMERA_WIDTH; x++) {
        const int dx = x - frame * STEP % CAMERA_WIDTH;
        const int red = x * 31 / CAMERA_WIDTH;
        const int green = y * 63 / CAMERA_HEIGHT;

        line[x] = (uint16_t)(dx * dx + dy * dy < radius * radius ? 0xFFE0 : red << 11 | green << 5 | 8);
    }
    y = (y + 1) % CAMERA_HEIGHT;
    frame += y == 0;
}
