"""Lowered TIR to the C text of a function body.

Prints flat loops over one-dimensional buffers, vector accesses and register tiles, as `mbgen.lowering.tir.lower` leaves
them. Knows TIR nodes and C; may not know layers, schedules or numerics: an operation without a C spelling of its own is
a helper of `mbgen.intrinsics`, called by its name.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import tvm_ffi
from tvm import ir, sym, tirx

from mbgen.intrinsics import HELPERS, find
from mbgen.kernel import VectorType

LINE = 112
NAMED = 3  # numbers in a call from which on a reader needs to be told what they are
_BREAK = re.compile(r" (?![-+*/%&|<>=?:!]+ )")  # a line ends with an operator and does not begin with one
ABBREVIATIONS = {
    "float32": "f32",
    "int8": "i8",
    "uint8": "u8",
    "int16": "i16",
    "uint16": "u16",
    "int32": "i32",
    "int64": "i64",
}
C_TYPES = {"float32": "float", **{name: f"{name}_t" for name in ABBREVIATIONS if name != "float32"}}

# C's precedence levels, the ones that occur
PRIMARY, UNARY, MULTIPLY, ADD, SHIFT, COMPARE, EQUAL, BITAND, LOGIC_AND, LOGIC_OR, TERNARY = range(11, 0, -1)


class Text(NamedTuple):
    """An expression's C text and how tightly its outermost operator binds."""

    text: str
    level: int


@dataclass(frozen=True)
class Printed:
    """A function body and what it needs around it."""

    body: str
    vectors: frozenset[VectorType]
    helpers: frozenset[str]


class OuterLoop(NamedTuple):
    """A loop that stands in no other: the number of its first line, and the buffers that it uses."""

    line: int
    buffers: frozenset[str]


class PrinterError(Exception):
    """TIR that mbgen's own lowering should never have produced."""


def print_body(
    function: tirx.PrimFunc, prefix: str, instruction_set: Iterable[str], *, parallel: bool = False
) -> Printed:
    """C statements of a lowered PrimFunc, indented once; `prefix` is the library's name.

    Parameters keep the names of the PrimFunc's buffers. `parallel`: threads may share the outermost loops, whose turns
    do not depend on each other; each has its own of the local buffers that one such loop uses alone.
    """
    printer = _Printer(prefix, tuple(instruction_set))
    printer.statement(function.body)
    if parallel:
        printer.share_outer_loops()
    return Printed("\n".join(printer.lines) + "\n", frozenset(printer.vectors), frozenset(printer.helpers))


def _dtype(node: Any) -> tuple[str, int]:
    """Element type and lanes of an expression."""
    element, _, lanes = str(node.ty).partition("x")
    return element, int(lanes or 1)


