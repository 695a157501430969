from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import mbgen.running
from mbgen.data import data_folder
from mbgen.errors import InputError, RefusedError
from mbgen.graph import Array
from mbgen.running import read_manifest, run_layers, run_program, self_test, stack_bytes
from mbgen.target import load_target, target_names
from tests.support.tiny_library import expected_layers, tiny_inputs, write_tiny_library
from tests.support.tools import require_target

POISON = np.uint8(0xA5).astype(np.int8)
MICROCONTROLLERS = [name for name in target_names() if load_target(name).is_microcontroller]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    require_target("host")
    write_tiny_library(tmp_path / "tiny", "host")
    return tmp_path / "tiny"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def edit_manifest(directory: Path, **changes: object) -> None:
    manifest = json.loads((directory / "manifest.json").read_text())
    (directory / "manifest.json").write_text(json.dumps(manifest | changes))


@pytest.mark.parametrize("name", target_names())
def test_every_layer_of_every_input_comes_back_on_every_target(tmp_path: Path, name: str) -> None:
    require_target(name)
    write_tiny_library(tmp_path, name)
    inputs = tiny_inputs(5)
    results = list(run_layers(tmp_path, inputs))
    assert len(results) == len(inputs)
    for image, layers in zip(inputs, results, strict=True):
        expected = expected_layers(image)
        assert list(layers) == list(expected)
        for layer, value in layers.items():
            assert value.dtype == expected[layer].dtype
            np.testing.assert_array_equal(value, expected[layer], strict=True)


@pytest.mark.parametrize("name", target_names())
def test_the_self_test_runs_on_every_target(tmp_path: Path, name: str) -> None:
    require_target(name)
    write_tiny_library(tmp_path, name)
    self_test(tmp_path)
    edit(tmp_path / "src" / "tiny_selftest.c", "output[1] == -1.0f", "output[1] == -2.0f")
    with pytest.raises(RefusedError) as refused:
        self_test(tmp_path)
    assert str(refused.value) == (
        f"tiny on {name} ended with exit code 1; it printed\n    tiny_self_test did not return TINY_OK"
    )


def count_calls(monkeypatch: pytest.MonkeyPatch, name: str) -> Callable[[], int]:
    """How often mbgen.running calls its function `name` from now on."""
    real, calls = getattr(mbgen.running, name), []

    def counted(*arguments: object) -> object:
        calls.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(mbgen.running, name, counted)
    return lambda: len(calls)


def test_batches_keep_the_order_of_the_inputs_and_build_once(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds = count_calls(monkeypatch, "build")
    inputs = tiny_inputs(50)
    monkeypatch.setattr(mbgen.running, "BATCH_INPUTS", 7)
    results = list(run_layers(tiny, inputs))
    assert builds() == 1
    for image, layers in zip(inputs, results, strict=True):
        np.testing.assert_array_equal(layers["dequantize_1"], expected_layers(image)["dequantize_1"])


def test_a_batch_is_one_input_where_one_inference_fills_the_limit(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = count_calls(monkeypatch, "run")
    monkeypatch.setattr(mbgen.running, "BATCH_BYTES", 2 * 84)  # an inference reports 12 int8 thrice, and 12 float32
    assert len(list(run_layers(tiny, tiny_inputs(5)))) == 5
    assert runs() == 3
    monkeypatch.setattr(mbgen.running, "BATCH_BYTES", 1)
    assert len(list(run_layers(tiny, tiny_inputs(2)))) == 2
    assert runs() == 5


def test_memory_that_a_library_never_wrote_holds_the_poison(tiny: Path) -> None:
    edit(tiny / "src" / "tiny.c", "i < 6; ++i) {\n            row", "i < 5; ++i) {\n            row")
    for layers in run_layers(tiny, tiny_inputs(3)):
        assert layers["quantize_1"].reshape(2, 6)[:, 5].tolist() == [POISON, POISON]


def test_what_a_plan_is_done_with_holds_the_poison(tiny: Path) -> None:
    """Each buffer ends one layer too early, or too late for anyone to mind."""
    row, clipped = read_manifest(tiny)["buffers"]
    inputs = tiny_inputs(1)
    expected = expected_layers(inputs[0])
    for last in (3, 7):
        edit_manifest(tiny, buffers=[row, clipped | {"last": last}])
        (layers,) = run_layers(tiny, inputs)
        np.testing.assert_array_equal(layers["dequantize_1"], expected["dequantize_1"])
    edit_manifest(tiny, buffers=[row, clipped | {"last": 2}])
    (layers,) = run_layers(tiny, inputs)
    np.testing.assert_array_equal(layers["reshape_1"], expected["reshape_1"])
    np.testing.assert_array_equal(layers["dequantize_1"], np.full((1, 12), POISON / 4, np.float32))
    edit_manifest(tiny, buffers=[row, clipped | {"offset": 7, "bytes": 4}])
    (layers,) = run_layers(tiny, inputs)
    kept = (layers["dequantize_1"] == expected["dequantize_1"]).ravel().tolist()
    assert kept == [False] * 3 + [True] * 4 + [False] * 5


def test_the_flags_are_those_of_the_manifest(tiny: Path) -> None:
    edit_manifest(tiny, target={"name": "host", "c_flags": ["-O1", "-Dfloorf=ceilf"]})
    inputs = tiny_inputs(1) / 3
    (layers,) = run_layers(tiny, inputs)
    np.testing.assert_array_equal(layers["quantize_1"], np.ceil(inputs * 4))


def test_a_status_other_than_ok_is_reported(tiny: Path) -> None:
    edit(tiny / "src" / "tiny.c", "!input || !output", "input || output")
    with pytest.raises(RefusedError) as refused:
        list(run_layers(tiny, tiny_inputs(1)))
    assert str(refused.value) == (
        "tiny on host ended with exit code 1; it printed\n    tiny_invoke did not return TINY_OK"
    )


def test_a_layer_that_does_not_report_is_noticed(tiny: Path) -> None:
    edit(tiny / "src" / "tiny.c", "TINY_LAYER_END(3);", "")
    with pytest.raises(RefusedError) as refused:
        list(run_layers(tiny, tiny_inputs(2)))
    assert str(refused.value) == (
        "the library reported 104 bytes of layer outputs for 2 inputs; its manifest promises 208. "
        "Were its sources edited? Compile it again."
    )


def test_a_library_that_hangs_is_stopped(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(tiny / "src" / "tiny.c", "    return TINY_OK;", "    for (volatile int i = 0;; ++i) {}")
    monkeypatch.setattr(mbgen.running, "START_SECONDS", 0.5)
    with pytest.raises(RefusedError, match=r"^tiny on host did not end within 0\.5 seconds; it printed nothing$"):
        list(run_layers(tiny, tiny_inputs(1)))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((1, 2, 3, 3), np.float32), "these are 2x3x3 of float32"),
        (np.zeros((1, 12), np.float32), "these are 12 of float32"),
        (np.zeros((1, 2, 2, 3), np.float64), "these are 2x2x3 of float64"),
    ],
)
def test_inputs_of_another_shape_or_type_are_refused(tiny: Path, inputs: Array, message: str) -> None:
    with pytest.raises(InputError) as refused:
        next(run_layers(tiny, inputs))
    assert str(refused.value) == f"tiny: each input must be 2x2x3 of int8, uint8 or float32; {message}"


