#include "scores.h"

#include "board.h"

size_t best_class(const int8_t *scores, size_t classes)
{
    size_t best = 0;

    for (size_t i = 1; i < classes; i++) {
        if (scores[i] > scores[best]) {
            best = i;
        }
    }
    return best;
}

void print_class(size_t number)
{
    board_print("class ");
    board_print_number((uint32_t)number);
}
