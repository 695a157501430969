/* What measure.c asks of the machine it runs on: a clock, and a way to print. */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

/* Starts the clock; returns its ticks in a second, 0 where the ticks are the core's cycles and its clock is not known. */
uint32_t measure_start_clock(void);

/* The time in ticks. It may wrap around: only differences count. */
uint32_t measure_clock(void);

/* Prints one character. */
void measure_put(char character);

/* Whether to measure and report once more: a board goes on as long as it has power, a program ends. */
int measure_again(void);

#endif
