"""Which kernel serves a layer on which cores: a module for each instruction set that has kernels of its own.

Each offers `prepare_gemm`, `prepare_conv`, `prepare_depthwise` or `prepare_pool`, which give the layer's form, schedule
and constants, or None where their kernels cannot compute it; `portable` serves whatever the others leave.
"""
