/* A camera that gives a frame line by line, each pixel as 16 bits: 5 of red, 6 of green, 5 of blue. */
#ifndef CAMERA_H
#define CAMERA_H

#include <stdint.h>

#include "mobilenet.h"

#define CAMERA_WIDTH MOBILENET_INPUT_WIDTH
#define CAMERA_HEIGHT MOBILENET_INPUT_HEIGHT

/* Waits for the next line of the frame; after the last, the next frame begins. */
void camera_read_line(uint16_t line[CAMERA_WIDTH]);

#endif
