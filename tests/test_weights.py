"""Weights from all three formats are the same weights, and everything that does not fit is said in words."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from mbgen.errors import InputError
from mbgen.graph import Array
from mbgen.mobilenet import MobileNetV1, random_weights, weight_shapes
from mbgen.passes.batch_norm import fold_batch_norm
from mbgen.weights import load_weights

NET = MobileNetV1(0.25, 32, classes=5)


def with_batch_norm(weights: Mapping[str, Array], keep_bias: bool = False) -> dict[str, Array]:
    """The same names with every convolution's bias replaced by a made-up normalisation."""
    random = np.random.default_rng(11)
    arrays = dict(weights)
    for name, bias in weights.items():
        layer, _, role = name.partition(".")
        if role == "bias" and layer != "dense_1":
            if not keep_bias:
                del arrays[name]
            for part in ("gamma", "beta", "mean"):
                arrays[f"{layer}.{part}"] = random.normal(size=bias.shape).astype(np.float32)
            arrays[f"{layer}.variance"] = random.uniform(0.1, 2, bias.shape).astype(np.float32)
    return arrays


def folded(arrays: Mapping[str, Array], epsilon: float) -> dict[str, Array]:
    result = {}
    for name in weight_shapes(NET):
        layer, _, role = name.partition(".")
        if f"{layer}.gamma" in arrays:
            pair = fold_batch_norm(
                arrays[f"{layer}.weights"],
                arrays.get(f"{layer}.bias"),
                arrays[f"{layer}.gamma"],
                arrays[f"{layer}.beta"],
                arrays[f"{layer}.mean"],
                arrays[f"{layer}.variance"],
                epsilon,
                axis=2 if layer.startswith("depthwise") else 0,
            )
            result[name] = pair[role == "bias"]
        else:
            result[name] = arrays[name]
    return result


def save_npz(path: Path, arrays: Mapping[str, Array]) -> Path:
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    return path


def save_safetensors(path: Path, arrays: Mapping[str, Array]) -> Path:
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    return path


def save_keras(path: Path, arrays: Mapping[str, Array], epsilon: float | None = 0.001) -> Path:
    """As keras.applications.MobileNet is saved: layer names, HWIO kernels, model_config with the epsilons."""
    kinds = {"conv_1": "conv1", "dense_1": "conv_preds"}
    variables = {"mean": "moving_mean", "variance": "moving_variance"}
    normalised = []
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            ours, _, role = name.partition(".")
            layer = kinds.get(ours, ours.replace("depthwise", "conv_dw").replace("pointwise", "conv_pw"))
            variable = variables.get(role, role)
            if role == "weights":
                depthwise = layer.startswith("conv_dw")
                variable = "depthwise_kernel" if depthwise else "kernel"
                if depthwise:
                    array = array[..., np.newaxis]  # noqa: PLW2901
                elif array.ndim == 2:
                    array = array.T[np.newaxis, np.newaxis]  # noqa: PLW2901
                else:
                    array = array.transpose(1, 2, 3, 0)  # noqa: PLW2901
            elif role != "bias":
                layer += "_bn"
                normalised.append(layer)
            file[f"model_weights/{layer}/{layer}/{variable}:0"] = array
        file["optimizer_weights/conv1/m:0"] = np.zeros(3)
        layers = [
            {"class_name": "BatchNormalization", "config": {"name": layer, "epsilon": epsilon}} for layer in normalised
        ]
        if epsilon is not None:
            file.attrs["model_config"] = json.dumps({"config": {"layers": layers}})
    return path