@dataclass
class _Printer:
    prefix: str
    instruction_set: tuple[str, ...]
    lines: list[str] = field(default_factory=list)
    vectors: set[VectorType] = field(default_factory=set)
    helpers: set[str] = field(default_factory=set)
    local: set[str] = field(default_factory=set)  # buffers of the function's own
    used: set[str] = field(default_factory=set)  # of these, what the outermost loop that is being printed uses
    outer: list[OuterLoop] = field(default_factory=list)
    depth: int = 1
    analyzer: Any = field(default_factory=sym.Analyzer)

    def share_outer_loops(self) -> None:
        """Mark the outermost loops for threads; the macro is the library's."""
        for loop in reversed(self.outer):
            others = frozenset().union(*(one.buffers for one in self.outer if one is not loop))
            own = sorted(loop.buffers - others)
            clause = f"private({', '.join(own)})" if own else ""
            self.lines.insert(loop.line, f"    {self.prefix.upper()}_PARALLEL({clause})")

    # --- statements ------------------------------------------------------------------------------------------------

    def line(self, text: str) -> None:
        self.lines += wrap(text, self.depth)

    def block(self, opening: str, body: Any) -> None:
        self.line(opening)
        self.depth += 1
        self.statement(body)
        self.depth -= 1

    @functools.singledispatchmethod
    def statement(self, node: Any) -> None:
        raise PrinterError(f"no C for the statement {type(node).__name__}")

    @statement.register
    def _(self, node: tirx.SeqStmt) -> None:
        items = [item for item in node.seq if not isinstance(item, tirx.DeclBuffer)]
        for item, following in itertools.zip_longest(items, items[1:]):
            self.statement(item)
            if isinstance(item, tirx.AllocBuffer) and not isinstance(following, tirx.AllocBuffer):
                self.lines.append("")

    @statement.register
    def _(self, node: tirx.DeclBuffer) -> None:
        """A flat view of a parameter, whose own name serves."""

    @statement.register
    def _(self, node: tirx.AllocBuffer) -> None:
        buffer = node.buffer
        element, lanes = _element(buffer)
        count = math.prod(int(extent) for extent in buffer.shape)
        self.local.add(buffer.name)
        self.line(f"{self.c_type(element, lanes)} {buffer.name}[{count}];")

    @statement.register
    def _(self, node: tirx.For) -> None:
        if node.kind not in (tirx.ForKind.SERIAL, tirx.ForKind.UNROLLED):
            raise PrinterError(f"no C for a loop of kind {node.kind}")
        self.analyzer.bind(node.loop_var, ir.Range.from_min_extent(node.min, node.extent))
        name = node.loop_var.name
        start, end = self.expression(node.min).text, self.expression(node.min + node.extent).text
        first, self.used = len(self.lines), set() if self.depth == 1 else self.used
        self.block(f"for (int32_t {name} = {start}; {name} < {end}; {name}++) {{", node.body)
        self.line("}")
        if self.depth == 1:
            self.outer.append(OuterLoop(first, frozenset(self.used & self.local)))

    @statement.register
    def _(self, node: tirx.IfThenElse) -> None:
        self.block(f"if ({self.expression(node.condition).text}) {{", node.then_case)
        if node.else_case is not None:
            self.block("} else {", node.else_case)
        self.line("}")

    @statement.register
    def _(self, node: tirx.Bind) -> None:
        element, lanes = _dtype(node.var)
        self.line(f"const {self.c_type(element, lanes)} {node.var.name} = {self.expression(node.value).text};")

    @statement.register
    def _(self, node: tirx.Evaluate) -> None:
        name = str(node.value.op.name) if isinstance(node.value, ir.Call) else ""
        if not name.startswith("mbgen."):
            raise PrinterError(f"no C for the statement Evaluate of {node.value}")
        self.line(f"{self.procedure(name.removeprefix('mbgen.'), node.value.args)};")

    @statement.register
    def _(self, node: tirx.BufferStore) -> None:
        (index,) = node.indices
        value = node.value
        self.used.add(node.buffer.name)
        if isinstance(index, tirx.Ramp):
            self.line(f"{self.vector_store(node.buffer, index, value)};")
            return
        place = f"{node.buffer.name}[{self.expression(index).text}]"
        if isinstance(value, tirx.Add) and _same_place(value.a, node):
            self.line(f"{place} += {self.expression(value.b).text};")
        else:
            self.line(f"{place} = {self.expression(value).text};")

    def vector_store(self, buffer: Any, index: Any, value: Any) -> str:
        element, lanes = _dtype(value)
        address = self.address(buffer, index)
        if isinstance(value, tirx.Cast) and _dtype(value.value)[0] == "int32" and element in ("int8", "uint8"):
            name = self.helper(f"narrow_{ABBREVIATIONS[element]}", lanes)
            return f"{name}({address}, {self.expression(value.value).text})"
        self.c_type(element, lanes)
        kind = f"{ABBREVIATIONS[element]}x{lanes}"
        return f"{self.prefix.upper()}_STORE({self.prefix}_{kind}, {address}, {self.expression(value).text})"

    # --- expressions -----------------------------------------------------------------------------------------------

    def c_type(self, element: str, lanes: int) -> str:
        if element not in C_TYPES:
            raise PrinterError(f"no C for the type {element}")
        if lanes == 1:
            return C_TYPES[element]
        self.vectors.add(VectorType(element, lanes))
        return f"{self.prefix}_{ABBREVIATIONS[element]}x{lanes}"

    def helper(self, name: str, lanes: int) -> str:
        name = name if lanes == 1 else f"{name}x{lanes}"
        self.helpers.add(self.found(name))
        return f"{self.prefix}_{name}"

    def found(self, name: str) -> str:
        """The key of a helper, which may exist for this instruction set only."""
        key = find(name, self.instruction_set)
        if key not in HELPERS:
            raise PrinterError(f"no helper is called {name}")
        return key

    def address(self, buffer: Any, index: Any, stride: int = 1) -> str:
        self.used.add(buffer.name)
        if not isinstance(index, tirx.Ramp):
            return f"&{buffer.name}[{self.expression(index).text}]"
        if int(index.stride) != stride:
            raise PrinterError(f"no C for a vector access of stride {index.stride} on {buffer.name}")
        return f"&{buffer.name}[{self.expression(index.base).text}]"

    def operand(self, node: Any, level: int) -> str:
        """The text of a node, in parentheses where it binds less tightly than `level`."""
        text, own = self.expression(node)
        return text if own >= level else f"({text})"

    def infix(self, node: Any, operator: str, level: int) -> Text:
        left, right = _scalars(node.a, node.b)
        return Text(f"{self.operand(left, level)} {operator} {self.operand(right, level + 1)}", level)

    def helper_call(self, name: str, lanes: int, arguments: Any) -> Text:
        called = self.helper(name, lanes)
        helper = HELPERS[self.found(name if lanes == 1 else f"{name}x{lanes}")]

        def passed(place: int, argument: Any) -> str:
            if place in helper.strides:
                return self.address(argument.source, argument.indices[0], helper.strides[place])
            return self.expression(argument.value if place in helper.uniform else argument).text

        return Text(f"{called}({', '.join(passed(place, one) for place, one in enumerate(arguments))})", PRIMARY)

    def procedure(self, name: str, arguments: Any) -> str:
        """A call of a helper that gives no value; where it takes many numbers, each is named."""
        helper = HELPERS[self.found(name)]
        numbers = [isinstance(argument, tirx.IntImm) for argument in arguments]
        named = sum(numbers) >= NAMED and len(helper.parameters) == len(numbers)
        passed = [
            f"/*{parameter}=*/{text}" if named and number else text
            for parameter, number, text in zip(
                helper.parameters if named else numbers,
                numbers,
                (self.expression(argument).text for argument in arguments),
                strict=True,
            )
        ]
        return f"{self.helper(name, 1)}({', '.join(passed)})"

    def call(self, name: str, *arguments: Any) -> Text:
        return Text(f"{name}({', '.join(self.expression(argument).text for argument in arguments)})", PRIMARY)

    @functools.singledispatchmethod
    def expression(self, node: Any) -> Text:
        raise PrinterError(f"no C for the expression {type(node).__name__}: {node}")

    @expression.register
    def _(self, node: ir.Var) -> Text:
        return Text(node.name, PRIMARY)

    @expression.register
    def _(self, node: tirx.IntImm) -> Text:
        value = int(node.value)
        if _dtype(node)[0] == "int64":
            return Text(f"(int64_t){value}", UNARY) if value >= 0 else Text(f"-(int64_t){-value}", UNARY)
        return Text(str(value), PRIMARY if value >= 0 else UNARY)

    @expression.register
    def _(self, node: tirx.FloatImm) -> Text:
        return Text(float_literal(float(node.value)), PRIMARY if node.value >= 0 else UNARY)

    @expression.register
    def _(self, node: tirx.Add) -> Text:
        left, right = _scalars(node.a, node.b)
        if isinstance(right, tirx.IntImm) and right.value < 0:
            return Text(f"{self.operand(left, ADD)} - {-right.value}", ADD)
        return self.infix(node, "+", ADD)

    @expression.register
    def _(self, node: tirx.Sub) -> Text:
        return self.infix(node, "-", ADD)

    @expression.register
    def _(self, node: tirx.Mul) -> Text:
        return self.infix(node, "*", MULTIPLY)

    @expression.register
    def _(self, node: tirx.Div) -> Text:
        return self.infix(node, "/", MULTIPLY)

    @expression.register
    def _(self, node: tirx.FloorDiv) -> Text:
        if self.analyzer.can_prove(node.a >= 0):
            return self.infix(node, "/", MULTIPLY)
        return Text(f"{self.operand(node.a, UNARY)} >> {_log2(node.b)}", SHIFT)

    @expression.register
    def _(self, node: tirx.FloorMod) -> Text:
        if self.analyzer.can_prove(node.a >= 0):
            return self.infix(node, "%", MULTIPLY)
        return Text(f"({self.operand(node.a, UNARY)} & {(1 << _log2(node.b)) - 1})", PRIMARY)

    @expression.register
    def _(self, node: tirx.LShift) -> Text:
        # compilers warn of operators in a shift without parentheses
        return Text(f"{self.operand(node.a, UNARY)} << {self.operand(node.b, UNARY)}", SHIFT)

    @expression.register
    def _(self, node: tirx.LT) -> Text:
        return self.infix(node, "<", COMPARE)

    @expression.register
    def _(self, node: tirx.LE) -> Text:
        return self.infix(node, "<=", COMPARE)

    @expression.register
    def _(self, node: tirx.GT) -> Text:
        return self.infix(node, ">", COMPARE)

    @expression.register
    def _(self, node: tirx.GE) -> Text:
        return self.infix(node, ">=", COMPARE)

    @expression.register
    def _(self, node: tirx.EQ) -> Text:
        return self.infix(node, "==", EQUAL)

    @expression.register
    def _(self, node: tirx.NE) -> Text:
        return self.infix(node, "!=", EQUAL)

    @expression.register
    def _(self, node: tirx.And) -> Text:
        return self.infix(node, "&&", LOGIC_AND)

    @expression.register
    def _(self, node: tirx.Or) -> Text:
        both = " || ".join(
            self.operand(side, LOGIC_AND + 1) for side in (node.a, node.b)
        )  # gcc warns of a bare && here
        return Text(both, LOGIC_OR)

    @expression.register
    def _(self, node: tirx.Not) -> Text:
        return Text(f"!{self.operand(node.a, PRIMARY)}", UNARY)

    @expression.register
    def _(self, node: tirx.Min) -> Text:
        return self.extremum("min", node)

    @expression.register
    def _(self, node: tirx.Max) -> Text:
        return self.extremum("max", node)

    def extremum(self, name: str, node: Any) -> Text:
        element, lanes = _dtype(node)
        return self.call(self.helper(f"{name}_{ABBREVIATIONS[element]}", lanes), node.a, node.b)

    @expression.register
    def _(self, node: tirx.Select) -> Text:
        return self.ternary(node.condition, node.true_value, node.false_value)

    def ternary(self, condition: Any, yes: Any, no: Any) -> Text:
        if _dtype(yes)[1] > 1:
            raise PrinterError("no C for a choice between vectors")
        parts = (self.operand(condition, LOGIC_OR), self.operand(yes, LOGIC_OR), self.operand(no, TERNARY))
        return Text("{} ? {} : {}".format(*parts), TERNARY)

    @expression.register
    def _(self, node: tirx.Cast) -> Text:
        element, lanes = _dtype(node)
        if lanes == 1:
            return Text(f"({self.c_type(element, 1)}){self.operand(node.value, UNARY)}", UNARY)
        source, _ = _dtype(node.value)
        if element == "int32" and source in ("int8", "uint8") and isinstance(node.value, ir.TensorLoad):
            (index,) = node.value.indices
            name = self.helper(f"widen_{ABBREVIATIONS[source]}", lanes)
            self.c_type(element, lanes)
            return Text(f"{name}({self.address(node.value.source, index)})", PRIMARY)
        raise PrinterError(f"no C for a vector cast from {source} to {element}x{lanes}")

    @expression.register
    def _(self, node: tirx.Broadcast) -> Text:
        element, lanes = _dtype(node)
        self.c_type(element, lanes)
        return self.call(self.helper(f"splat_{ABBREVIATIONS[element]}", lanes), node.value)

    @expression.register
    def _(self, node: ir.TensorLoad) -> Text:
        (index,) = node.indices
        self.used.add(node.source.name)
        if not isinstance(index, tirx.Ramp):
            return Text(f"{node.source.name}[{self.expression(index).text}]", PRIMARY)
        element, lanes = _dtype(node)
        vector = self.c_type(element, lanes)
        return Text(f"{self.prefix.upper()}_LOAD({vector}, {self.address(node.source, index)})", PRIMARY)

    @expression.register
    def _(self, node: ir.Call) -> Text:
        name = str(node.op.name)
        if name.startswith("mbgen."):
            return self.helper_call(name.removeprefix("mbgen."), _dtype(node)[1], node.args)
        if name == "tirx.address_of":
            (element,) = node.args
            first = isinstance(element.indices[0], tirx.IntImm) and element.indices[0].value == 0
            text = self.expression(element).text
            return Text(element.source.name, PRIMARY) if first else Text(f"&{text}", UNARY)
        if name == "tirx.buffer_data":
            return Text(node.args[0].name, PRIMARY)
        if name == "prim.if_then_else":
            return self.ternary(*node.args)
        if name == "tirx.exp":
            if _dtype(node)[1] > 1:
                raise PrinterError("no C for the exponential of a vector")
            self.helpers.add("expf")
            return self.call("expf", *node.args)
        raise PrinterError(f"no C for a call of {name}")


