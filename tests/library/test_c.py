"""The generated C as a product: compilers, linkers, sanitisers and programs that use it."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mbgen.graph import DType, Quantization, Tensor
from mbgen.images import PREPROCESSING, quantize_pixels
from mbgen.library import Network, render, write
from mbgen.library.text import C_TYPES
from mbgen.target import Target, load_target
from tests.support.compilers import (
    C_STANDARDS,
    COMPILERS,
    STRICT,
    call,
    check_strict,
    check_symbols,
    compile_objects,
    includes,
    need,
    sources,
)
from tests.support.tiny_network import Form, make_network

LIBRARIES: tuple[tuple[DType, Form], ...] = (
    ("int8", "rows"),
    ("int8", "whole"),
    ("uint8", "whole"),
    ("float32", "rows"),
    ("float32", "whole"),
)


def library(
    folder: Path, dtype: DType = "int8", form: Form = "rows", name: str = "tiny", target: str = "host"
) -> tuple[Path, Network]:
    network = make_network(dtype, form, name=name, target=target)
    write(render(network), folder / name)
    return folder / name, network


def run(folder: Path, main: str, directories: list[Path], target: Target, *, flags: tuple[str, ...] = ()) -> str:
    """Compile libraries and a program for this machine, run it, and return what it prints."""
    source = folder / "main.c"
    source.write_text(main + "\n")
    program = folder / "program"
    command = [target.compiler, *target.c_flags, *STRICT, *flags, *includes(*directories)]
    call([*command, source, *sources(*directories), "-o", program])
    return call([program])


def public_headers(directory: Path) -> list[Path]:
    return sorted((directory / "include").glob("*.h"))


@pytest.mark.parametrize(("dtype", "form"), LIBRARIES)
@pytest.mark.parametrize(("compiler", "_", "target"), COMPILERS)
@pytest.mark.parametrize("standard", C_STANDARDS)
def test_sources_and_headers_compile_without_a_warning(
    dtype: DType, form: Form, compiler: str, _: str, target: str, standard: str, tmp_path: Path
) -> None:
    directory, network = library(tmp_path, dtype, form, target=target)
    check_strict(directory, [compiler, *network.target.c_flags, f"-std={standard}"], tmp_path)


@pytest.mark.parametrize(("dtype", "form"), LIBRARIES)
@pytest.mark.parametrize(("_", "compiler", "target"), COMPILERS)
def test_sources_and_headers_are_also_cpp(
    dtype: DType, form: Form, _: str, compiler: str, target: str, tmp_path: Path
) -> None:
    directory, network = library(tmp_path, dtype, form, target=target)
    flags = [*network.target.c_flags, *STRICT, *includes(directory)]
    compile_objects([compiler, "-x", "c++", "-std=c++17", *flags], sources(directory), tmp_path)
    caller = tmp_path / "caller.cpp"
    caller.write_text("".join(f'#include "{header.name}"\n' for header in public_headers(directory)))
    for standard in ("c++11", "c++17"):
        call([compiler, f"-std={standard}", *flags, "-fsyntax-only", caller])


@pytest.mark.parametrize(("dtype", "form"), LIBRARIES)
def test_cpp_programs_link_with_a_library_built_as_c(dtype: DType, form: Form, tmp_path: Path) -> None:
    directory, network = library(tmp_path, dtype, form)
    objects = compile_objects(["gcc", *network.target.c_flags, *includes(directory)], sources(directory), tmp_path)
    main = tmp_path / "main.cpp"
    main.write_text(
        '#include "tiny.h"\n'
        "static tiny_arena arena;\n"
        "int main() { return tiny_self_test(&arena) == TINY_OK ? 0 : 1; }\n"
    )
    call(["g++", *STRICT, *includes(directory), main, *objects, "-o", tmp_path / "program"])
    call([tmp_path / "program"])


@pytest.mark.parametrize(("dtype", "form"), LIBRARIES)
@pytest.mark.parametrize(("compiler", "_", "target"), COMPILERS)
def test_symbols(dtype: DType, form: Form, compiler: str, _: str, target: str, tmp_path: Path) -> None:
    directory, network = library(tmp_path, dtype, form, target=target)
    check_symbols(directory, [compiler, *network.target.c_flags], tmp_path, may_call=frozenset())


@pytest.mark.parametrize(("dtype", "form"), LIBRARIES)
def test_the_self_test_passes(dtype: DType, form: Form, tmp_path: Path) -> None:
    directory, network = library(tmp_path, dtype, form)
    main = """
        #include "tiny.h"
        static struct tiny_arena arena;
        int main(void) { return (int)tiny_self_test(&arena); }
    """
    run(tmp_path, main, [directory], network.target)


@pytest.mark.parametrize(("dtype", "form"), LIBRARIES)
def test_the_self_test_fails_on_another_answer(dtype: DType, form: Form, tmp_path: Path) -> None:
    network = make_network(dtype, form)
    wrong = network.test_output.copy()
    wrong.flat[-1] += 1
    write(render(dataclasses.replace(network, test_output=wrong)), tmp_path / "tiny")
    main = """
        #include <stdio.h>
        #include "tiny.h"
        static struct tiny_arena arena;
        int main(void) { printf("%d %d", (int)tiny_self_test(&arena), (int)tiny_self_test(NULL)); return 0; }
    """
    assert run(tmp_path, main, [tmp_path / "tiny"], network.target) == "2 1"


def test_the_float_self_test_fails_on_nan(tmp_path: Path) -> None:
    directory, network = library(tmp_path, "float32")
    weights = directory / "src" / "tiny_weights.c"
    text = weights.read_text()
    start = text.index("tiny_depthwise_1_bias")
    changed = re.sub(r"-?0x\S+,", "NAN,", text[start:], count=1)
    weights.write_text(text[:start].replace("#include", "#include <math.h>\n#include", 1) + changed)
    main = """
        #include "tiny.h"
        static struct tiny_arena arena;
        int main(void) { return tiny_self_test(&arena) == TINY_ERROR_SELF_TEST ? 0 : 1; }
    """
    run(tmp_path, main, [directory], network.target)


def test_the_self_test_is_linked_only_if_called(tmp_path: Path) -> None:
    directory, network = library(tmp_path)
    objects = compile_objects(["gcc", *network.target.c_flags, *includes(directory)], sources(directory), tmp_path)
    call(["ar", "rcs", tmp_path / "libtiny.a", *objects])
    main = tmp_path / "main.c"
    main.write_text(
        '#include "tiny.h"\n#include <stddef.h>\n'
        "int main(void) { return tiny_invoke(NULL, NULL, NULL) == TINY_ERROR_NULL ? 0 : 1; }\n"
    )
    call(["gcc", *includes(directory), main, tmp_path / "libtiny.a", "-o", tmp_path / "program"])
    call([tmp_path / "program"])
    linked = call(["nm", tmp_path / "program"])
    assert "tiny_invoke" in linked
    assert "tiny_test_input" not in linked
    assert "tiny_self_test" not in linked


@pytest.mark.parametrize(("dtype", "form"), LIBRARIES)
def test_sanitizers_find_nothing(dtype: DType, form: Form, tmp_path: Path) -> None:
    """Every buffer is exactly as large as it must be, on the heap, and so watched on both sides."""
    directory, network = library(tmp_path, dtype, form)
    c_type = {"int8": "int8_t", "uint8": "uint8_t", "float32": "float"}[dtype]
    image = '#include "tiny_image.h"' if dtype != "float32" else ""
    quantize = (
        "tiny_input_from_image(image, input); tiny_input_from_pixels(pixels, input);" if image else "(void)pixels;"
    )
    main = f"""
        #include <stdlib.h>
        #include "tiny.h"
        {image}
        int main(void)
        {{
            struct tiny_arena *arena = aligned_alloc(TINY_ARENA_ALIGNMENT, sizeof *arena);
            {c_type} *input = malloc(TINY_INPUT_BYTES);
            {c_type} *output = malloc(TINY_OUTPUT_BYTES);
            float *image = calloc(TINY_INPUT_ELEMENTS, sizeof(float));
            uint8_t *pixels = calloc(TINY_INPUT_ELEMENTS, 1);
            int failed;

            for (size_t i = 0; i < TINY_INPUT_ELEMENTS; i++) {{
                input[i] = ({c_type})i;
                image[i] = (float)i - 3e38f * (float)(i % 3);
            }}
            {quantize}
            failed = tiny_invoke(arena, input, output) != TINY_OK || tiny_self_test(arena) != TINY_OK;
            free(arena);
            free(input);
            free(output);
            free(image);
            free(pixels);
            return failed;
        }}
    """
    sanitize = ("-std=c11", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    run(tmp_path, main, [directory], network.target, flags=sanitize)


def test_two_libraries_link_and_their_arenas_interleave(tmp_path: Path) -> None:
    first, one = library(tmp_path, "int8", name="one")
    second, two = library(tmp_path, "float32", name="two")
    main = """
        #include <pthread.h>
        #include <stdio.h>
        #include <string.h>
        #include "one.h"
        #include "one_internal.h"
        #include "one_weights.h"
        #include "two.h"
        #include "two_internal.h"
        #include "two_weights.h"
        #define ROUNDS 2000

        static struct one_arena arenas[2];
        static struct two_arena other;
        static int8_t inputs[2][ONE_INPUT_ELEMENTS];
        static int8_t alone[2][ONE_OUTPUT_ELEMENTS];

        static void *many(void *which)
        {
            const size_t i = *(const size_t *)which;
            static int failed = 1;
            int8_t output[ONE_OUTPUT_ELEMENTS];

            for (int round = 0; round < ROUNDS; round++) {
                if (one_invoke(&arenas[i], inputs[i], output) != ONE_OK || memcmp(output, alone[i], sizeof output)) {
                    return &failed;
                }
            }
            return NULL;
        }

        int main(void)
        {
            pthread_t threads[2];
            size_t which[2] = {0, 1};
            void *failed[2];

            for (size_t i = 0; i < 2; i++) {
                for (size_t j = 0; j < ONE_INPUT_ELEMENTS; j++) {
                    inputs[i][j] = (int8_t)(j * (7 + 6 * i));
                }
                one_invoke(&arenas[0], inputs[i], alone[i]);
            }
            for (size_t i = 0; i < 2; i++) {
                pthread_create(&threads[i], NULL, many, &which[i]);
            }
            for (size_t i = 0; i < 2; i++) {
                pthread_join(threads[i], &failed[i]);
            }
            printf("%d %d ", failed[0] == NULL, failed[1] == NULL);
            printf("%d %d", memcmp(alone[0], alone[1], sizeof alone[0]) != 0, (int)two_self_test(&other));
            return 0;
        }
    """
    assert run(tmp_path, main, [first, second], one.target, flags=("-pthread",)) == "1 1 1 0"
    assert two.target == one.target


def test_null_pointers_are_refused(tmp_path: Path) -> None:
    directory, network = library(tmp_path)
    main = """
        #include <stdio.h>
        #include <stddef.h>
        #include "tiny.h"
        static struct tiny_arena arena;
        int main(void)
        {
            int8_t input[TINY_INPUT_ELEMENTS] = {0};
            int8_t output[TINY_OUTPUT_ELEMENTS] = {42};
            printf("%d", (int)tiny_invoke(NULL, input, output));
            printf("%d", (int)tiny_invoke(&arena, NULL, output));
            printf("%d", (int)tiny_invoke(&arena, input, NULL));
            printf("%d", (int)output[0]);
            printf("%d", (int)tiny_invoke(&arena, input, output));
            return 0;
        }
    """
    assert run(tmp_path, main, [directory], network.target) == "111420"


@pytest.mark.parametrize(("dtype", "form"), LIBRARIES)
def test_macros_tell_the_sizes_and_can_stand_in_if(dtype: DType, form: Form, tmp_path: Path) -> None:
    directory, network = library(tmp_path, dtype, form)
    item = network.input.nbytes // network.input.elements
    height, width, classes = (25, 19, 4) if form == "rows" else (4, 4, 8)
    expected = {
        "ARENA_BYTES": network.arena_bytes,
        "ARENA_ALIGNMENT": network.target.alignment,
        "CONSTANT_BYTES": sum(constant.data.nbytes for constant in network.lowered.constants),
        "LAYER_COUNT": len(network.graph.layers),
        "INPUT_HEIGHT": height,
        "INPUT_WIDTH": width,
        "INPUT_CHANNELS": 3,
        "INPUT_ROW_ELEMENTS": width * 3,
        "INPUT_ELEMENTS": height * width * 3,
        "INPUT_BYTES": height * width * 3 * item,
        "OUTPUT_HEIGHT": 1,
        "OUTPUT_WIDTH": 1,
        "OUTPUT_CHANNELS": classes,
        "OUTPUT_ELEMENTS": classes,
        "OUTPUT_BYTES": classes * item,
    }
    real = {}
    for side, tensor in (("INPUT", network.input), ("OUTPUT", network.output)):
        if tensor.quantization is not None:
            expected[f"{side}_ZERO_POINT"] = tensor.quantization.zero_point[0]
            real[f"{side}_SCALE"] = tensor.quantization.scale[0]
    header = (directory / "include" / "tiny.h").read_text()
    defined = set(re.findall(r"#define TINY_(\w+) [0-9(]", header)) - {"BUILD_ID", "H"}
    assert defined == expected.keys() | real.keys()
    checks = "".join(f"#if TINY_{name} != {value}\n#error {name}\n#endif\n" for name, value in expected.items())
    prints = "".join(f'printf("%a\\n", (double)TINY_{name});' for name in real)
    main = f"""
        #include <stdio.h>
        #include "tiny.h"
        {checks}
        int main(void)
        {{
            {prints}
            return sizeof(struct tiny_arena) == TINY_ARENA_BYTES ? 0 : 1;
        }}
    """
    printed = run(tmp_path, main, [directory], network.target).split()
    assert [float.fromhex(word) for word in printed] == [float(np.float32(scale)) for scale in real.values()]


def test_a_header_of_another_build_is_refused(tmp_path: Path) -> None:
    directory, network = library(tmp_path)
    header = directory / "include" / "tiny.h"
    header.write_text(re.sub(r"(#define TINY_BUILD_ID 0x)\w+UL", r"\g<1>00000000UL", header.read_text()))
    for source in sources(directory):
        command = ["gcc", *network.target.c_flags, *includes(directory), "-fsyntax-only", str(source)]
        with pytest.raises(AssertionError, match=r"tiny\.h is from another run of mbgen than this file"):
            call(command)


def test_sections_and_alignment_can_be_replaced(tmp_path: Path) -> None:
    directory, network = library(tmp_path)
    overrides = (
        '-DTINY_WEIGHTS_ATTR=__attribute__((section(".external_flash")))',
        '-DTINY_ARENA_ATTR=__attribute__((section(".fast_ram")))',
        "-DTINY_ALIGNED(bytes)=__attribute__((aligned(2*(bytes))))",
    )
    main = """
        #include <stdint.h>
        #include <stdio.h>
        #include "tiny.h"
        #include "tiny_weights.h"
        static TINY_ARENA_ATTR struct tiny_arena arena;
        int main(void)
        {
            const int wide = (uintptr_t)&arena % (2 * TINY_ARENA_ALIGNMENT) == 0;
            printf("%d %d", (int)tiny_self_test(&arena), wide);
            return 0;
        }
    """
    assert run(tmp_path, main, [directory], network.target, flags=overrides) == "0 1"
    symbols = call(["objdump", "-t", tmp_path / "program"]).splitlines()
    section = {line.split()[-1]: line.split()[-3] for line in symbols if len(line.split()) > 4}
    assert section["arena"] == ".fast_ram"
    arrays = {constant.symbol for constant in network.lowered.constants} | {"tiny_test_input"}
    assert {section[name] for name in arrays} == {".external_flash"}


@pytest.mark.parametrize(("dtype", "target"), [("int8", "cortex-m4"), ("float32", "cortex-a72")])
def test_constants_are_aligned(dtype: DType, target: str, tmp_path: Path) -> None:
    directory, network = library(tmp_path, dtype, target=target)
    command = [network.target.compiler, *network.target.c_flags, *includes(directory)]
    (item,) = compile_objects(command, [directory / "src" / "tiny_weights.c"], tmp_path)
    symbols = [line.split() for line in call(["nm", "-P", item]).splitlines()]
    addresses = {name: int(address, 16) for name, kind, address, *_ in symbols if kind == "R"}
    assert addresses.keys() == {constant.symbol for constant in network.lowered.constants}
    assert all(address % load_target(target).alignment == 0 for address in addresses.values())


HOOKS = """
void note(char end, int layer);
#define TINY_LAYER_BEGIN(i) note('<', i)
#define TINY_LAYER_END(i) note(arena->bytes != 0 ? '>' : '!', i)
"""
NOTING = """
    #include <stdio.h>
    #include "tiny.h"
    static struct tiny_arena arena;
    void note(char end, int layer) { printf("%c%d", end, layer); }
    int main(void) { return (int)tiny_self_test(&arena); }