def assert_same(loaded: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    assert list(loaded) == list(weight_shapes(NET))
    for name, array in loaded.items():
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


@pytest.mark.parametrize("save", [save_npz, save_safetensors, save_keras])
def test_folded_weights(tmp_path: Path, save: Callable[[Path, Mapping[str, Array]], Path]) -> None:
    weights = random_weights(NET)
    assert_same(load_weights(save(tmp_path / "weights", weights), NET), weights)


@pytest.mark.parametrize("keep_bias", [False, True])
@pytest.mark.parametrize("save", [save_npz, save_safetensors])
def test_batch_norm_is_folded(
    tmp_path: Path, save: Callable[[Path, Mapping[str, Array]], Path], keep_bias: bool
) -> None:
    arrays = with_batch_norm(random_weights(NET), keep_bias)
    file = save(tmp_path / "weights", {**arrays, "epsilon": np.array(1e-5)})
    assert_same(load_weights(file, NET), folded(arrays, 1e-5))


@pytest.mark.parametrize(("stated", "used"), [(0.001, 0.001), (0.01, 0.01), (None, 0.001)])
def test_keras_says_its_epsilon_or_means_the_default(tmp_path: Path, stated: float | None, used: float) -> None:
    arrays = with_batch_norm(random_weights(NET))
    assert_same(load_weights(save_keras(tmp_path / "weights.h5", arrays, stated), NET), folded(arrays, used))


def test_keras_weights_without_the_model_around_them(tmp_path: Path) -> None:
    arrays = with_batch_norm(random_weights(NET))
    whole = save_keras(tmp_path / "model.h5", arrays)
    with h5py.File(whole) as source, h5py.File(tmp_path / "weights.h5", "w") as target:
        for group in source["model_weights"]:
            source.copy(f"model_weights/{group}", target)
    assert_same(load_weights(tmp_path / "weights.h5", NET), folded(arrays, 0.001))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floating_point_types_become_float32(tmp_path: Path, dtype: type) -> None:
    weights: dict[str, Array] = {name: array.astype(dtype) for name, array in random_weights(NET).items()}
    expected = {name: array.astype(np.float32) for name, array in weights.items()}
    assert_same(load_weights(save_npz(tmp_path / "weights.npz", weights), NET), expected)


def refused(file: Path, net: MobileNetV1 = NET) -> str:
    """The message, without the file's path, which it must begin with."""
    with pytest.raises(InputError) as error:
        load_weights(file, net)
    path, _, message = str(error.value).partition(": ")
    assert path == str(file)
    return message


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (
            MobileNetV1(0.5, 32, 5),
            "conv_1.weights is 8x3x3x3, but alpha 0.5 with 5 classes needs 16x3x3x3: "
            "these weights are alpha 0.25; give --alpha 0.25",
        ),
        (
            MobileNetV1(0.25, 32, 1000),
            "dense_1.weights is 5x256, but alpha 0.25 with 1000 classes needs 1000x256: "
            "these weights are 5 classes; give --classes 5",
        ),
        (
            MobileNetV1(1.0, 32, 10),
            "conv_1.weights is 8x3x3x3, but alpha 1 with 10 classes needs 32x3x3x3: "
            "these weights are alpha 0.25 with 5 classes; give --alpha 0.25 --classes 5",
        ),
    ],
)
@pytest.mark.parametrize("save", [save_npz, save_keras])
def test_weights_of_another_alpha_or_class_count(
    tmp_path: Path, save: Callable[[Path, Mapping[str, Array]], Path], net: MobileNetV1, message: str
) -> None:
    assert refused(save(tmp_path / "weights", random_weights(NET)), net) == message


@pytest.mark.parametrize("alpha", [0.1, 0.35, 0.75, 1.0, 1.4])
def test_every_alpha_is_recognised(tmp_path: Path, alpha: float) -> None:
    file = save_npz(tmp_path / "weights.npz", random_weights(MobileNetV1(alpha, 32, 5)))
    assert refused(file).endswith(f": these weights are alpha {alpha:g}; give --alpha {alpha:g}")


@pytest.mark.parametrize("damaged", ["pointwise_3.weights", "dense_1.weights"])
def test_shapes_that_no_alpha_gives(tmp_path: Path, damaged: str) -> None:
    weights = random_weights(NET)
    shape = weights[damaged].shape
    weights[damaged] = weights[damaged][1:, ..., 0]
    shown = "x".join(map(str, weights[damaged].shape))
    assert refused(save_npz(tmp_path / "weights.npz", weights)) == (
        f"{damaged} is {shown}, but alpha 0.25 with 5 classes needs {'x'.join(map(str, shape))}: "
        "no alpha fits, the file holds another network"
    )


def test_missing_tensor(tmp_path: Path) -> None:
    weights = random_weights(NET)
    del weights["depthwise_7.weights"]
    assert refused(save_npz(tmp_path / "weights.npz", weights)) == (
        "there is no tensor depthwise_7.weights. MobileNet V1 needs one of shape 3x3x128: "
        "the file holds another network, or a part of one"
    )


def test_keras_model_without_its_classifier(tmp_path: Path) -> None:
    weights = {name: array for name, array in random_weights(NET).items() if not name.startswith("dense")}
    assert refused(save_keras(tmp_path / "no_top.h5", weights)) == (
        "there is no tensor dense_1.weights. MobileNet V1 needs one of shape 5x256: "
        "the file holds another network, or a part of one"
    )


def test_half_a_batch_norm(tmp_path: Path) -> None:
    arrays = with_batch_norm(random_weights(NET))
    file = save_npz(tmp_path / "weights.npz", arrays)
    assert refused(file) == (
        "there is no tensor epsilon. Batch normalisation needs that number: "
        "TensorFlow trains with 0.001, PyTorch with 0.00001"
    )
    del arrays["pointwise_2.mean"]
    assert refused(save_npz(tmp_path / "weights.npz", {**arrays, "epsilon": np.array(1e-3)})) == (
        "there is no tensor pointwise_2.mean. MobileNet V1 needs one of shape 32: "
        "the file holds another network, or a part of one"
    )


def test_batch_norm_of_another_width(tmp_path: Path) -> None:
    arrays = {**with_batch_norm(random_weights(NET)), "epsilon": np.array([1e-3])}
    arrays["conv_1.gamma"] = np.ones(9, np.float32)
    assert refused(save_npz(tmp_path / "weights.npz", arrays)) == (
        "conv_1.gamma is 9, but alpha 0.25 with 5 classes needs 8: no alpha fits, the file holds another network"
    )


