"""Every error that mbgen raises on purpose.

A message says what is wrong, where, why, and what to do; the class says which exit code the command line gives it.
Nothing here may know any other module.
"""

from __future__ import annotations


class MbgenError(Exception):
    """Base of all errors with a message for the user; any other exception is a defect in mbgen."""

    exit_code = 2


class InputError(MbgenError):
    """The model, the weights, the data or the command line is wrong (exit code 2)."""


class UnsupportedError(InputError):
    """The input is sound but uses something that mbgen does not compile (exit code 2)."""


class GraphError(InputError):
    """A graph whose shapes, types or wiring contradict each other (exit code 2)."""


class RefusedError(MbgenError):
    """The question was understood and the answer is no: does not fit, does not agree (exit code 1)."""

    exit_code = 1


class TimeoutRefusedError(RefusedError):
    """A program did not end in the time that it was given (exit code 1)."""


class NotFlashedError(RefusedError):
    """A board does not run the program that it was to be given (exit code 1)."""


class MissingToolError(MbgenError):
    """A compiler, an emulator or an optional package that this command needs is not installed (exit code 3)."""

    exit_code = 3