"""


def test_hooks_run_around_every_layer(tmp_path: Path) -> None:
    directory, network = library(tmp_path, form="whole")
    (tmp_path / "hooks.h").write_text(HOOKS)
    printed = run(tmp_path, NOTING, [directory], network.target, flags=("-include", str(tmp_path / "hooks.h")))
    assert printed == "<0>0<1>1<2>2<3>3"


def test_hooks_run_around_every_row_in_the_row_pipeline(tmp_path: Path) -> None:
    directory, network = library(tmp_path)
    (tmp_path / "hooks.h").write_text(HOOKS)
    printed = run(tmp_path, NOTING, [directory], network.target, flags=("-include", str(tmp_path / "hooks.h")))
    rows = [network.graph.layer_output(layer).shape[1] for layer in network.graph.layers[:5]]
    assert [printed.count(f"<{index}>{index}") for index in range(8)] == [*rows, 1, 1, 1]
    # with a row of padding above, the first row of a 3x3 is made when two have come; stride 2 lets one row pass
    assert printed.startswith("<0>0<0>0<1>1<2>2<0>0<1>1<2>2<3>3<4>4")
    assert printed.endswith("<3>3<4>4<5>5<6>6<7>7")


@pytest.mark.parametrize(("dtype", "form"), LIBRARIES)
def test_the_examples_in_the_readme_compile_and_run(dtype: DType, form: Form, tmp_path: Path) -> None:
    directory, network = library(tmp_path, dtype, form)
    examples = re.findall(r"```c\n(.*?)```", (directory / "README.md").read_text(), flags=re.DOTALL)
    whole, camera, profile = examples
    assert "class" in run(tmp_path, whole, [directory], network.target, flags=("-std=c99",))
    assert run(tmp_path, camera + camera_main(network), [directory], network.target, flags=("-std=c99",)) == "1"
    hooks = tmp_path / "profile.h"
    hooks.write_text(profile)
    counting = (
        whole
        + "void profile_begin(int layer) { putchar('0' + layer); }\nvoid profile_end(int layer) { (void)layer; }\n"
    )
    last = f"{len(network.graph.layers) - 2}{len(network.graph.layers) - 1}"
    assert last in run(tmp_path, counting, [directory], network.target, flags=("-include", str(hooks)))


def camera_main(network: Network) -> str:
    """A camera and a program for the README's example: is its answer that of the whole picture?"""
    pixel = "uint8_t" if network.options["preprocess"] else "float"
    image = '#include "tiny_image.h"' if network.input.dtype != "float32" else ""
    made = "pixels" if pixel == "uint8_t" else "image"
    convert = f"tiny_input_from_{made}(scene, input);" if image else "memcpy(input, scene, sizeof input);"
    types = C_TYPES[network.input.dtype], C_TYPES[network.output.dtype]
    return f"""
        #include <stdio.h>
        #include <string.h>
        {image}
        static {pixel} scene[TINY_INPUT_ELEMENTS];
        static {types[0]} input[TINY_INPUT_ELEMENTS];
        static struct tiny_arena arena;

        void camera_read_row({pixel} pixels[TINY_INPUT_ROW_ELEMENTS])
        {{
            static size_t next;

            memcpy(pixels, scene + next, TINY_INPUT_ROW_ELEMENTS * sizeof scene[0]);
            next = (next + TINY_INPUT_ROW_ELEMENTS) % TINY_INPUT_ELEMENTS;
        }}

        int main(void)
        {{
            {types[1]} whole[TINY_OUTPUT_ELEMENTS], by_row[TINY_OUTPUT_ELEMENTS] = {{0}};

            for (size_t i = 0; i < TINY_INPUT_ELEMENTS; i++) {{
                scene[i] = ({pixel})(i * 7 % 251);
            }}
            {convert}
            if (tiny_invoke(&arena, input, whole) != TINY_OK || classify_frame(&arena, by_row) != TINY_OK) {{
                return 1;
            }}
            printf("%d", memcmp(whole, by_row, sizeof whole) == 0);
            return 0;
        }}
    """


