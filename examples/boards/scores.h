/* What the examples make of a network's output. */
#ifndef SCORES_H
#define SCORES_H

#include <stddef.h>
#include <stdint.h>

/* The class with the highest score; of equal ones the first. */
size_t best_class(const int8_t *scores, size_t classes);

/* Prints `class 5`, without an end of line. */
void print_class(size_t number);

#endif
