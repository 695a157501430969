"""The pinned TVM saves and loads a module: apache-tvm-ffi 0.1.15.post1 and post2 crash it there."""

from __future__ import annotations

import subprocess
import sys

SAVE_AND_LOAD = """
import tvm
import tvm_ffi
from tvm import ir
from mbgen.lowering.builder import T, build, parameter

def body():
    x = parameter("x", (8,), "int32")
    y = parameter("y", (8,), "int32")
    with T.serial(0, 8) as i:
        T.buffer_store(y, x[i] + 1, [i])

module = ir.IRModule({"main": build(body)})
loaded = ir.load_json(ir.save_json(module))
assert tvm_ffi.structural_equal(loaded, module)
print("the same")
"""


def test_a_module_survives_saving_and_loading() -> None:
    """In a process of its own, for a crash would take the other tests with it."""
    done = subprocess.run([sys.executable, "-c", SAVE_AND_LOAD], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "the same\n", "")
