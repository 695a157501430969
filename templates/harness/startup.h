/* What startup.c needs from the program: an end, and someone to tell of a fault. */
#ifndef STARTUP_H
#define STARTUP_H

#include <stdint.h>

/* The state of the core when a fault was taken. */
struct fault {
    uint32_t exception; /* number: 3 HardFault, 4 MemManage, 5 BusFault, 6 UsageFault, 7 SecureFault */
    int stack_overflow; /* the stack pointer was below the stack; pc and lr are then unknown and zero */
    uint32_t lr;        /* where the function that was running would have returned to */
    uint32_t pc;        /* the instruction that was running */
    uint32_t cfsr;      /* Configurable Fault Status Register: why; zero on Armv6-M */
    uint32_t bfar;      /* BusFault Address Register: where, if CFSR says that it is valid */
};

/* main has returned. */
void startup_exit(int code) __attribute__((noreturn));

/* A fault was taken; there is no return from it. */
void startup_fault(const struct fault *fault) __attribute__((noreturn));

#endif
