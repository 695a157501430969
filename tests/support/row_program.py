"""A C program that feeds a library row by row, rightly and wrongly, and checks every answer and status."""

from __future__ import annotations

from functools import reduce

from mbgen.library.text import C_TYPES

_PROGRAM = """
#include <string.h>

#include "harness.h"
#include "NAME.h"

typedef INPUT_TYPE element;
typedef OUTPUT_TYPE answer;

#define HEIGHT ((uint32_t)MACRO_INPUT_HEIGHT)
#define LINE_TEXT(line) #line
#define LINE(line) LINE_TEXT(line)
#define CHECK(condition) ((condition) ? (void)0 : harness_fail("line " LINE(__LINE__) ": " #condition))

static struct NAME_arena arena, other, before;
static element picture[2][MACRO_INPUT_ELEMENTS];
static element chunk[MACRO_INPUT_ELEMENTS];
static answer expected[2][MACRO_OUTPUT_ELEMENTS], output[MACRO_OUTPUT_ELEMENTS], untouched[MACRO_OUTPUT_ELEMENTS];

static void fill(void)
{
    uint32_t random = 1;

    for (uint32_t i = 0; i < 2 * MACRO_INPUT_ELEMENTS; i++) {
        random = random * 1664525u + 1013904223u;
        picture[i / MACRO_INPUT_ELEMENTS][i % MACRO_INPUT_ELEMENTS] = (element)RANDOM;
    }
    memset(untouched, 0x5A, sizeof untouched);
    for (int i = 0; i < 2; i++) {
        memset(&arena, 0xA5, sizeof arena);
        CHECK(NAME_invoke(&arena, picture[i], expected[i]) == MACRO_OK);
    }
}

/* Rows first .. first + count - 1 of a picture, from memory that ends with the last and is overwritten afterwards. */
static enum NAME_status push(struct NAME_arena *to, int which, uint32_t first, uint32_t count)
{
    const size_t elements = count * MACRO_INPUT_ROW_ELEMENTS;
    element *const rows = chunk + (MACRO_INPUT_ELEMENTS - elements);
    enum NAME_status status;

    memcpy(rows, picture[which] + first * MACRO_INPUT_ROW_ELEMENTS, elements * sizeof(element));
    status = NAME_push_rows(to, rows, count);
    memset(chunk, 0x77, sizeof chunk);
    return status;
}

static void finishes(struct NAME_arena *with, int which)
{
    memset(output, 0x5A, sizeof output);
    CHECK(NAME_finish(with, output) == MACRO_OK);
    CHECK(memcmp(output, expected[which], sizeof output) == 0);
}

static void in_portions_of(uint32_t portion, int which)
{
    for (uint32_t come = 0; come < HEIGHT; come += portion) {
        CHECK(push(&arena, which, come, HEIGHT - come < portion ? HEIGHT - come : portion) == MACRO_OK);
    }
    finishes(&arena, which);
}

/* All that must be refused when `come` rows of the picture have come, and that nothing changes by it. */
static void refuses(uint32_t come)
{
    before = arena;
    memset(output, 0x5A, sizeof output);
    CHECK(push(&arena, 1, 0, HEIGHT) == MACRO_ERROR_ROWS || come == 0);
    CHECK(NAME_push_rows(&arena, chunk, HEIGHT - come + 1) == MACRO_ERROR_ROWS);
    CHECK(NAME_push_rows(&arena, chunk, UINT32_MAX) == MACRO_ERROR_ROWS);
    CHECK(NAME_push_rows(&arena, chunk, UINT32_MAX - come + 1) == MACRO_ERROR_ROWS);
    CHECK(NAME_push_rows(&arena, NULL, 1) == MACRO_ERROR_NULL);
    CHECK(NAME_push_rows(NULL, chunk, 1) == MACRO_ERROR_NULL);
    CHECK(NAME_finish(&arena, NULL) == MACRO_ERROR_NULL);
    CHECK(NAME_finish(NULL, output) == MACRO_ERROR_NULL);
    CHECK(NAME_invoke(&arena, NULL, output) == MACRO_ERROR_NULL);
    CHECK(NAME_begin(NULL) == MACRO_ERROR_NULL);
    CHECK(come == HEIGHT || NAME_finish(&arena, output) == MACRO_ERROR_ROWS);
    CHECK(NAME_push_rows(&arena, chunk, 0) == MACRO_OK);
    CHECK(memcmp(&arena, &before, sizeof arena) == 0);
    CHECK(memcmp(output, untouched, sizeof output) == 0);
}

int main(void)
{
    const uint32_t portions[] = {1, 3, 7, HEIGHT};

    fill();
    CHECK(NAME_self_test(&arena) == MACRO_OK);

    /* any portions, one picture after the other, in an arena of anything after begin, or of zeros */
    for (size_t i = 0; i < sizeof portions / sizeof portions[0]; i++) {
        memset(&arena, 0xA5, sizeof arena);
        CHECK(NAME_begin(&arena) == MACRO_OK);
        in_portions_of(portions[i], 0);
        in_portions_of(portions[i], 1);
        memset(&arena, 0, sizeof arena);
        in_portions_of(portions[i], 0);
    }

    /* what is refused changes nothing, at any point of the picture */
    memset(&arena, 0xA5, sizeof arena);
    CHECK(NAME_begin(&arena) == MACRO_OK);
    for (uint32_t come = 1; come <= HEIGHT; come++) {
        CHECK(push(&arena, 0, come - 1, 1) == MACRO_OK);
        refuses(come);
    }
    finishes(&arena, 0);

    /* no second answer without a second picture */
    CHECK(NAME_finish(&arena, output) == MACRO_ERROR_ROWS);
    in_portions_of(1, 1);

    /* nothing was begun */
    memset(&arena, 0xA5, sizeof arena);
    memset(output, 0x5A, sizeof output);
    before = arena;
    CHECK(push(&arena, 0, 0, 1) == MACRO_ERROR_ROWS);
    CHECK(push(&arena, 0, 0, HEIGHT) == MACRO_ERROR_ROWS);
    CHECK(NAME_finish(&arena, output) == MACRO_ERROR_ROWS);
    CHECK(memcmp(&arena, &before, sizeof arena) == 0);
    CHECK(memcmp(output, untouched, sizeof output) == 0);

    /* begin and invoke drop what has come of a picture */
    for (uint32_t come = 1; come <= HEIGHT; come += (HEIGHT + 2) / 3) {
        CHECK(NAME_begin(&arena) == MACRO_OK);
        CHECK(push(&arena, 1, 0, come) == MACRO_OK);
        CHECK(NAME_begin(&arena) == MACRO_OK);
        in_portions_of(3, 0);
    }
    CHECK(push(&arena, 1, 0, 1) == MACRO_OK);
    CHECK(NAME_invoke(&arena, picture[0], output) == MACRO_OK);
    CHECK(memcmp(output, expected[0], sizeof output) == 0);
    in_portions_of(1, 1);

    /* two pictures at the same time, in an arena each */
    for (uint32_t come = 0; come < HEIGHT; come++) {
        CHECK(push(&arena, 0, come, 1) == MACRO_OK);
        CHECK(push(&other, 1, come, 1) == MACRO_OK);
    }
    finishes(&other, 1);
    finishes(&arena, 0);

    harness_print("all is well");
    if (memcmp(expected[0], expected[1], sizeof expected[0]) == 0) {
        harness_print(", but every picture may have the same answer");
    }
    return 0;
}
"""


def row_program(name: str, dtype: str, output_dtype: str) -> str:
    """The program for the library `name` of a network; it prints `all is well` or fails with what was not."""
    words = {
        "MACRO": name.upper(),
        "NAME": name,
        "INPUT_TYPE": C_TYPES[dtype],
        "OUTPUT_TYPE": C_TYPES[output_dtype],
        "RANDOM": "((float)(random >> 16) / 32768.0f - 1.0f)" if dtype == "float32" else "(random >> 24)",
    }
    return reduce(lambda text, word: text.replace(*word), words.items(), _PROGRAM)
