/* What the examples ask of a board: a serial line, a clock, an end. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

void board_begin(void);
void board_print(const char *text);
void board_print_number(uint32_t number);

/* A clock of 24 bits that runs at the core's speed or a fixed fraction of it. */
#define BOARD_TICKS_MASK 0xFFFFFFu
uint32_t board_ticks(void);

/* Resets the board; the emulator ends instead. */
void board_end(void) __attribute__((noreturn));

#endif
