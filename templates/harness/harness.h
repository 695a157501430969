/* What a program that tests a library may ask of the machine it runs on: Linux, or a Cortex-M under QEMU. */
#ifndef HARNESS_H
#define HARNESS_H

#include <stddef.h>

/* Reads the next bytes of the file inputs.bin; returns 0, having read less, at its end. */
int harness_read(void *data, size_t bytes);

/* Appends to the file outputs.bin. */
void harness_write(const void *data, size_t bytes);

/* Prints a text on the console. */
void harness_print(const char *text);

/* Ends the program with this exit code, as returning it from main does. */
void harness_exit(int code) __attribute__((noreturn));

/* Prints the reason and ends the program with exit code 1. */
void harness_fail(const char *reason) __attribute__((noreturn));

#endif
