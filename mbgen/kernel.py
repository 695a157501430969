"""What lowering hands to the library writer: kernels as C text, the calls that run the network, and their constants.

Knows C spellings and layer names. May not know TVM, templates or the arena.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mbgen.graph import Array
from mbgen.schedules.records import Record


@dataclass(frozen=True, order=True)
class VectorType:
    """A SIMD vector of `lanes` elements of one type (`element` as NumPy spells it, int16 and int64 included)."""

    element: str
    lanes: int


@dataclass(frozen=True)
class Parameter:
    """One pointer parameter of a kernel."""

    name: str  # "input", "weights", "bias", "output" ...
    element: str  # element type as NumPy spells it
    elements: int  # how many elements the kernel may touch
    const: bool  # read only


@dataclass(frozen=True)
class Scalar:
    """One int32 parameter of a kernel."""

    name: str


@dataclass(frozen=True)
class Kernel:
    """One C function, printed from lowered TIR; layers of the same form share it."""

    symbol: str  # whole C identifier, library prefix included: NAME_layer_op
    family: str  # "conv2d", "depthwise", "pointwise", "dense", "average_pool", "add", ...
    summary: tuple[str, ...]  # comment lines: shapes and the schedule in words
    parameters: tuple[Parameter | Scalar, ...]
    body: str  # statements, indented by four spaces, newline at the end
    vectors: frozenset[VectorType]  # vector types the body uses
    helpers: frozenset[str]  # names in mbgen.intrinsics.HELPERS that the body calls
    schedule: str  # the schedule in one line, e.g. "gemm mr=4 nr=8 k=1"
    schedule_source: str  # "default", or where the record came from


@dataclass(frozen=True, eq=False)
class Constant:
    """One array of the weights file, packed as its kernel reads it."""

    symbol: str  # whole C identifier, library prefix included
    data: Array = field(repr=False)  # one-dimensional
    dtype: str  # element type as NumPy spells it, int64 included
    layer: str
    summary: str  # comment: role, logical shape and packing

    @property
    def nbytes(self) -> int:
        return int(self.data.nbytes)


@dataclass(frozen=True)
class ActivationArgument:
    """The place of a tensor, or of the row of it that a row-by-row layer is at; the plan decides."""

    tensor: str


@dataclass(frozen=True)
class WindowArgument:
    """What a window layer is told of its input rows, named after the kernel's parameter.

    `input`: the memory that all rows lie in; `rows`: where in it each row of the window starts, counted in elements;
    `kh_begin` and `kh_end`: the rows of the window that are not padding.
    """

    part: Literal["input", "rows", "kh_begin", "kh_end"]


@dataclass(frozen=True)
class ConstantArgument:
    """A constant's address."""

    symbol: str


Argument = ActivationArgument | ConstantArgument | WindowArgument


@dataclass(frozen=True)
class Call:
    """Layer `layer` runs kernel `kernel` with `arguments`, in the order of the kernel's parameters."""

    layer: str
    kernel: str
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, eq=False)
class LoweredNetwork:
    """All kernels, in the order of first use; the calls in running order; the constants. Reshapes have no call.

    `packing` is the kernel that packs a row of the image for the first layer, where the plan has bands.
    """

    kernels: tuple[Kernel, ...]
    calls: tuple[Call, ...]
    constants: tuple[Constant, ...]
    packing: Kernel | None = None

    @property
    def constant_bytes(self) -> int:
        return sum(constant.nbytes for constant in self.constants)


@dataclass(frozen=True, eq=False)
class Tuned:
    """A kernel whose schedule came from a record; `default` is the kernel without it, where it is kept to compare."""

    kernel: str  # symbol
    record: Record
    default: Kernel | None = field(default=None, repr=False)
