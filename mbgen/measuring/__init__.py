"""Measures programs and libraries: exact instructions and modelled cycles in QEMU, seconds where they are real.

Knows programs, cores and cost models. May not know graphs, schedules or TVM.
"""
