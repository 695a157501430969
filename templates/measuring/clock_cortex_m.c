/*
 * clock.h on a Cortex-M board: the core's cycle counter (DWT), or the 24 bits of SysTick where there is none.
 *
 * The board gives measure_put: a blocking write to its UART, set up by board_start before main. Define MEASURE_HZ as
 * the core's clock to get seconds beside cycles.
 */
#include "clock.h"

#ifndef MEASURE_HZ
#define MEASURE_HZ 0u
#endif

#define DEMCR (*(volatile uint32_t *)0xE000EDFCu)
#define DEMCR_TRCENA (1u << 24)
#define DWT_CTRL (*(volatile uint32_t *)0xE0001000u)
#define DWT_CTRL_CYCCNTENA 1u
#define DWT_CTRL_NOCYCCNT (1u << 25)
#define DWT_CYCCNT (*(volatile uint32_t *)0xE0001004u)
#define SYSTICK_CTRL (*(volatile uint32_t *)0xE000E010u)
#define SYSTICK_LOAD (*(volatile uint32_t *)0xE000E014u)
#define SYSTICK_VAL (*(volatile uint32_t *)0xE000E018u)
#define SYSTICK_CTRL_CORE_CLOCK 5u /* enabled, from the core's clock, without an interrupt */
#define SYSTICK_TOP 0xFFFFFFu

static int has_cycle_counter;

uint32_t measure_start_clock(void)
{
#if defined(__ARM_ARCH_7M__) || defined(__ARM_ARCH_7EM__) || defined(__ARM_ARCH_8M_MAIN__) ||                          \
    defined(__ARM_ARCH_8_1M_MAIN__)
    DEMCR |= DEMCR_TRCENA;
    if ((DWT_CTRL & DWT_CTRL_NOCYCCNT) == 0u) {
        DWT_CTRL |= DWT_CTRL_CYCCNTENA;
        has_cycle_counter = DWT_CYCCNT != DWT_CYCCNT; /* an emulator's does not count */
    }
#endif
    SYSTICK_LOAD = SYSTICK_TOP;
    SYSTICK_VAL = 0;
    SYSTICK_CTRL = SYSTICK_CTRL_CORE_CLOCK;
    return MEASURE_HZ;
}

/* SysTick wraps after 2^24 cycles: what measure_clock has seen before it is kept here. */
static uint32_t systick_cycles(void)
{
    static uint32_t last, sum;
    const uint32_t now = SYSTICK_TOP - SYSTICK_VAL;

    sum += (now - last) & SYSTICK_TOP;
    last = now;
    return sum;
}

uint32_t measure_clock(void)
{
    return has_cycle_counter ? DWT_CYCCNT : systick_cycles();
}

int measure_again(void)
{
    return 1;
}
