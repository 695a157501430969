/* Reads a JPEG with libjpeg and prints the five classes that the network finds likeliest. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

#include "mobilenet.h"

#define TOP 5

struct picture {
    size_t width, height;
    uint8_t *pixels; /* rows of red, green, blue */
};

/* Ends the program with libjpeg's own message if the file is no JPEG. */
static struct picture read_jpeg(FILE *file)
{
    struct jpeg_error_mgr errors;
    struct jpeg_decompress_struct jpeg;
    struct picture picture;

    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&jpeg);
    jpeg_stdio_src(&jpeg, file);
    jpeg_read_header(&jpeg, TRUE);
    jpeg.out_color_space = JCS_RGB;
    jpeg_start_decompress(&jpeg);
    picture.width = jpeg.output_width;
    picture.height = jpeg.output_height;
    picture.pixels = malloc(picture.width * picture.height * 3);
    if (picture.pixels == NULL) {
        fprintf(stderr, "not enough memory for the picture\n");
        exit(1);
    }
    while (jpeg.output_scanline < jpeg.output_height) {
        JSAMPROW row = picture.pixels + jpeg.output_scanline * picture.width * 3;

        jpeg_read_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
    return picture;
}

/* The largest centred part with the input's proportions, nearest pixels, preprocessed as MobileNets are: x / 127.5 - 1. */
static void prepare(const struct picture *picture, float *input)
{
    const size_t across = MOBILENET_INPUT_WIDTH, down = MOBILENET_INPUT_HEIGHT;
    size_t width = picture->height * across / down, height = picture->width * down / across;

    width = width < picture->width ? width : picture->width;
    height = height < picture->height ? height : picture->height;
    for (size_t y = 0; y < down; y++) {
        for (size_t x = 0; x < across; x++) {
            const size_t row = (picture->height - height) / 2 + y * height / down;
            const size_t column = (picture->width - width) / 2 + x * width / across;
            const uint8_t *pixel = picture->pixels + (row * picture->width + column) * 3;

            for (size_t c = 0; c < 3; c++) {
                *input++ = (float)pixel[c] / 127.5f - 1.0f;
            }
        }
    }
}

int main(int count, char **arguments)
{
    static struct mobilenet_arena arena;
    static float input[MOBILENET_INPUT_ELEMENTS];
    static float output[MOBILENET_OUTPUT_ELEMENTS];
    FILE *file = count == 2 ? fopen(arguments[1], "rb") : NULL;
    struct picture picture;

    if (file == NULL) {
        fprintf(stderr, "usage: %s PICTURE.jpg\n", arguments[0]);
        return 2;
    }
    picture = read_jpeg(file);
    fclose(file);
    prepare(&picture, input);
    free(picture.pixels);

    if (mobilenet_invoke(&arena, input, output) != MOBILENET_OK) {
        fprintf(stderr, "the network did not run\n");
        return 1;
    }
    for (int place = 1; place <= TOP; place++) {
        size_t best = 0;

        for (size_t i = 1; i < MOBILENET_OUTPUT_ELEMENTS; i++) {
            best = output[i] > output[best] ? i : best;
        }
        printf("%d. class %zu, %.2f %%\n", place, best, 100.0 * (double)output[best]);
        output[best] = -1.0f; /* below all probabilities */
    }
    return 0;
}
