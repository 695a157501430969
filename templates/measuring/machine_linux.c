/* measure.h on Linux: nanoseconds, standard output, and a thread for each instance. */
#define _POSIX_C_SOURCE 200809L

#include "measure.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#define TICKS_IN_SECOND 1000000000u
#define LOAD_SECONDS 1u

uint32_t measure_start_clock(void)
{
    return TICKS_IN_SECOND;
}

uint64_t measure_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * TICKS_IN_SECOND + (uint64_t)now.tv_nsec;
}

/* A chain of exclusive ors: each waits for the one before it and takes a cycle, on every core that runs Linux. */
#define CHAIN 100u
#define ROUNDS 1000u
#define ATTEMPTS 20 /* of which the fastest counts: an interrupt can only slow one down */
#if defined(__x86_64__)
#define EXCLUSIVE_OR "xorq %1, %0\n\t"
#elif defined(__aarch64__)
#define EXCLUSIVE_OR "eor %0, %0, %1\n\t"
#endif

uint64_t measure_core_hz(void)
{
#ifdef EXCLUSIVE_OR
    uint64_t value = 1, other = 3, least = UINT64_MAX;

    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        const uint64_t start = measure_clock();
        uint64_t ticks;

        for (uint32_t round = 0; round < ROUNDS; round++) {
            __asm__ volatile(".rept 100\n\t" EXCLUSIVE_OR ".endr" : "+r"(value) : "r"(other));
        }
        ticks = measure_clock() - start;
        least = ticks < least ? ticks : least;
    }
    return (uint64_t)TICKS_IN_SECOND * CHAIN * ROUNDS / least;
#else
    return 0;
#endif
}

void measure_put(char character)
{
    putchar(character);
}

int measure_again(void)
{
    return 0;
}

#if MEASURE_INSTANCES > 1
static pthread_barrier_t all_ready;

static struct instance {
    pthread_t thread;
    int number;
    int failed;
    uint64_t runs;
    uint64_t busy;    /* ticks of all its runs */
    uint64_t started; /* when its first run did */
    uint64_t ended;   /* when its last run did */
} instances[MEASURE_INSTANCES];

static void *run_instance(void *argument)
{
    struct instance *instance = argument;

    instance->failed = measured_run(instance->number);
    pthread_barrier_wait(&all_ready);
    instance->started = instance->ended = measure_clock();
    while (instance->ended - instance->started < (uint64_t)LOAD_SECONDS * TICKS_IN_SECOND && !instance->failed) {
        const uint64_t began = instance->ended;

        instance->failed = measured_run(instance->number);
        instance->ended = measure_clock();
        instance->busy += instance->ended - began;
        instance->runs++;
    }
    return NULL;
}

int measure_load(void)
{
    uint64_t numbers[] = {MEASURE_INSTANCES, 0, 0, 0};
    uint64_t start = UINT64_MAX, end = 0;
    int failed = 0;

    pthread_barrier_init(&all_ready, NULL, MEASURE_INSTANCES + 1);
    for (int i = 0; i < MEASURE_INSTANCES; i++) {
        instances[i].number = i;
        if (pthread_create(&instances[i].thread, NULL, run_instance, &instances[i]) != 0) {
            return 1;
        }
    }
    pthread_barrier_wait(&all_ready);
    for (int i = 0; i < MEASURE_INSTANCES; i++) {
        pthread_join(instances[i].thread, NULL);
        failed |= instances[i].failed;
        numbers[1] += instances[i].runs;
        numbers[3] += instances[i].busy;
        start = instances[i].started < start ? instances[i].started : start;
        end = instances[i].ended > end ? instances[i].ended : end;
    }
    numbers[2] = end - start;
    measure_report("load", numbers, 4);
    return failed;
}
#else
int measure_load(void)
{
    return 0;
}
#endif

int main(void)
{
    measure_main();
    return 0;
}