def test_a_folder_without_a_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read_manifest(tmp_path)
    assert re.fullmatch(
        rf"{re.escape(str(tmp_path))} holds no library of mbgen: its manifest\.json cannot be read "
        r"\(.*No such file.*\)",
        str(refused.value),
    )
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"its manifest\.json cannot be read \(Expecting property name"):
        self_test(tmp_path)


@pytest.mark.parametrize(
    ("changes", "needs"),
    [
        (
            {"arena_bytes": 4 * 2**20},
            "4,259,984 bytes of RAM",
        ),  # and 48 bytes each of input and output, and the stack with another output
        ({"constant_bytes": 17_000_000}, "17,000,000 bytes of constants"),
    ],
)
def test_what_the_emulated_board_has_no_room_for_is_refused(
    tmp_path: Path, changes: dict[str, int], needs: str
) -> None:
    require_target("cortex-m4")
    write_tiny_library(tmp_path, "cortex-m4")
    edit_manifest(tmp_path, **changes)
    room = "4,194,304" if "RAM" in needs else "16,777,216"
    with pytest.raises(RefusedError) as refused:
        next(run_layers(tmp_path, tiny_inputs(1)))
    assert str(refused.value) == (
        f"tiny: running it takes {needs}; mps2-an386, the board that QEMU emulates for cortex-m4, has {room}. "
        "Compile it for another target to run it here."
    )


@pytest.mark.parametrize("name", MICROCONTROLLERS)
def test_bare_metal_programs_start_with_their_variables_and_constants_in_place(tmp_path: Path, name: str) -> None:
    require_target(name)
    write_tiny_library(tmp_path, name)
    main = """
    #include <math.h>
    #include "harness.h"
    static volatile int initialised = 42;
    static volatile int zeroed[1000];
    static volatile unsigned char large[3 * 1024 * 1024];
    static const unsigned char constants[5 * 1024 * 1024] = { [5 * 1024 * 1024 - 1] = 7 };
    static volatile unsigned int last = sizeof constants - 1;
    static volatile float two = 2.0f;
    int main(void)
    {
        large[sizeof large - 1] = 1;
        if (initialised != 42 || zeroed[0] != 0 || zeroed[999] != 0 || constants[last] != 7) {
            harness_fail("memory is not as C wants it");
        }
        if (sqrtf(two) * sqrtf(two) < 1.999f) {
            harness_fail("floating point does not work");
        }
        harness_print("all is well\\n");
        return 0;
    }
    """
    assert run_program([tmp_path], main) == "all is well\n"


