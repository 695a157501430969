"""From kernels, plan and constants to the files of a C library."""
