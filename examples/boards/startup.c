/* From reset to main on a bare Cortex-M. */
#include <stdint.h>
#include <string.h>

#include "board.h"

#define CPACR (*(volatile uint32_t *)0xE000ED88u) /* Coprocessor Access Control Register */
#define CPACR_CP10_CP11_FULL (0xFu << 20)

extern char stack_top[], data_start[], data_end[], data_load[], bss_start[], bss_end[]; /* from sections.ld */

int main(void);
void reset_handler(void);
static void fault_handler(void);

/* What the core reads first: its stack pointer, and where to go on reset and on faults. */
__attribute__((section(".vectors"), used)) static const struct {
    char *stack;
    void (*handlers[6])(void);
} vectors = {stack_top, {reset_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler}};

void reset_handler(void)
{
#ifdef __ARM_FP
    CPACR |= CPACR_CP10_CP11_FULL; /* the floating-point unit and MVE are off after reset */
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
    memcpy(data_start, data_load, (size_t)(data_end - data_start));
    memset(bss_start, 0, (size_t)(bss_end - bss_start));
    board_begin();
    main();
    board_end();
}

static void fault_handler(void)
{
    board_print("fault\n");
    board_end();
}
