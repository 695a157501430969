/*
 * Measuring time where it is real: what measure.c runs, and what it asks of the machine it runs on.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdint.h>

#ifndef MEASURE_MILLISECONDS
#define MEASURE_MILLISECONDS 1000u /* for which the whole is run, more or less */
#endif

#ifndef MEASURE_INSTANCES
#define MEASURE_INSTANCES 1 /* that may run at a time, each with memory of its own */
#endif

/* --- measure.c --------------------------------------------------------------------------------------------------- */

/* Measures and reports, for ever where the machine's measure_again says so. */
void measure_main(void);

/* The program calls these around a section of its run; sections may come more than once, but not in one another. */
void measure_section_begin(int section);
void measure_section_end(int section);

/* A line of the report: a word and numbers. */
void measure_report(const char *word, const uint64_t *numbers, int count);

/* --- the program that is measured -------------------------------------------------------------------------------- */

extern const char measured_name[];      /* without a space */
extern const uint32_t measured_build;   /* which version of it this is */
extern const int measured_section_count; /* sections are numbered from 0 */

/* Where measure.c adds up what each section takes: measured_section_count of them. */
struct measured_section {
    uint64_t ticks;
    uint64_t passes;
};
extern struct measured_section measured_sections[];

/* Called once, before the first run. */
void measured_setup(void);

/* Returns 0 if runs compute what they should. */
int measured_check(void);

/* One run; instances run at the same time. Returns 0 if it went well. */
int measured_run(int instance);

/* --- the machine ------------------------------------------------------------------------------------------------- */

/* Starts the clock; returns its ticks in a second, or 0 where a tick is a cycle of the core and its clock is unknown. */
uint32_t measure_start_clock(void);

/* The time in ticks. */
uint64_t measure_clock(void);

/* How many cycles the core makes in a second at this moment; 0 where only ticks are known. */
uint64_t measure_core_hz(void);

/* Prints one character of the report. */
void measure_put(char character);

/* Whether to measure and report once more: a board goes on as long as it has power, a program ends. */
int measure_again(void);

/* Reports what MEASURE_INSTANCES take that run at the same time, on a machine that can; returns 0 if all went well. */
int measure_load(void);

#endif
