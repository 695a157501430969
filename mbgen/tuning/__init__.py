"""`mbgen tune`: MetaSchedule's search over the kernels' spaces, with a C compiler and a runner in the loop."""