def wrap(text: str, depth: int) -> list[str]:
    """A statement in lines of at most LINE characters where it can be, broken at the outermost space that serves."""
    lines, indent = [], "    " * depth
    while len(indent) + len(text) > LINE:
        spaces = [match.start() for match in _BREAK.finditer(text)]
        if not spaces:
            break
        fitting = [place for place in spaces if len(indent) + place <= LINE] or spaces[:1]
        place = min(fitting, key=lambda place: (_nesting(text[:place]), -place))
        lines.append(indent + text[:place])
        text, indent = text[place + 1 :], "    " * (depth + 1)
    return [*lines, indent + text]


def _nesting(text: str) -> int:
    return sum(text.count(opening) for opening in "([") - sum(text.count(closing) for closing in ")]")


def _element(buffer: Any) -> tuple[str, int]:
    element, _, lanes = str(buffer.dtype).partition("x")
    return element, int(lanes or 1)


def _same_place(node: Any, store: Any) -> bool:
    return (
        isinstance(node, ir.TensorLoad)
        and node.source.same_as(store.buffer)
        and tvm_ffi.structural_equal(node.indices[0], store.indices[0])
    )


def _scalars(left: Any, right: Any) -> tuple[Any, Any]:
    """Operands of an operator: a broadcast beside a vector stays a scalar, which C spreads over the lanes itself."""
    if isinstance(left, tirx.Broadcast) and not isinstance(right, tirx.Broadcast):
        return left.value, right
    if isinstance(right, tirx.Broadcast) and not isinstance(left, tirx.Broadcast):
        return left, right.value
    return left, right


def _log2(node: Any) -> int:
    value = int(node.value)
    if value & (value - 1):
        raise PrinterError(f"cannot prove the dividend non-negative in a division by {value}")
    return value.bit_length() - 1


def float_literal(value: float) -> str:
    """The shortest decimal that reads back as the same float32, with C's suffix."""
    if math.isinf(value) or math.isnan(value):
        raise PrinterError(f"no C literal for {value}")
    text = str(np.float32(value))
    return f"{text if any(mark in text for mark in '.e') else text + '.0'}F"
