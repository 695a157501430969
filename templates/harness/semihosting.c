/* harness.h on a bare Cortex-M: files and console of the debugger or emulator, by Arm's semihosting calls. */
#include "harness.h"

#include <stdint.h>
#include <string.h>

#include "startup.h"

enum operation {
    SYS_OPEN = 0x01,
    SYS_WRITE0 = 0x04,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_EXIT_EXTENDED = 0x20
};

enum open_mode { OPEN_READ_BINARY = 1, OPEN_WRITE_BINARY = 5 };

#define ADP_STOPPED_APPLICATION_EXIT 0x20026u

/* The host acts on the breakpoint and leaves its answer in r0. */
static uintptr_t semihosting(enum operation operation, const void *parameter)
{
    register uintptr_t r0 __asm__("r0") = (uintptr_t)operation;
    register const void *r1 __asm__("r1") = parameter;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

/* Returns the host's handle of a file. */
static uintptr_t must_open(const char *name, enum open_mode mode)
{
    const uintptr_t parameters[] = {(uintptr_t)name, (uintptr_t)mode, strlen(name)};
    const uintptr_t handle = semihosting(SYS_OPEN, parameters);
    if (handle == UINTPTR_MAX) {
        harness_fail("cannot open a file");
    }
    return handle;
}

/* Moves bytes from or to a file, in as few calls as the host accepts; returns how many were left when it stopped. */
static size_t transfer(enum operation operation, uintptr_t handle, uintptr_t data, size_t bytes)
{
    while (bytes > 0) {
        const uintptr_t parameters[] = {handle, data, bytes};
        const size_t left = semihosting(operation, parameters);
        if (left >= bytes) {
            break;
        }
        data += bytes - left;
        bytes = left;
    }
    return bytes;
}

int harness_read(void *data, size_t bytes)
{
    static int is_open;
    static uintptr_t inputs;
    if (!is_open) {
        inputs = must_open("inputs.bin", OPEN_READ_BINARY);
        is_open = 1;
    }
    return transfer(SYS_READ, inputs, (uintptr_t)data, bytes) == 0;
}

void harness_write(const void *data, size_t bytes)
{
    static int is_open;
    static uintptr_t outputs;
    if (!is_open) {
        outputs = must_open("outputs.bin", OPEN_WRITE_BINARY);
        is_open = 1;
    }
    if (transfer(SYS_WRITE, outputs, (uintptr_t)data, bytes) != 0) {
        harness_fail("cannot write outputs.bin");
    }
}

void harness_print(const char *text)
{
    semihosting(SYS_WRITE0, text);
}

void harness_exit(int code)
{
    const uintptr_t parameters[] = {ADP_STOPPED_APPLICATION_EXIT, (uintptr_t)code};
    for (;;) {
        semihosting(SYS_EXIT_EXTENDED, parameters);
    }
}

void harness_fail(const char *reason)
{
    harness_print(reason);
    harness_print("\n");
    harness_exit(1);
}

void startup_exit(int code)
{
    harness_exit(code);
}

static void print_hex(const char *name, uint32_t value)
{
    char text[] = " 0x00000000";
    for (int digit = 10; value != 0; --digit) {
        text[digit] = "0123456789abcdef"[value % 16u];
        value /= 16u;
    }
    harness_print(name);
    harness_print(text);
    harness_print("\n");
}

void startup_fault(const struct fault *fault)
{
    harness_print(fault->stack_overflow ? "the stack overflowed\n" : "the processor took a fault\n");
    print_hex("  exception     ", fault->exception);
    print_hex("  at instruction", fault->pc);
    print_hex("  called from   ", fault->lr);
    print_hex("  CFSR          ", fault->cfsr);
    print_hex("  BFAR          ", fault->bfar);
    harness_exit(1);
}
