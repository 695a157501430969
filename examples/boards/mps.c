/* board.h on Arm's MPS2 and MPS3 boards, whose serial line is a CMSDK UART; UART0 is its address. */
#include "board.h"

#define UART_DATA (*(volatile uint32_t *)(UART0 + 0x00u))
#define UART_STATE (*(volatile uint32_t *)(UART0 + 0x04u))
#define UART_CTRL (*(volatile uint32_t *)(UART0 + 0x08u))
#define UART_BAUDDIV (*(volatile uint32_t *)(UART0 + 0x10u))
#define STATE_TX_FULL (1u << 0)
#define CTRL_TX_ENABLE (1u << 0)

#define SYST_CSR (*(volatile uint32_t *)0xE000E010u) /* SysTick Control and Status Register */
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u) /* SysTick Reload Value Register */
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u) /* SysTick Current Value Register */
#define CSR_ENABLE (1u << 0)
#define CSR_CORE_CLOCK (1u << 2)

#define AIRCR (*(volatile uint32_t *)0xE000ED0Cu) /* Application Interrupt and Reset Control Register */
#define AIRCR_KEY (0x05FAu << 16)
#define AIRCR_SYSRESETREQ (1u << 2)

void board_begin(void)
{
    UART_BAUDDIV = 25000000u / 115200u;
    UART_CTRL = CTRL_TX_ENABLE;
    SYST_RVR = BOARD_TICKS_MASK;
    SYST_CVR = 0;
    SYST_CSR = CSR_CORE_CLOCK | CSR_ENABLE;
}

void board_print(const char *text)
{
    for (; *text != '\0'; text++) {
        while (UART_STATE & STATE_TX_FULL) {
        }
        UART_DATA = (uint32_t)*text;
    }
}

void board_print_number(uint32_t number)
{
    char digits[11];
    char *first = digits + sizeof digits - 1;

    *first = '\0';
    do {
        *--first = (char)('0' + number % 10u);
        number /= 10u;
    } while (number != 0);
    board_print(first);
}

uint32_t board_ticks(void)
{
    return BOARD_TICKS_MASK - SYST_CVR; /* it counts down */
}

void board_end(void)
{
    __asm__ volatile("dsb" ::: "memory");
    AIRCR = AIRCR_KEY | AIRCR_SYSRESETREQ;
    for (;;) {
    }
}
