/*
 * Runs a program over and over and reports how long it takes, in lines of text; docs/measuring.md describes them.
 *
 * A line ends with " *" and four hexadecimal digits: the CRC-16 (polynomial 0x1021, from 0) of what stands before.
 */
#include "measure.h"

#include <stddef.h>

#define VERSION 1u        /* of the report */
#define LEAST_RUNS 3u
#define MOST_RUNS 1000u
#define EMPTY_SECTIONS 32 /* passed to find what a section costs by itself */

static int is_profiling;
static uint64_t began;

void measure_section_begin(int section)
{
    (void)section;
    if (is_profiling) {
        began = measure_clock();
    }
}

void measure_section_end(int section)
{
    if (is_profiling) {
        measured_sections[section].ticks += measure_clock() - began;
        measured_sections[section].passes++;
    }
}

/* Bit by bit: a table would be more of the board's flash than of its time. */
static uint32_t put(char character, uint32_t crc)
{
    measure_put(character);
    crc ^= (uint32_t)(unsigned char)character << 8;
    for (int bit = 0; bit < 8; bit++) {
        crc = (crc & 0x8000u) != 0u ? (crc << 1) ^ 0x1021u : crc << 1;
    }
    return crc & 0xFFFFu;
}

static uint32_t put_text(const char *text, uint32_t crc)
{
    while (*text != '\0') {
        crc = put(*text++, crc);
    }
    return crc;
}

static uint32_t put_number(uint64_t number, uint32_t crc)
{
    char digits[20];
    int count = 0;

    do {
        digits[count++] = (char)('0' + (int)(number % 10u));
        number /= 10u;
    } while (number != 0u);
    while (count > 0) {
        crc = put(digits[--count], crc);
    }
    return crc;
}

static void end_line(uint32_t crc)
{
    measure_put(' ');
    measure_put('*');
    for (int shift = 12; shift >= 0; shift -= 4) {
        measure_put("0123456789abcdef"[crc >> shift & 15u]);
    }
    measure_put('\n');
}

void measure_report(const char *word, const uint64_t *numbers, int count)
{
    uint32_t crc = put_text(word, 0);

    for (int i = 0; i < count; i++) {
        crc = put_number(numbers[i], put(' ', crc));
    }
    end_line(crc);
}

static void report_head(uint32_t hz)
{
    uint32_t crc = put_text(measured_name, put_text("mbgen ", 0));

    crc = put_number(VERSION, put(' ', crc));
    crc = put_number(measured_build, put(' ', crc));
    crc = put_number(hz, put(' ', crc));
    crc = put_number((uint64_t)measured_section_count, put(' ', crc));
    end_line(crc);
}

/* What a section takes that does nothing: the least of some, since an interrupt can only add to one. */
static uint64_t empty_section(void)
{
    uint64_t least = UINT64_MAX;

    for (int i = 0; i < EMPTY_SECTIONS; i++) {
        measured_sections[0].ticks = 0;
        measure_section_begin(0);
        measure_section_end(0);
        least = measured_sections[0].ticks < least ? measured_sections[0].ticks : least;
    }
    return least;
}

/* Reports run by run, so that the reader can take the median of each section. */
static int measure_sections(uint64_t runs)
{
    uint64_t head[] = {runs, 0};

    is_profiling = 1;
    head[1] = empty_section();
    measure_report("profiled", head, 2);
    for (uint64_t run = 0; run < runs; run++) {
        for (int section = 0; section < measured_section_count; section++) {
            measured_sections[section].ticks = 0;
            measured_sections[section].passes = 0;
        }
        if (measured_run(0) != 0) {
            return 1;
        }
        for (int section = 0; section < measured_section_count; section++) {
            const struct measured_section *measured = &measured_sections[section];
            const uint64_t numbers[] = {(uint64_t)section, measured->ticks, measured->passes};

            measure_report("section", numbers, 3);
        }
    }
    is_profiling = 0;
    return 0;
}

/* One report; `hz` is the clock's ticks in a second. */
static void measure_once(uint32_t hz)
{
    const uint64_t budget = (uint64_t)hz * MEASURE_MILLISECONDS / 1000u;
    uint64_t runs = 0;
    uint64_t taken = 0;
    uint64_t start;

    report_head(hz);
    if (measured_check() != 0) { /* which also warms up caches and branch predictors */
        measure_report("wrong", NULL, 0);
        return;
    }
    while (runs < LEAST_RUNS || (runs < MOST_RUNS && taken < budget)) {
        uint64_t numbers[2] = {runs, 0};

        start = measure_clock();
        if (measured_run(0) != 0) {
            measure_report("failed", NULL, 0);
            return;
        }
        numbers[1] = measure_clock() - start;
        measure_report("run", numbers, 2);
        taken += numbers[1];
        runs++;
    }
    start = measure_core_hz();
    measure_report("core", &start, 1);
    if (measured_section_count > 0 && measure_sections(runs / 4u < LEAST_RUNS ? LEAST_RUNS : runs / 4u) != 0) {
        measure_report("failed", NULL, 0);
        return;
    }
    if (measure_load() != 0) {
        measure_report("failed", NULL, 0);
        return;
    }
    measure_report("end", NULL, 0);
}

void measure_main(void)
{
    const uint32_t hz = measure_start_clock();

    measured_setup();
    do {
        measure_once(hz);
    } while (measure_again());
}
