"""A network whose parts contradict each other is a defect in mbgen, found before any C is written."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from mbgen.errors import InputError
from mbgen.kernel import ActivationArgument, Argument, ConstantArgument, Parameter, WindowArgument
from mbgen.library import Network
from mbgen.library.network import Place
from tests.support.tiny_network import make_network


def relowered(network: Network, **changes: Any) -> Any:
    return {"lowered": dataclasses.replace(network.lowered, **changes)}


def replanned(network: Network, **changes: Any) -> Any:
    return {"plan": dataclasses.replace(network.plan, **changes)}


def first_kernel(network: Network, **changes: Any) -> Any:
    first, *others = network.lowered.kernels
    return relowered(network, kernels=(dataclasses.replace(first, **changes), *others))


def first_constant(network: Network, **changes: Any) -> Any:
    first, *others = network.lowered.constants
    return relowered(network, constants=(dataclasses.replace(first, **changes), *others))


def first_call(network: Network, index: int, argument: Argument) -> Any:
    first, *others = network.lowered.calls
    arguments = list(first.arguments)
    arguments[index] = argument
    return relowered(network, calls=(dataclasses.replace(first, arguments=tuple(arguments)), *others))


def test_places() -> None:
    network = make_network()
    assert network.place("input") == Place("arena", 0)
    assert network.place("pointwise_1") == Place("arena", 128)
    assert network.place("pool_1") == network.place("reshape_1") == Place("output")


def test_places_of_rows() -> None:
    network = make_network(form="rows")
    first, second, third = network.plan.stages
    assert (first.row, second.row) != (None, None)
    assert network.place("input") == Place("row", first.row or 0)
    assert network.place("conv_1") == Place("row", second.row or 0)
    assert [network.place(name) for name in second.layers] == [Place("row", offset) for offset in second.outputs]
    assert network.place("depthwise_2") == Place("row", third.outputs[0])
    assert network.place("pointwise_2") == Place("arena", third.outputs[1])
    assert network.place("reshape_1") == Place("output")


def test_places_of_rows_that_come_into_rings() -> None:
    network = make_network(form="direct")
    first, second, third, _ = network.plan.stages
    assert network.place("input") == Place("row", first.ring, 3)
    assert network.place("conv_1") == Place("row", second.ring, 3)
    assert network.place("depthwise_1") == Place("row", second.outputs[0])
    assert network.place("pointwise_1") == Place("row", third.ring, 3)
    assert network.place("depthwise_3") == Place("arena", network.plan.stages[-1].outputs[0])


def test_the_arena_is_a_whole_number_of_alignments() -> None:
    network = make_network(target="cortex-m4")
    assert network.target.alignment == 8
    for planned, expected in ((256, 256), (257, 264), (263, 264)):
        changed = dataclasses.replace(network, **replanned(network, arena_bytes=planned))
        assert changed.arena_bytes == expected


def test_options_are_sorted() -> None:
    assert list(make_network(options={"b": 1, "a": None}).options) == ["a", "b"]


def test_the_name_is_checked() -> None:
    with pytest.raises(InputError, match="'int' cannot be the library's name"):
        make_network(name="int")


def check(network: Network, changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        dataclasses.replace(network, **changes)
    assert str(caught.value) == message


def test_the_self_test_fits() -> None:
    network = make_network()
    check(
        network,
        {"test_input": network.test_input.astype(np.uint8)},
        "the self-test's input is uint8[1, 4, 4, 3], the network's is int8[1, 4, 4, 3]",
    )
    check(
        network,
        {"test_output": network.test_output[:, :3]},
        "the self-test's output is int8[1, 3], the network's is int8[1, 8]",
    )
    real = make_network("float32")
    for value in (np.nan, np.inf):
        output = np.full_like(real.test_output, value)
        check(real, {"test_output": output}, "the self-test's output holds a value that is not finite")


def test_symbols_are_sound() -> None:
    network = make_network()
    for symbol in ("pointwise_1", "tiny_", "tiny_a-b", "tiny_invoke", "tiny_push_rows", "tiny_find_rows", "tiny_A"):
        message = f"{symbol!r} cannot be a symbol of library 'tiny'"
        check(network, first_kernel(network, symbol=symbol), message)
        check(network, first_constant(network, symbol=symbol), message)
    twice = "two kernels or constants are named 'tiny_depthwise_1'"
    check(network, first_kernel(network, symbol="tiny_depthwise_1"), twice)


def test_constants_are_flat_and_hold_no_nan() -> None:
    network = make_network("float32")
    data = network.lowered.constants[0].data
    message = "tiny_pointwise_1_weights: is not one dimension of float32 without NaN"
    check(network, first_constant(network, data=data.reshape(3, 8)), message)
    check(network, first_constant(network, data=data.astype(np.float64)), message)
    check(network, first_constant(network, data=data * np.float32(np.nan)), message)


def test_buffers_lie_in_the_arena() -> None:
    network = make_network("float32")
    buffers = {buffer.name: buffer for buffer in network.plan.buffers}

    def changed(name: str, **changes: Any) -> Any:
        kept = [buffer for buffer in buffers.values() if buffer.name != name]
        moved = [dataclasses.replace(buffers[name], **changes)] if changes else []
        return replanned(network, buffers=(*kept, *moved))

    check(network, replanned(network, arena_bytes=1000), "pointwise_1: bytes 512 to 1024 leave the arena")
    misaligned = "pointwise_1: offset 510 is not aligned for elements of 4 bytes"
    check(network, changed("pointwise_1", offset=510), misaligned)
    check(network, changed("pointwise_1", offset=-4), "pointwise_1: bytes -4 to 508 leave the arena")
    check(network, changed("pointwise_1"), "pointwise_1: the plan has no place for its output")
    check(network, changed("input"), "the plan has no place for the network's input")
    check(network, changed("rows so far"), "the count of rows is no buffer of the plan")
    everything = {"reshape_1": "pool_1", "pool_1": "input"}
    nothing = "the network's output is its input: there is nothing to compute"
    check(network, replanned(network, alias=everything), nothing)


def test_stages_use_the_bytes_of_buffers() -> None:
    network = make_network(form="rows")
    first, second, third = network.plan.stages
    message = "depthwise_1: its stage uses bytes that are no buffer of the plan"
    for changes in ({"row": second.ring + 4}, {"ring": second.ring + 4}, {"outputs": (second.outputs[0], 4)}):
        moved = dataclasses.replace(second, **changes)
        check(network, replanned(network, stages=(first, moved, third)), message)


def test_calls_are_one_for_each_layer_in_order() -> None:
    network = make_network()
    message = "the calls are not one for each layer that computes, in running order"
    check(network, relowered(network, calls=network.lowered.calls[:2]), message)
    check(network, relowered(network, calls=network.lowered.calls[::-1]), message)


def test_arguments_fit_their_parameters() -> None:
    network = make_network()
    kernel = network.lowered.kernels[0]
    check(
        network,
        first_kernel(network, parameters=kernel.parameters[:-1]),
        "pointwise_1: 6 arguments for 5 parameters",
    )
    arrays = [parameter for parameter in kernel.parameters if isinstance(parameter, Parameter)]
    too_large = tuple(dataclasses.replace(parameter, elements=1000) for parameter in arrays)
    other_type = tuple(dataclasses.replace(parameter, element="uint8") for parameter in arrays)
    for parameters in (too_large, other_type):
        message = "pointwise_1: argument 'input' of tiny_pointwise_1 does not fit"
        check(network, first_kernel(network, parameters=parameters), message)
    window = make_network(form="rows").lowered.kernels[0].parameters
    scalar = "pointwise_1: 'kh_begin' of tiny_pointwise_1 is a number, not an array"
    check(network, first_kernel(network, parameters=(*kernel.parameters[:-1], window[2])), scalar)
    output = "pointwise_1: argument 'output' of tiny_pointwise_1 does not fit"
    check(network, first_call(network, -1, ActivationArgument("depthwise_1")), output)
    check(network, first_call(network, -1, ConstantArgument("tiny_pointwise_1_weights")), output)
    weights = "pointwise_1: argument 'weights' of tiny_pointwise_1 does not fit"
    check(network, first_call(network, 1, ActivationArgument("depthwise_1")), weights)
    given = "pointwise_1: 'rows' is given for 'input' of tiny_pointwise_1"
    check(network, first_call(network, 0, WindowArgument("rows")), given)