def test_tensor_too_many(tmp_path: Path) -> None:
    weights = {**random_weights(NET), "pointwise_14.weights": np.zeros((8, 1, 1, 8), np.float32)}
    assert refused(save_npz(tmp_path / "weights.npz", weights)) == (
        "MobileNet V1 has no tensor pointwise_14.weights: the file holds another network, "
        "or names that mbgen does not know"
    )


def test_integers(tmp_path: Path) -> None:
    weights = {**random_weights(NET), "conv_1.weights": np.zeros((8, 3, 3, 3), np.int8)}
    assert refused(save_npz(tmp_path / "weights.npz", weights)) == (
        "conv_1.weights is int8; weights must be floating point"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite(tmp_path: Path, value: float) -> None:
    weights = random_weights(NET)
    weights["pointwise_1.bias"] = np.full(16, value)
    assert refused(save_npz(tmp_path / "weights.npz", weights)) == (
        "pointwise_1.bias holds a value that is no finite float32: the weights are damaged"
    )


def test_batch_norm_that_cannot_be(tmp_path: Path) -> None:
    arrays = with_batch_norm(random_weights(NET))
    arrays["depthwise_4.variance"][3] = -0.5
    assert refused(save_keras(tmp_path / "weights.h5", arrays)) == (
        "depthwise_4: batch normalisation divides by the root of variance + epsilon, which is -0.499 in one channel; "
        "it must be positive: the weights are damaged, or epsilon is not the one of the training"
    )


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert refused(tmp_path / "nothing.npz") == "the weights cannot be read: No such file or directory"
    assert refused(tmp_path) == "the weights cannot be read: Is a directory"


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 100, b"\x1f\x8b\x08\x00 some gzip"])
def test_another_kind_of_file(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "weights.npz"
    file.write_bytes(content)
    assert refused(file) == "this is not a weights file; mbgen reads .npz, .safetensors and Keras .h5"


@pytest.mark.parametrize(
    ("save", "kind"), [(save_npz, "NumPy .npz"), (save_safetensors, ".safetensors"), (save_keras, "Keras .h5")]
)
@pytest.mark.parametrize("part", [0.002, 0.3, 0.999])
def test_truncated_file(
    tmp_path: Path, save: Callable[[Path, Mapping[str, Array]], Path], kind: str, part: float
) -> None:
    file = save(tmp_path / "weights", random_weights(NET))
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * part)])
    assert refused(file).startswith(f"this {kind} file cannot be read; is it damaged or incomplete? (")


def test_pickled_arrays_are_not_unpickled(tmp_path: Path) -> None:
    file = tmp_path / "weights.npz"
    np.savez(file, np.array([{"a": 1}], object))
    assert refused(file) == (
        "this NumPy .npz file cannot be read; is it damaged or incomplete? "
        "(Object arrays cannot be loaded when allow_pickle=False)"
    )


def test_archive_of_something_else(tmp_path: Path) -> None:
    """A PyTorch file is a zip archive too."""
    import zipfile

    file = tmp_path / "model.pt"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
    assert refused(file) == (
        "this NumPy .npz file cannot be read; is it damaged or incomplete? (its entry 'archive/data.pkl' is no array)"
    )


def test_safetensors_of_a_type_numpy_does_not_have(tmp_path: Path) -> None:
    header = json.dumps({"conv_1.bias": {"dtype": "BF16", "shape": [8], "data_offsets": [0, 16]}}).encode()
    file = tmp_path / "weights.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    assert refused(file) == (
        "this .safetensors file cannot be read; is it damaged or incomplete? "
        "(it holds tensors of type BF16, which NumPy does not have)"
    )


def test_keras_layers_that_disagree(tmp_path: Path) -> None:
    file = save_keras(tmp_path / "weights.h5", with_batch_norm(random_weights(NET)))
    with h5py.File(file, "a") as keras:
        config = json.loads(keras.attrs["model_config"])
        config["config"]["layers"][0]["config"]["epsilon"] = 0.1
        keras.attrs["model_config"] = json.dumps(config)
    assert refused(file) == (
        "this Keras .h5 file cannot be read; is it damaged or incomplete? "
        "(its layers normalise with different epsilons: [0.001, 0.1])"
    )


def test_shared_imagenet_weights(shared_data: Path) -> None:
    file = shared_data / "weights" / "imagenet_v1_0.25_224_keras_float.h5"
    net = MobileNetV1(0.25, 224)
    weights = load_weights(file, net)
    assert {name: array.shape for name, array in weights.items()} == weight_shapes(net)
    assert refused(file, MobileNetV1(1.0, 224)) == (
        "conv_1.weights is 8x3x3x3, but alpha 1 with 1000 classes needs 32x3x3x3: "
        "these weights are alpha 0.25; give --alpha 0.25"
    )
