/* Two networks in turn, which share the memory that they work in; the weights of one are outside the chip. */
#include <stdint.h>

#include "board.h"
#include "classifier.h"
#include "classifier_image.h"
#include "detector.h"
#include "detector_image.h"
#include "scores.h"

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

int main(void)
{
    int8_t found[DETECTOR_OUTPUT_ELEMENTS];
    int8_t scores[CLASSIFIER_OUTPUT_ELEMENTS];

    detector_input_from_pixels(detector_picture, input.detector);
    if (detector_invoke(&arena.detector, input.detector, found) != DETECTOR_OK) {
        board_print("the detector did not run\n");
        return 1;
    }
    board_print("detector: ");
    print_class(best_class(found, DETECTOR_OUTPUT_ELEMENTS));

    classifier_input_from_pixels(classifier_picture, input.classifier);
    if (classifier_invoke(&arena.classifier, input.classifier, scores) != CLASSIFIER_OK) {
        board_print("the classifier did not run\n");
        return 1;
    }
    board_print("\nclassifier: ");
    print_class(best_class(scores, CLASSIFIER_OUTPUT_ELEMENTS));
    board_print("\n");
    return 0;
}
