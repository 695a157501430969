"""Short forms for writing compute definitions with TVM's IRBuilder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from mbgen.lowering.tir import helper_statement

__all__ = [
    "Loop",
    "T",
    "build",
    "conditions",
    "constant",
    "grid",
    "local",
    "loop",
    "loop_between",
    "parameter",
    "run",
    "scalar",
    "when",
    "widened",
]


def build(body: Callable[[], None]) -> tirx.PrimFunc:
    """The PrimFunc that `body` writes: parameters first, then blocks."""
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        body()
    return builder.get()


def parameter(name: str, shape: tuple[int, ...], dtype: str) -> Any:
    """A buffer parameter of the function being built."""
    return T.arg(name, T.buffer(shape, dtype))


def scalar(name: str) -> Any:
    """An int32 parameter of the function being built."""
    return T.arg(name, T.int32())


def local(name: str, shape: tuple[int, ...], dtype: str) -> Any:
    """An intermediate buffer, which a schedule may shrink to a register tile."""
    buffer = T.sblock_alloc_buffer(shape, dtype, scope="local")
    IRBuilder.name(name, buffer)
    return buffer


@dataclass(frozen=True)
class Loop:
    """A loop that is open."""

    name: str
    extent: int
    variable: Any


@contextmanager
def loop(name: str, extent: int) -> Iterator[Loop]:
    """A loop around several blocks, whose first axis it is."""
    with T.serial(0, extent) as variable:
        IRBuilder.name(name, variable)
        yield Loop(name, extent, variable)


@contextmanager
def loop_between(name: str, begin: Any, end: Any) -> Iterator[Any]:
    """A loop inside a block, whose bounds only a call of the function knows; gives its variable."""
    with T.serial(begin, end) as variable:
        IRBuilder.name(name, variable)
        yield variable


@contextmanager
def grid(
    block: str, spatial: dict[str, int], reduce: dict[str, int] | None = None, outer: Loop | tuple[Loop, ...] = ()
) -> Iterator[tuple[Any, ...]]:
    """Loops over the named extents around one block; gives the block's axes, that of `outer` and spatial ones first."""
    extents = {**spatial, **(reduce or {})}
    with ExitStack() as stack:
        opened = [outer] if isinstance(outer, Loop) else [*outer]
        for name, extent in extents.items():
            opened.append(stack.enter_context(loop(name, extent)))
        stack.enter_context(T.sblock(block))
        axes = []
        for one in opened:
            kind = T.axis.reduce if reduce and one.name in reduce else T.axis.spatial
            axis = kind(one.extent, one.variable)
            IRBuilder.name(f"v_{one.name}", axis)
            axes.append(axis)
        yield tuple(axes)


def conditions(*cases: tuple[bool, Any]) -> Any | None:
    """All conditions that are needed, as one; None if none is."""
    needed = [condition for wanted, condition in cases if wanted]
    return tirx.all(*needed) if needed else None


@contextmanager
def when(condition: Any | None) -> Iterator[None]:
    """A statement under a condition, or bare where there is none."""
    if condition is None:
        yield
        return
    with T.If(condition), T.Then():
        yield


def run(name: str, *arguments: Any) -> None:
    """A statement that calls the helper `name`, which reads and writes memory; Python's integers are int32."""
    T.evaluate(helper_statement(name, *(constant(a, "int32") if isinstance(a, int) else a for a in arguments)))


def constant(value: float, dtype: str) -> Any:
    """A literal of the given type."""
    return tirx.const(value, dtype)


def widened(value: Any, dtype: str, zero_point: int) -> Any:
    """A stored value as a term of a sum: int32 less its zero point, or the float itself."""
    if dtype == "float32":
        return value
    wide = value.astype("int32")
    return wide - constant(zero_point, "int32") if zero_point else wide
