from __future__ import annotations

import json
from pathlib import Path

import pytest

import mbgen.target
from mbgen.data import data_folder
from mbgen.errors import InputError
from mbgen.target import Memory, Region, all_targets, host_variant, load_target, read_target, target_names

X86_64_V3 = frozenset(["fpu", "sse2", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"])
GOOD = """
inherits = "cortex-a"
description = "a core of the tests"
cpu = "cortex-a72"
cpu_flags = ["-mcpu=cortex-a72"]
instruction_set = ["scalar", "neon"]
qemu_cpu = "cortex-a72"
"""
MICROCONTROLLER = """
inherits = "cortex-m"
description = "a core of the tests"
triple = "thumbv7em-none-eabi"
cpu = "cortex-m4"
cpu_flags = ["-mcpu=cortex-m4", "-mthumb"]
instruction_set = ["scalar"]
vector_bits = 0
vector_registers = 0
alignment = 8
ram = 65536
flash = 65536
machine = "mps2-an386"
[memory]
code = { origin = 0, size = 0x1000 }
constants = { origin = 0x1000, size = 0x1000 }
data = { origin = 0x20000000, size = 0x1000 }
"""


def read(tmp_path: Path, text: str) -> mbgen.target.Target:
    path = tmp_path / "core.toml"
    path.write_text(text)
    return read_target(path, "core")


def test_the_first_set_of_targets_host_first() -> None:
    assert [target.name for target in all_targets()] == [
        "host",
        "cortex-a53",
        "cortex-a72",
        "cortex-a76",
        "cortex-m0plus",
        "cortex-m33",
        "cortex-m4",
        "cortex-m55",
        "cortex-m7",
    ]
    assert target_names() == tuple(target.name for target in all_targets())


def test_a_target_has_its_own_keys_over_those_of_its_base() -> None:
    target = load_target("cortex-m4")
    assert target.compiler == "arm-none-eabi-gcc"  # from base/cortex-m.toml
    assert target.c_flags == (
        "-mcpu=cortex-m4",
        "-mthumb",
        "-mfloat-abi=hard",
        "-mfpu=fpv4-sp-d16",
        "-O2",
        "-ffunction-sections",
        "-fdata-sections",
    )
    assert target.instruction_set == {"scalar", "dsp"}
    assert (target.ram, target.flash, target.is_microcontroller) == (131072, 1048576, True)
    assert target.memory == Memory(
        code=Region(0, 0x400000), constants=Region(0x21000000, 0x1000000), data=Region(0x20000000, 0x400000)
    )


def test_socs_have_no_limit_of_memory_and_no_board() -> None:
    target = load_target("cortex-a72")
    assert (target.ram, target.flash, target.machine, target.memory) == (None, None, None, None)
    assert (target.runner, target.emulator, target.qemu_cpu) == ("qemu-user", "qemu-aarch64", "cortex-a72")
    assert not target.is_microcontroller


@pytest.mark.parametrize("name", target_names())
def test_no_target_takes_its_flags_from_the_machine_that_builds(name: str) -> None:
    assert not any("native" in flag for flag in load_target(name).c_flags)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cortex-a27", "the nearest are cortex-a72, cortex-a76. "),
        ("hosst", "the nearest is host. "),
        ("z80", ""),
        ("base/cortex-m", "the nearest are cortex-m4, cortex-m7. "),
    ],
)
def test_an_unknown_target_is_refused_with_the_nearest_names(name: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        load_target(name)
    assert str(refused.value) == f"unknown target '{name}'; {message}`mbgen targets` lists all."


@pytest.mark.parametrize(
    ("machine", "features", "variant"),
    [
        ("x86_64", X86_64_V3, "x86-64-v3"),
        ("AMD64", X86_64_V3, "x86-64-v3"),
        ("x86_64", X86_64_V3 - {"fma"}, "x86-64"),
        ("x86_64", frozenset(), "x86-64"),
        ("aarch64", frozenset({"asimd"}), "aarch64"),
        ("arm64", frozenset({"asimd", "asimddp", "asimdhp"}), "aarch64-dotprod"),
    ],
)
def test_the_host_is_what_its_processor_says_it_is(machine: str, features: frozenset[str], variant: str) -> None:
    assert host_variant(machine, features) == variant


def test_every_host_variant_is_sound_and_has_the_vectors_that_its_flags_allow() -> None:
    files = sorted((data_folder("targets") / "host").glob("*.toml"))
    bits = {path.stem: read_target(path, "host").vector_bits for path in files}
    assert bits == {"aarch64": 128, "aarch64-dotprod": 128, "x86-64": 128, "x86-64-v3": 256}


def test_a_machine_that_mbgen_does_not_know_is_refused_as_host() -> None:
    with pytest.raises(InputError) as refused:
        host_variant("riscv64", frozenset())
    assert str(refused.value) == (
        "target host: this machine is riscv64, and mbgen knows x86-64 and AArch64. "
        "Give another --target, for example cortex-a72."
    )


def test_both_sample_files_are_sound(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD).vector_registers == 32
    assert read(tmp_path, MICROCONTROLLER).machine == "mps2-an386"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "vectr_bits = 64", "core.toml: unknown key 'vectr_bits'; the nearest is 'vector_bits'"),
        (GOOD + "zzz = 1", "core.toml: unknown key 'zzz'"),
        (GOOD + "cores = ", "core.toml: not TOML: Invalid value (at end of document)"),
        (GOOD + "cores = 0", "core.toml: cores: 0 is less than the minimum of 1"),
        (GOOD.replace('"neon"', '"sve"'), "core.toml: instruction_set.1: 'sve' is not one of "),
        (GOOD.replace("-mcpu", "mcpu"), "core.toml: cpu_flags.0: 'mcpu=cortex-a72' does not match '^-[^\\\\s]+$'"),
        (GOOD.replace("cpu =", "mca_cpu =", 1), "core.toml: 'cpu' is a required property"),
        (
            GOOD.replace('"cortex-a"', '"cortex-r"'),
            "core.toml: inherits 'cortex-r', but there is no file base/cortex-r.toml beside the targets",
        ),
        (GOOD + 'machine = "virt"', "target core: runner 'qemu-user' takes no 'machine'"),
        (GOOD.replace("qemu_cpu", "mca_cpu"), "target core: runner 'qemu-user' needs 'qemu_cpu'"),
        (
            GOOD + "vector_registers = 0",
            "target core: 'vector_bits' and 'vector_registers' must both be zero or neither",
        ),
        (GOOD + "alignment = 8", "target core: 'alignment' is less than a vector register's 16"),
        (MICROCONTROLLER.replace("ram = 65536", ""), "target core: a microcontroller needs 'ram' and 'flash'"),
        (MICROCONTROLLER.replace("origin = 0x1000", "origin = 0xfff"), "target core: the regions of 'memory' overlap"),
        (MICROCONTROLLER.replace("code =", "kode ="), "core.toml: memory: "),
    ],
)
def test_a_wrong_file_is_refused_with_the_key_that_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        read(tmp_path, text)
    assert str(refused.value).startswith(message)


def test_base_files_inherit_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "targets"
    (folder / "base").mkdir(parents=True)
    (folder / "base" / "cortex-a.toml").write_text('inherits = "cortex-m"')
    (folder / "schema.json").write_text((data_folder("targets") / "schema.json").read_text())
    monkeypatch.setattr(mbgen.target, "data_folder", lambda name: tmp_path / name)
    with pytest.raises(InputError, match=r"^core\.toml: unknown key 'inherits'$"):
        read(tmp_path, GOOD)


def test_the_schema_is_a_schema() -> None:
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(json.loads((data_folder("targets") / "schema.json").read_text()))
