/* An example of what a board's own code gives measure.c, for Arm's MPS2 boards and QEMU's: UART 0 and main. */
#include "measure.h"

#define UART_DATA (*(volatile uint32_t *)0x40004000u)
#define UART_STATE (*(volatile uint32_t *)0x40004004u)
#define UART_CTRL (*(volatile uint32_t *)0x40004008u)
#define UART_BAUDDIV (*(volatile uint32_t *)0x40004010u)
#define UART_STATE_FULL 1u
#define UART_CTRL_SEND 1u
#define CORE_HZ 25000000u
#define BAUD 115200u

void measure_put(char character)
{
    while ((UART_STATE & UART_STATE_FULL) != 0u) {
    }
    UART_DATA = (unsigned char)character;
}

int main(void)
{
    UART_BAUDDIV = CORE_HZ / BAUD;
    UART_CTRL = UART_CTRL_SEND;
    measure_main();
    return 0;
}
