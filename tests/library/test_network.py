"""A network whose parts contradict each other is a defect in mbgen, found before any C is written."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from mbgen.errors import InputError
from mbgen.kernel import ActivationArgument, ConstantArgument
from mbgen.library import Network
from mbgen.library.network import Place
from mbgen.plan import Buffer
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


def first_call(network: Network, index: int, argument: ActivationArgument | ConstantArgument) -> Any:
    first, *others = network.lowered.calls
    arguments = list(first.arguments)
    arguments[index] = argument
    return relowered(network, calls=(dataclasses.replace(first, arguments=tuple(arguments)), *others))


def test_places() -> None:
    network = make_network()
    assert network.place("input") == Place("input")
    assert network.place("pointwise_1") == Place("arena", 128)
    assert network.place("pool_1") == network.place("reshape_1") == Place("output")


def test_the_arena_is_a_whole_number_of_alignments_and_never_empty() -> None:
    network = make_network(target="cortex-m4")
    assert network.target.alignment == 8
    for planned, expected in ((256, 256), (257, 264), (263, 264)):
        changed = dataclasses.replace(network, **replanned(network, arena_bytes=planned))
        assert changed.arena_bytes == expected
    input_only = dataclasses.replace(network.plan, arena_bytes=0)
    object.__setattr__(network, "plan", input_only)
    assert network.arena_bytes == 8


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
    for symbol in ("pointwise_1", "tiny_", "tiny_a-b", "tiny_invoke", "tiny_self_test", "tiny_A"):
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
    first, second = network.plan.buffers
    check(network, replanned(network, arena_bytes=1000), "pointwise_1: bytes 512 to 1024 leave the arena")
    moved = Buffer(first.tensor, 510, first.size, first.first, first.last)
    check(network, replanned(network, buffers=(moved, second)), "pointwise_1: offset 510 is not aligned for float32")
    check(network, replanned(network, buffers=(second,)), "pointwise_1: the plan has no place for its output")
    everything = {"reshape_1": "pool_1", "pool_1": "input"}
    check(
        network, replanned(network, alias=everything), "the network's output is its input: there is nothing to compute"
    )


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
    too_large = tuple(dataclasses.replace(parameter, elements=1000) for parameter in kernel.parameters)
    other_type = tuple(dataclasses.replace(parameter, element="uint8") for parameter in kernel.parameters)
    for parameters in (too_large, other_type):
        message = "pointwise_1: argument 'input' of tiny_pointwise_1 does not fit"
        check(network, first_kernel(network, parameters=parameters), message)
    output = "pointwise_1: argument 'output' of tiny_pointwise_1 does not fit"
    check(network, first_call(network, -1, ActivationArgument("depthwise_1")), output)
    check(network, first_call(network, -1, ConstantArgument("tiny_pointwise_1_weights")), output)
    weights = "pointwise_1: argument 'weights' of tiny_pointwise_1 does not fit"
    check(network, first_call(network, 1, ActivationArgument("depthwise_1")), weights)