@pytest.mark.parametrize("name", MICROCONTROLLERS)
def test_a_fault_on_bare_metal_is_reported(tmp_path: Path, name: str) -> None:
    require_target(name)
    write_tiny_library(tmp_path, name)
    with pytest.raises(RefusedError) as refused:
        run_program([tmp_path], "int main(void) { return *(volatile int *)0xF0000000u; }\n", seconds=30)
    lines = [line.strip() for line in str(refused.value).splitlines()]
    assert lines[:3] == [
        f"tiny on {name} ended with exit code 1; it printed",
        "the processor took a fault",
        "exception      0x00000003",
    ]
    assert lines[6] == "BFAR           0xf0000000"


@pytest.mark.parametrize("name", MICROCONTROLLERS)
def test_a_stack_overflow_on_bare_metal_is_reported(tmp_path: Path, name: str) -> None:
    require_target(name)
    write_tiny_library(tmp_path, name)
    main = """
    static volatile int depth;
    static int dig(volatile int *above)
    {
        volatile int here[64] = { above[0] + 1 };
        return depth++ < 10000 ? dig(here) + here[0] : 0;
    }
    int main(void) { volatile int top[1] = { 0 }; return dig(top) == 0; }
    """
    with pytest.raises(RefusedError, match=r"ended with exit code 1; it printed\n    the stack overflowed\n"):
        run_program([tmp_path], main, seconds=30)


def test_code_for_cortex_m0plus_may_not_make_unaligned_accesses(tmp_path: Path) -> None:
    main = """
    #include <stdint.h>
    static volatile uint32_t words[2];
    static volatile uintptr_t offset = 1; /* unknown to the compiler, which would load bytes */
    int main(void) { return (int)*(volatile uint32_t *)((uintptr_t)words + offset); }
    """
    require_target("cortex-m0plus")
    write_tiny_library(tmp_path, "cortex-m0plus")
    with pytest.raises(RefusedError, match="the processor took a fault"):
        run_program([tmp_path], main, seconds=30)
    write_tiny_library(tmp_path, "cortex-m4")
    assert run_program([tmp_path], main, seconds=30) == ""


def test_a_program_may_use_several_libraries_and_further_flags(tiny: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_tiny_library(other, "host")
    for path in sorted(other.rglob("*.[ch]")):
        path.write_text(path.read_text().replace("tiny", "other").replace("TINY", "OTHER"))
        path.rename(path.with_name(path.name.replace("tiny", "other")))
    main = """
    #include "tiny.h"
    #include "other.h"
    #include "harness.h"
    int main(void)
    {
        struct tiny_arena first;
        struct other_arena second;
        harness_print(TEXT);
        return tiny_self_test(&first) != TINY_OK || other_self_test(&second) != OTHER_OK;
    }
    """
    assert run_program([tiny, other], main, ['-DTEXT="both"', "-fsanitize=undefined"]) == "both"


def take_stack(directory: Path, count: int) -> None:
    """Make tiny_invoke write to `count` bytes of stack, first to last."""
    edit(
        directory / "src" / "tiny.c",
        "    int8_t *row",
        f"    volatile int8_t deep[{count}];\n    for (int i = 0; i < {count}; ++i) deep[i] = 1;\n    int8_t *row",
    )


@pytest.mark.parametrize("name", target_names())
def test_the_stack_is_measured_on_every_target(tmp_path: Path, name: str) -> None:
    require_target(name)
    write_tiny_library(tmp_path, name)
    frame = stack_bytes(tmp_path)
    assert frame <= 128
    take_stack(tmp_path, 5000)
    assert 5000 <= stack_bytes(tmp_path) <= 5000 + frame + 128


def test_more_stack_than_can_be_seen_is_refused(tiny: Path) -> None:
    take_stack(tiny, 49152)
    with pytest.raises(RefusedError) as refused:
        stack_bytes(tiny)
    assert str(refused.value) == (
        "tiny on host ended with exit code 1; it printed\n    tiny_invoke takes more stack than was painted"
    )


def test_a_stack_of_a_network_that_does_not_run_is_not_measured(tiny: Path) -> None:
    edit(tiny / "src" / "tiny.c", "!input || !output", "input || output")
    with pytest.raises(RefusedError, match="tiny_invoke did not return TINY_OK"):
        stack_bytes(tiny)


def test_the_harness_is_clean_under_strict_warnings(tmp_path: Path) -> None:
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef", "-Wvla", "-Werror"]
    for name in ("host", "cortex-m0plus", "cortex-m55"):
        require_target(name)
        write_tiny_library(tmp_path, name)
        run_program([tmp_path], '#include "harness.h"\nint main(void) { harness_exit(0); }\n', flags)


def test_the_rendered_test_programs_are_clean_under_strict_warnings(tiny: Path) -> None:
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef", "-Wvla", "-Werror"]
    edit_manifest(tiny, target={"name": "host", "c_flags": strict})
    assert len(list(run_layers(tiny, tiny_inputs(1)))) == 1
    self_test(tiny)
    assert stack_bytes(tiny) > 0


def test_no_undefined_name_in_a_template_passes_silently() -> None:
    import jinja2

    with pytest.raises(jinja2.UndefinedError):
        mbgen.running._render("hooks.h.jinja")
    assert (data_folder("templates") / "harness" / "hooks.h.jinja").is_file()
