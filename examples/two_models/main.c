/* Two networks in turn, which share the memory that they work in; the weights of one are outside the chip. */
#include <stddef.h>
#include <stdint.h>

#include "board.h"
#include "classifier.h"
#include "classifier_image.h"
#include "detector.h"
#include "detector_image.h"

extern const uint8_t detector_picture[DETECTOR_INPUT_ELEMENTS]; /* red, green, blue; made by picture.py */
extern const uint8_t classifier_picture[CLASSIFIER_INPUT_ELEMENTS];

/* One network at a time: what is in an arena between two calls of NAME_invoke, nobody needs. */
static union {
    struct detector_arena detector;
    struct classifier_arena classifier;
} arena;

static union {
    int8_t detector[DETECTOR_INPUT_ELEMENTS];
    int8_t classifier[CLASSIFIER_INPUT_ELEMENTS];
} input;

static size_t largest(const int8_t *scores, size_t count)
{
    size_t best = 0;

    for (size_t i = 1; i < count; i++) {
        if (scores[i] > scores[best]) {
            best = i;
        }
    }
    return best;
}

static void print(const char *name, size_t best)
{
    board_print(name);
    board_print(": class ");
    board_print_number((uint32_t)best);
    board_print("\n");
}

int main(void)
{
    int8_t found[DETECTOR_OUTPUT_ELEMENTS];
    int8_t scores[CLASSIFIER_OUTPUT_ELEMENTS];

    detector_input_from_pixels(detector_picture, input.detector);
    if (detector_invoke(&arena.detector, input.detector, found) != DETECTOR_OK) {
        board_print("the detector did not run\n");
        return 1;
    }
    print("detector", largest(found, DETECTOR_OUTPUT_ELEMENTS));

    classifier_input_from_pixels(classifier_picture, input.classifier);
    if (classifier_invoke(&arena.classifier, input.classifier, scores) != CLASSIFIER_OK) {
        board_print("the classifier did not run\n");
        return 1;
    }
    print("classifier", largest(scores, CLASSIFIER_OUTPUT_ELEMENTS));
    return 0;
}
