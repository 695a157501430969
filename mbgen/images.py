"""Pixels for a network: from image files, from NumPy files, or made up; and what the network's input holds for them.

Knows pixels, their preprocessing and an input tensor's quantisation. May not know layers or model files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from mbgen.errors import InputError
from mbgen.graph import INTEGER_RANGE, Array, Tensor

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png")
ARRAY_SUFFIXES = (".npy", ".npz")
IMAGE_MODES = {1: "L", 3: "RGB"}  # Pillow's name for what the network's channels mean


@dataclass(frozen=True)
class Preprocessing:
    """`(pixel / divisor - mean) / deviation` in float32; one mean and deviation for all channels, or one for each."""

    divisor: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)


PREPROCESSING: Mapping[str, Preprocessing] = MappingProxyType(
    {
        "none": Preprocessing(),
        "x/127.5-1": Preprocessing(127.5, mean=(1.0,)),  # Keras and TensorFlow MobileNets
        "x/255": Preprocessing(255.0),
        "x-128": Preprocessing(mean=(128.0,)),
        "(x-128)/128": Preprocessing(mean=(128.0,), deviation=(128.0,)),  # TensorFlow's uint8 models
        "imagenet": Preprocessing(255.0, mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225)),  # torchvision
    }
)


def preprocess(pixels: Array, name: str) -> Array:
    """Real input values, float32 `[n, h, w, c]`, of uint8 pixels. Raises InputError for a name PREPROCESSING lacks."""
    steps = PREPROCESSING.get(name)
    if steps is None:
        raise InputError(f"there is no preprocessing named {name!r}; choose one of {', '.join(PREPROCESSING)}")
    channels = pixels.shape[-1]
    if len(steps.mean) not in {1, channels}:
        raise InputError(f"preprocessing {name!r} is for {len(steps.mean)} channels, but the network takes {channels}")
    mean, deviation = np.array(steps.mean, np.float32), np.array(steps.deviation, np.float32)
    real: Array = (pixels.astype(np.float32) / np.float32(steps.divisor) - mean) / deviation
    return real


def quantize_pixels(pixels: Array, tensor: Tensor, name: str) -> Array:
    """What the network's input `tensor` holds for uint8 pixels `[n, h, w, c]` preprocessed as `name` says.

    Real values for a float32 input; otherwise real / scale + zero point, rounded half to even and saturated, in float32
    as ONNX's QuantizeLinear does it.
    """
    real = preprocess(pixels, name)
    if tensor.quantization is None:
        return real
    (scale,), (zero_point,) = tensor.quantization.scale, tensor.quantization.zero_point
    low, high = INTEGER_RANGE[tensor.dtype]
    quantized: Array = np.clip(np.rint(real / np.float32(scale)) + zero_point, low, high).astype(tensor.dtype)
    return quantized


def load_pixels(
    path: Path, height: int, width: int, channels: int, limit: int | None = None
) -> tuple[list[str], Array]:
    """Names and uint8 pixels `[n, height, width, channels]` of a folder of images, one image, or a .npy or .npz array.

    A folder is read with its subfolders in the order of the names. Of more than `limit` images, that many are taken at
    even distances, so that folders of classes are all represented. An image that has the network's size is used as it
    is; from others the largest centred part of the network's proportions is cut and resized (bilinear). Grey becomes
    colour and colour grey as the network needs; transparency is dropped.

    Raises InputError for a path without images, a file that is no image, or an array that does not fit.
    """
    if path.suffix.lower() in ARRAY_SUFFIXES:
        array = load_array(path)
        if array.dtype != np.uint8:
            raise InputError(f"{path}: the array holds {array.dtype}; pixels are uint8, 0 to 255")
        _check_shape(path, array, height, width, channels)
        chosen = _spread(len(array), limit)
        return [f"{path.name}[{index}]" for index in chosen], array[chosen]
    if channels not in IMAGE_MODES:
        raise InputError(f"the network takes {channels} channels, but images have 1 or 3; give a .npy or .npz array")
    found = _image_files(path)
    files = [found[index] for index in _spread(len(found), limit)]
    names = [file.relative_to(path).as_posix() if file != path else file.name for file in files]
    return names, np.stack([_load_image(file, height, width, channels) for file in files])


def load_samples(
    path: Path, height: int, width: int, channels: int, preprocessing: str | None, *, limit: int | None = None
) -> Array:
    """Calibration data, float32 `[n, height, width, channels]`.

    Pixels as `load_pixels` reads them, preprocessed; or a .npy or .npz array of float32 values, which are taken as they
    are for the network's real input. Raises InputError as both do, and for pixels without a preprocessing.
    """
    if path.suffix.lower() in ARRAY_SUFFIXES:
        array = load_array(path)
        if array.dtype == np.float32:
            _check_shape(path, array, height, width, channels)
            samples: Array = array[_spread(len(array), limit)]
            return samples
    if preprocessing is None:
        raise InputError(
            f"{path}: pixels need a preprocessing, the one the network was trained with; "
            f"give --preprocess with one of {', '.join(PREPROCESSING)}"
        )
    return preprocess(load_pixels(path, height, width, channels, limit)[1], preprocessing)


def synthetic_pixels(count: int, height: int, width: int, channels: int, seed: int = 0) -> Array:
    """Made-up images, uint8 `[count, height, width, channels]`, for a network whose weights are made up too.

    Random values on ever finer grids, blended bilinearly and each weaker than the one before, so that like photographs
    they have large shapes, edges and a little noise; every image spans 0 to 255. The same on every machine.
    """
    random = np.random.default_rng(seed)
    images = np.zeros((count, height, width, channels))
    for octave in range(1, math.ceil(math.log2(max(height, width, 2))) + 1):
        cells = 2**octave
        grid = random.random((count, cells + 1, cells + 1, channels))
        images += 0.6**octave * _enlarge(_enlarge(grid, 1, height), 2, width)
    low, high = images.min(axis=(1, 2, 3), keepdims=True), images.max(axis=(1, 2, 3), keepdims=True)
    pixels: Array = np.rint((images - low) / (high - low) * 255).astype(np.uint8)
    return pixels


def _enlarge(grid: Array, axis: int, size: int) -> Array:
    """Linear interpolation to `size` places along an axis that has fewer or as many cells."""
    place = np.arange(size) * (grid.shape[axis] - 1) / size
    cell = place.astype(int)
    part = (place - cell).reshape([-1 if index == axis else 1 for index in range(grid.ndim)])
    enlarged: Array = grid.take(cell, axis) * (1 - part) + grid.take(cell + 1, axis) * part
    return enlarged


def load_array(path: Path) -> Array:
    """The one array of a .npy or .npz file. Raises InputError for a file that holds none or several."""
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = [loaded] if isinstance(loaded, np.ndarray) else list(loaded.values())
    except Exception as error:  # on a damaged file NumPy raises nearly anything
        raise InputError(f"{path}: this array cannot be read ({error})") from error
    if len(arrays) != 1:
        raise InputError(f"{path}: there are {len(arrays)} arrays in this file; it must hold one, [n, h, w, c]")
    return np.asarray(arrays[0])


def _check_shape(path: Path, array: Array, height: int, width: int, channels: int) -> None:
    if array.ndim != 4 or array.shape[1:] != (height, width, channels) or not len(array):
        raise InputError(
            f"{path}: the array has shape {list(array.shape)}; the network needs [n, {height}, {width}, {channels}]"
        )


def _image_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path}: there is no such file or folder")
    files = [file for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()]
    if not files:
        raise InputError(f"{path}: there is no image in this folder; mbgen reads {', '.join(IMAGE_SUFFIXES)}")
    return sorted(files, key=lambda file: file.relative_to(path).as_posix())


def _spread(total: int, limit: int | None) -> list[int]:
    """Indices of at most `limit` of `total` items, at even distances."""
    count = total if limit is None else min(limit, total)
    return [index * total // count for index in range(count)]


def _load_image(path: Path, height: int, width: int, channels: int) -> Array:
    from PIL import Image

    try:
        with Image.open(path) as file:
            image = file.convert(IMAGE_MODES[channels])
    except Exception as error:  # on a damaged file Pillow raises nearly anything
        raise InputError(f"{path}: this image cannot be read ({error})") from error
    if image.size != (width, height):
        centre = image.crop(_centre(image.size, height, width))
        image = centre.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(height, width, channels)


def _centre(size: tuple[int, int], height: int, width: int) -> tuple[int, int, int, int]:
    """The largest centred box (left, top, right, bottom) with the proportions width : height, in whole pixels."""
    cut_width = min(size[0], max(size[1] * width // height, 1))
    cut_height = min(size[1], max(size[0] * height // width, 1))
    left, top = (size[0] - cut_width) // 2, (size[1] - cut_height) // 2
    return left, top, left + cut_width, top + cut_height
