"""From a scheduled PrimFunc to flat loops that can be printed as C; and the operations that TIR lacks.

The passes stop before TVM's packed-function ABI is added, which is what would tie the code to TVM's runtime.
"""

from __future__ import annotations

import functools
from typing import Any

from tvm import ir, tirx
from tvm.ir import transform
from tvm.s_tir import transform as s_tir_passes
from tvm.tirx import transform as tirx_passes


@functools.cache
def _passes() -> tuple[Any, ...]:
    return (
        s_tir_passes.CanonicalizeLoop(),
        s_tir_passes.LowerInitBlock(),
        s_tir_passes.PlanAndUpdateBufferAllocationLocation(),
        s_tir_passes.ConvertBlocksToOpaque(),
        s_tir_passes.CompactBufferAllocation(),
        s_tir_passes.LowerMatchBuffer(),
        tirx_passes.StmtSimplify(),
        s_tir_passes.LowerOpaqueBlock(),
        tirx_passes.FlattenBuffer(),
        tirx_passes.NarrowDataType(32),
        tirx_passes.VectorizeLoop(True),
        tirx_passes.StorageRewrite(),
        s_tir_passes.HoistIfThenElse(),
        tirx_passes.UnrollLoop(),
        s_tir_passes.RenormalizeSplitPattern(),
        tirx_passes.StmtSimplify(),
        tirx_passes.RemoveNoOp(),
    )


def lower(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Flat loops over one-dimensional buffers. Common subexpressions stay where they are: C compilers find them."""
    module = ir.IRModule({"main": function})
    with transform.PassContext():
        for one in _passes():
            module = one(module)
    return module["main"]


@functools.cache
def _register(name: str, effect: tirx.CallEffectKind) -> None:
    """Make an operation known to TVM; being vectorisable, a pure one becomes the helper of the right width."""
    ir._ffi_api.RegisterOp(name, "a helper of mbgen.intrinsics")
    ir.register_op_attr(name, "TVectorizable", True)
    ir.register_op_attr(name, "TCallEffectKind", int(effect.value))


def helper(name: str, result: str, *arguments: Any) -> Any:
    """Call of the helper `name` of mbgen.intrinsics (its scalar form) with a result of type `result`."""
    _register(f"mbgen.{name}", tirx.CallEffectKind.Pure)
    return tirx.call_intrin(result, f"mbgen.{name}", *arguments)


def helper_statement(name: str, *arguments: Any) -> Any:
    """Call of the helper `name` that reads and writes memory by the addresses among its arguments, for T.evaluate."""
    _register(f"mbgen.{name}", tirx.CallEffectKind.Opaque)
    return tirx.call_intrin("void", f"mbgen.{name}", *arguments)