@pytest.mark.parametrize("form", ["rows", "whole"])
def test_the_examples_without_a_known_preprocessing(form: Form, tmp_path: Path) -> None:
    network = make_network(form=form, options={"preprocess": None})
    write(render(network), tmp_path / "tiny")
    header = (tmp_path / "tiny" / "include" / "tiny_image.h").read_text()
    assert "tiny_input_from_pixels" not in header
    whole, camera, _ = re.findall(r"```c\n(.*?)```", (tmp_path / "tiny" / "README.md").read_text(), flags=re.DOTALL)
    assert "tiny_input_from_image" in whole
    assert "class" in run(tmp_path, whole, [tmp_path / "tiny"], network.target)
    assert run(tmp_path, camera + camera_main(network), [tmp_path / "tiny"], network.target) == "1"


def test_cmake_compiles_it_with_the_targets_flags(tmp_path: Path) -> None:
    need("cmake")
    directory, network = library(tmp_path)
    call(["cmake", "-S", directory, "-B", tmp_path / "build", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"])
    commands = (tmp_path / "build" / "compile_commands.json").read_text()
    assert " ".join(network.target.c_flags) in commands


def with_input(network: Network, quantization: Quantization, preprocess: str) -> Network:
    """The network with another quantisation of its input; the C of its kernels is not run."""
    old = network.input
    tensors = {**network.graph.tensors, old.name: Tensor(old.name, old.shape, old.dtype, quantization)}
    graph = dataclasses.replace(network.graph, tensors=tensors)
    return dataclasses.replace(network, graph=graph, options={"preprocess": preprocess})


@pytest.mark.parametrize("preprocess", PREPROCESSING)
@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point"),
    [("int8", 1 / 127.5, -1), ("int8", 1.0, 0), ("int8", 0.0186584, -14), ("uint8", 1.0, 0), ("uint8", 1 / 128, 128)],
)
def test_pixels_become_what_python_makes_of_them(
    preprocess: str, dtype: DType, scale: float, zero_point: int, tmp_path: Path
) -> None:
    network = with_input(make_network(dtype), Quantization((scale,), (zero_point,)), preprocess)
    write(render(network), tmp_path / "tiny")
    main = """
        #include <stdio.h>
        #include "tiny_image.h"
        int main(void)
        {
            uint8_t pixels[TINY_INPUT_ELEMENTS];
            TYPE input[TINY_INPUT_ELEMENTS];
            for (int level = 0; level < 256; level += 16) {
                for (size_t i = 0; i < TINY_INPUT_ELEMENTS; i++) {
                    pixels[i] = (uint8_t)((size_t)level + i / 3);
                }
                tiny_input_from_pixels(pixels, input);
                fwrite(input, 1, sizeof input, stdout);
            }
            return 0;
        }
    """.replace("TYPE", f"{dtype}_t")
    source = tmp_path / "main.c"
    source.write_text(main)
    include = f"-I{tmp_path / 'tiny' / 'include'}"
    call(["gcc", *STRICT, include, source, "-o", tmp_path / "program"])
    levels = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(16, 4, 4, 3)
    expected = quantize_pixels(levels, network.input, preprocess)
    printed = subprocess.run([tmp_path / "program"], capture_output=True, check=True).stdout
    assert np.frombuffer(printed, dtype).tolist() == expected.reshape(-1).tolist()


@pytest.mark.parametrize(("dtype", "scale", "zero_point"), [("int8", 0.5, -3), ("uint8", 0.1, 130), ("int8", 3e-5, 0)])
def test_real_numbers_become_what_python_makes_of_them(
    dtype: DType, scale: float, zero_point: int, tmp_path: Path
) -> None:
    network = with_input(make_network(dtype), Quantization((float(np.float32(scale)),), (zero_point,)), "x/255")
    write(render(network), tmp_path / "tiny")
    ties = np.arange(-300, 300, 0.5) * scale
    values = np.concatenate(
        [ties, np.nextafter(ties, 1), np.nextafter(ties, -1), [0.0, -0.0, 3e38, -3e38, np.inf, -np.inf]]
    )
    reals = values.astype(np.float32)
    reals.tofile(tmp_path / "reals.bin")
    main = """
        #include <stdio.h>
        #include "tiny_image.h"
        int main(int count, char **arguments)
        {
            FILE *file = fopen(arguments[count - 1], "rb");
            float value;
            while (file != NULL && fread(&value, sizeof value, 1, file) == 1) {
                printf("%d\\n", (int)tiny_quantize_input(value));
            }
            printf("%a %a", (double)tiny_dequantize_output(0), (double)tiny_dequantize_output(100));
            return 0;
        }
    """
    source = tmp_path / "main.c"
    source.write_text(main)
    include = f"-I{tmp_path / 'tiny' / 'include'}"
    sanitize = ["-fsanitize=undefined", "-fno-sanitize-recover=all"]
    call(["gcc", *STRICT, *sanitize, include, source, "-o", tmp_path / "program"])
    *printed, zero, hundred = call([tmp_path / "program", tmp_path / "reals.bin"]).split()
    low, high = (-128, 127) if dtype == "int8" else (0, 255)
    with np.errstate(over="ignore"):
        expected = np.clip(np.rint(reals / np.float32(scale)) + zero_point, low, high)
    assert [int(word) for word in printed] == expected.astype(int).tolist()
    assert network.output.quantization is not None
    output = np.float32(network.output.quantization.scale[0])
    middle = network.output.quantization.zero_point[0]
    assert [float.fromhex(zero), float.fromhex(hundred)] == [output * np.float32(q - middle) for q in (0, 100)]
