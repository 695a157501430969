"""The softmax at the end, left out where only the most probable class is asked for.

The one rewrite that changes what the network gives, hence on request only: the logits, in their own quantisation. They
are ordered as the probabilities are, because softmax rises with each of them, and tell classes apart whose
probabilities 8 bits round to one number.
"""

from __future__ import annotations

from dataclasses import replace

from mbgen.errors import InputError
from mbgen.graph import Dequantize, Graph, Reshape, Softmax, Tensor
from mbgen.passes.edit import bypassable, bypassed


def drop_softmax(graph: Graph) -> Graph:
    """The graph without the softmax that it ends in; reshapes and a dequantisation may follow it, and stay.

    Raises InputError if there is none.
    """
    reshaped: list[Tensor] = []  # between the softmax and a dequantisation: they take the quantisation of the logits
    for layer in reversed(graph.layers):
        if isinstance(layer, Softmax) and bypassable(graph, layer):
            (logits,) = graph.layer_inputs(layer)
            return bypassed(
                graph, layer, (), [replace(tensor, quantization=logits.quantization) for tensor in reshaped]
            )
        if isinstance(layer, Reshape):
            reshaped.append(graph.layer_output(layer))
        elif isinstance(layer, Dequantize):
            reshaped.clear()
        else:
            break
    raise InputError(
        f"the network does not end in a softmax but in {graph.layers[-1].name}: there is none to leave out"
    )
