/*
 * measure.h on a Cortex-M board. The board's own code starts the core, its clock and its UART, and calls measure_main.
 *
 * It gives measure_put, which sends one character and waits until it can. MEASURE_HZ is the core's clock: with it there
 * are seconds beside the cycles. Cycles are counted by the DWT unit; a core without it (Armv6-M, Armv8-M Baseline) or
 * an emulator counts by SysTick, whose interrupt is then this file's: so does MEASURE_BY_SYSTICK on any core.
 */
#include "measure.h"

#ifndef MEASURE_HZ
#define MEASURE_HZ 0u
#endif

#if !defined(MEASURE_BY_SYSTICK) && (defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__))
#define MEASURE_BY_SYSTICK
#endif

#ifdef MEASURE_BY_SYSTICK
#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)
#define SYST_CSR_ON 7u /* the core's clock, an interrupt at zero, counting */
#define COUNTER_MASK 0xFFFFFFu
#else
#define DEMCR (*(volatile uint32_t *)0xE000EDFCu)
#define DEMCR_TRCENA (1u << 24)
#define DWT_CTRL (*(volatile uint32_t *)0xE0001000u)
#define DWT_CTRL_CYCCNTENA 1u
#define DWT_CYCCNT (*(volatile uint32_t *)0xE0001004u)
#define DWT_LAR (*(volatile uint32_t *)0xE0001FB0u)
#define DWT_LAR_KEY 0xC5ACCE55u /* some Cortex-M7 lock the unit; others ignore it */
#define COUNTER_MASK 0xFFFFFFFFu
#endif

uint32_t measure_start_clock(void)
{
#ifdef MEASURE_BY_SYSTICK
    SYST_RVR = COUNTER_MASK;
    SYST_CVR = 0;
    SYST_CSR = SYST_CSR_ON;
#else
    DEMCR |= DEMCR_TRCENA;
    DWT_LAR = DWT_LAR_KEY;
    DWT_CYCCNT = 0;
    DWT_CTRL |= DWT_CTRL_CYCCNTENA;
#endif
    return MEASURE_HZ;
}

/* Adds up what the counter moved on since the last call; it must be called before the counter is around once. */
uint64_t measure_clock(void)
{
    static uint32_t last;
    static uint64_t sum;
    uint32_t masked, now;
    uint64_t ticks;

    __asm__ volatile("mrs %0, primask\n\tcpsid i" : "=r"(masked) : : "memory");
#ifdef MEASURE_BY_SYSTICK
    now = COUNTER_MASK - SYST_CVR; /* it counts down */
#else
    now = DWT_CYCCNT;
#endif
    sum += (now - last) & COUNTER_MASK;
    last = now;
    ticks = sum;
    __asm__ volatile("msr primask, %0" : : "r"(masked) : "memory");
    return ticks;
}

#ifdef MEASURE_BY_SYSTICK
void SysTick_Handler(void);

/* Each time the counter is around. */
void SysTick_Handler(void)
{
    (void)measure_clock();
}
#endif

uint64_t measure_core_hz(void)
{
    return MEASURE_HZ;
}

int measure_again(void)
{
    return 1;
}

int measure_load(void)
{
    return 0;
}
