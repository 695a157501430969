/*
 * Marks for the counting plugin: MEASURE_MARK(n) notes that segment n starts where it stands. It adds no instruction
 * to the program, and no byte to what is loaded: linkers keep a section of this name, as what debuggers read.
 */
#ifndef MEASURE_MARKS_H
#define MEASURE_MARKS_H

#if defined(__LP64__)
#define MEASURE_ADDRESS ".8byte"
#else
#define MEASURE_ADDRESS ".4byte"
#endif

#define MEASURE_MARK(segment)                                                                                          \
    __asm__ volatile("0:\n\t"                                                                                          \
                     ".pushsection .debug_measure_marks,\"\"\n\t" MEASURE_ADDRESS " 0b\n\t"                                   \
                     ".4byte %c0\n\t"                                                                                  \
                     ".popsection"                                                                                     \
                     :                                                                                                 \
                     : "i"(segment)                                                                                    \
                     : "memory")

#endif
