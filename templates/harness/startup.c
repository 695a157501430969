/* Start of a C program on a bare Cortex-M: vector table, memory, floating-point unit, faults. */
#include "startup.h"

#include <stddef.h>
#include <string.h>

#define CCR (*(volatile uint32_t *)0xE000ED14u)   /* Configuration and Control Register */
#define CFSR (*(volatile uint32_t *)0xE000ED28u)  /* Configurable Fault Status Register */
#define BFAR (*(volatile uint32_t *)0xE000ED38u)  /* BusFault Address Register */
#define CPACR (*(volatile uint32_t *)0xE000ED88u) /* Coprocessor Access Control Register */

#define CCR_UNALIGN_TRP (1u << 3)
#define CPACR_CP10_CP11_FULL (0xFu << 20)

/* From cortex_m.ld. */
extern char stack_top[];
extern char data_start[], data_end[], data_load[];
extern char bss_start[], bss_end[];

int main(void);
void reset_handler(void) __attribute__((noreturn));
void fault_handler(void);
void report_fault(const uint32_t *frame) __attribute__((noreturn));
void SysTick_Handler(void) __attribute__((weak, alias("fault_handler"))); /* unless the program has one */

typedef void (*handler)(void);

/* The core reads its first stack pointer and the handlers' addresses here; SysTick is the only interrupt that a program may have. */
struct vector_table {
    void *initial_stack;
    handler handlers[15]; /* of exceptions 1 to 15 */
};

const struct vector_table vector_table __attribute__((section(".vectors"), used)) = {
    .initial_stack = stack_top,
    .handlers = {
        reset_handler,
        fault_handler, /* NMI */
        fault_handler, /* HardFault */
        fault_handler, /* MemManage */
        fault_handler, /* BusFault */
        fault_handler, /* UsageFault */
        fault_handler, /* SecureFault */
        NULL,
        NULL,
        NULL,
        fault_handler, /* SVCall */
        fault_handler, /* DebugMonitor */
        NULL,
        fault_handler, /* PendSV */
        SysTick_Handler,
    },
};

void reset_handler(void)
{
#ifdef __ARM_FP
    CPACR |= CPACR_CP10_CP11_FULL; /* the floating-point unit and MVE are off after reset */
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
#ifndef __ARM_FEATURE_UNALIGNED
    CCR |= CCR_UNALIGN_TRP; /* code for a core without unaligned access must not get by with it on a larger one */
#endif
    memcpy(data_start, data_load, (size_t)(data_end - data_start));
    memset(bss_start, 0, (size_t)(bss_end - bss_start));
    startup_exit(main());
}

/* Hands the registers that the core stacked to report_fault, or NULL and a fresh stack if they went beyond its end. */
__attribute__((naked)) void fault_handler(void)
{
    __asm__ volatile("mrs r0, msp\n\t"
                     "ldr r1, =stack_limit\n\t"
                     "cmp r0, r1\n\t"
                     "bhs 1f\n\t"
                     "movs r0, #0\n\t"
                     "ldr r1, =stack_top\n\t"
                     "mov sp, r1\n"
                     "1:\n\t"
                     "bl report_fault\n\t"
                     ".ltorg");
}

void report_fault(const uint32_t *frame)
{
    uint32_t exception;
    __asm__ volatile("mrs %0, ipsr" : "=r"(exception));
    const struct fault fault = {
        .exception = exception,
        .stack_overflow = frame == NULL,
        .lr = frame != NULL ? frame[5] : 0,
        .pc = frame != NULL ? frame[6] : 0,
        .cfsr = CFSR,
        .bfar = BFAR,
    };
    startup_fault(&fault);
}
