"""Schedules of the kernel families: small frozen values, and the function that applies each to a TIR schedule."""
