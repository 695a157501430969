"""Pixels from files, what a network's input holds for them, and every way in which they can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mbgen.errors import InputError
from mbgen.graph import Array, Quantization, Tensor
from mbgen.images import PREPROCESSING, load_pixels, load_samples, preprocess, quantize_pixels, synthetic_pixels

EVERY_PIXEL = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)


def save(path: Path, pixels: Array, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", EVERY_PIXEL.astype(float)),
        ("x/127.5-1", EVERY_PIXEL / 127.5 - 1),
        ("x/255", EVERY_PIXEL / 255),
        ("x-128", EVERY_PIXEL - 128.0),
        ("(x-128)/128", (EVERY_PIXEL - 128.0) / 128),
        ("imagenet", (EVERY_PIXEL / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]),
    ],
)
def test_each_preprocessing_is_what_its_name_says(name: str, expected: Array) -> None:
    real = preprocess(EVERY_PIXEL, name)
    assert real.dtype == np.float32
    np.testing.assert_allclose(real, expected, atol=1e-6)


def test_all_preprocessings_are_tested_above() -> None:
    assert set(PREPROCESSING) == {"none", "x/127.5-1", "x/255", "x-128", "(x-128)/128", "imagenet"}


def test_unknown_preprocessing() -> None:
    with pytest.raises(InputError) as error:
        preprocess(EVERY_PIXEL, "x/256")
    assert str(error.value) == (
        "there is no preprocessing named 'x/256'; choose one of none, x/127.5-1, x/255, x-128, (x-128)/128, imagenet"
    )


def test_preprocessing_for_other_channels() -> None:
    with pytest.raises(InputError) as error:
        preprocess(EVERY_PIXEL[..., :1], "imagenet")
    assert str(error.value) == "preprocessing 'imagenet' is for 3 channels, but the network takes 1"


def input_tensor(dtype: str, scale: float, zero_point: int) -> Tensor:
    quantization = Quantization((float(np.float32(scale)),), (zero_point,))
    return Tensor("input", EVERY_PIXEL.shape, dtype, quantization)  # type: ignore[arg-type]


def test_known_models_take_pixels_almost_as_they_are() -> None:
    """The visual wake words model takes x - 128, TensorFlow's uint8 models the pixel itself (data README)."""
    int8 = quantize_pixels(EVERY_PIXEL, input_tensor("int8", 1 / 255, -128), "x/255")
    np.testing.assert_array_equal(int8, EVERY_PIXEL.astype(int) - 128)
    assert int8.dtype == np.int8
    uint8 = quantize_pixels(EVERY_PIXEL, input_tensor("uint8", 1 / 128, 128), "(x-128)/128")
    np.testing.assert_array_equal(uint8, EVERY_PIXEL)
    assert uint8.dtype == np.uint8


def test_float_input_holds_real_values() -> None:
    tensor = Tensor("input", EVERY_PIXEL.shape, "float32")
    np.testing.assert_array_equal(quantize_pixels(EVERY_PIXEL, tensor, "x/255"), preprocess(EVERY_PIXEL, "x/255"))


def test_halves_go_to_even_and_what_is_too_large_saturates() -> None:
    halves = quantize_pixels(EVERY_PIXEL, input_tensor("int8", 2.0, 0), "none")
    assert halves.reshape(-1, 3)[[1, 3, 5, 253, 254, 255], 0].tolist() == [0, 2, 2, 126, 127, 127]
    assert quantize_pixels(EVERY_PIXEL, input_tensor("int8", 2.0, 0), "none").max() == 127
    low = quantize_pixels(EVERY_PIXEL, input_tensor("uint8", 1.0, 0), "x-128")
    assert (low.min(), low.max()) == (0, 127)


def test_folder_is_read_in_the_order_of_names_with_subfolders(tmp_path: Path) -> None:
    pixels = synthetic_pixels(3, 8, 8, 3)
    save(tmp_path / "b" / "z.PNG", pixels[0])
    save(tmp_path / "a.bmp", pixels[1])
    save(tmp_path / "b" / "y.png", pixels[2])
    (tmp_path / "notes.txt").write_text("no image")
    names, loaded = load_pixels(tmp_path, 8, 8, 3)
    assert names == ["a.bmp", "b/y.png", "b/z.PNG"]
    np.testing.assert_array_equal(loaded, pixels[[1, 2, 0]])
    assert loaded.dtype == np.uint8


def test_limit_takes_images_at_even_distances(tmp_path: Path) -> None:
    for label in "abc":
        for index in range(3):
            save(tmp_path / label / f"{index}.png", synthetic_pixels(1, 8, 8, 3)[0])
    assert load_pixels(tmp_path, 8, 8, 3, limit=3)[0] == ["a/0.png", "b/0.png", "c/0.png"]
    assert len(load_pixels(tmp_path, 8, 8, 3, limit=20)[0]) == 9


def test_one_image_of_the_right_size_is_used_as_it_is(tmp_path: Path) -> None:
    pixels = synthetic_pixels(1, 6, 10, 3)
    file = save(tmp_path / "one.png", pixels[0])
    names, loaded = load_pixels(file, 6, 10, 3)
    assert names == ["one.png"]
    np.testing.assert_array_equal(loaded, pixels)


def test_other_sizes_are_cut_at_the_centre_and_resized(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200  # the centred square
    from_wide = load_pixels(save(tmp_path / "wide.png", wide), 10, 10, 3)[1]
    np.testing.assert_array_equal(from_wide, np.full((1, 10, 10, 3), 200))
    from_tall = load_pixels(save(tmp_path / "tall.png", wide.transpose(1, 0, 2)), 40, 40, 3)[1]
    np.testing.assert_array_equal(from_tall, np.full((1, 40, 40, 3), 200))
    in_proportion = load_pixels(tmp_path / "wide.png", 5, 15, 3)[1]
    assert in_proportion[0, 2, [0, 7, 14], 0].tolist() == [0, 200, 0]


def test_resizing_is_bilinear(tmp_path: Path) -> None:
    ramp = np.repeat(np.arange(0, 160, 10, dtype=np.uint8)[np.newaxis, :, np.newaxis], 16, axis=0).repeat(3, axis=2)
    file = save(tmp_path / "ramp.png", ramp)
    expected = Image.fromarray(ramp).resize((8, 8), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(load_pixels(file, 8, 8, 3)[1][0], np.asarray(expected))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_other_colour_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "jpg" if mode == "CMYK" else "png"
    file = save(tmp_path / f"image.{suffix}", np.full((4, 4, 3), 255, np.uint8), mode)
    assert load_pixels(file, 4, 4, 3)[1].tolist() == np.full((1, 4, 4, 3), 255).tolist()


def test_colour_becomes_grey_for_one_channel(tmp_path: Path) -> None:
    file = save(tmp_path / "grey.png", np.full((4, 4, 3), (255, 0, 0), np.uint8))
    assert load_pixels(file, 4, 4, 1)[1].tolist() == np.full((1, 4, 4, 1), 76).tolist()


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_arrays_of_pixels(tmp_path: Path, suffix: str) -> None:
    pixels, file = synthetic_pixels(5, 8, 8, 3), tmp_path / f"images.{suffix}"
    if suffix == "npy":
        np.save(file, pixels)
    else:
        np.savez(file, anything=pixels)
    names, loaded = load_pixels(file, 8, 8, 3)
    assert names == [f"images.{suffix}[{index}]" for index in range(5)]
    np.testing.assert_array_equal(loaded, pixels)
    assert load_pixels(file, 8, 8, 3, limit=2)[0] == [f"images.{suffix}[0]", f"images.{suffix}[2]"]


def test_calibration_samples(tmp_path: Path) -> None:
    pixels, real = synthetic_pixels(3, 8, 8, 3), np.linspace(-3, 3, 192, dtype=np.float32).reshape(1, 8, 8, 3)
    np.save(tmp_path / "pixels.npy", pixels)
    np.savez(tmp_path / "real.npz", real)
    save(tmp_path / "folder" / "image.png", pixels[0])
    np.testing.assert_array_equal(
        load_samples(tmp_path / "pixels.npy", 8, 8, 3, "x/255", limit=2), preprocess(pixels[:2], "x/255")
    )
    np.testing.assert_array_equal(load_samples(tmp_path / "real.npz", 8, 8, 3, None), real)
    np.testing.assert_array_equal(
        load_samples(tmp_path / "folder", 8, 8, 3, "x/127.5-1"), preprocess(pixels[:1], "x/127.5-1")
    )


def test_synthetic_images_are_varied_and_always_the_same() -> None:
    pixels = synthetic_pixels(4, 96, 64, 3)
    np.testing.assert_array_equal(pixels, synthetic_pixels(4, 96, 64, 3))
    assert not np.array_equal(pixels, synthetic_pixels(4, 96, 64, 3, seed=1))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (4, 96, 64, 3)
    assert pixels.min(axis=(1, 2, 3)).tolist() == [0] * 4
    assert pixels.max(axis=(1, 2, 3)).tolist() == [255] * 4
    signed = pixels.astype(int)
    neighbours = np.abs(np.diff(signed, axis=1)).mean()
    assert 1 < neighbours < np.abs(signed - np.roll(signed, 31, axis=1)).mean() / 2  # shapes, and some noise
    assert np.abs(signed[0] - signed[1]).mean() > 30


def refused(path: Path, channels: int = 3) -> str:
    with pytest.raises(InputError) as error:
        load_pixels(path, 8, 8, channels)
    return str(error.value)


def test_path_that_does_not_exist(tmp_path: Path) -> None:
    assert refused(tmp_path / "nothing") == f"{tmp_path / 'nothing'}: there is no such file or folder"


def test_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    assert refused(tmp_path) == f"{tmp_path}: there is no image in this folder; mbgen reads .bmp, .jpeg, .jpg, .png"


def test_file_that_is_no_image(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "broken.jpg"
    file.parent.mkdir()
    file.write_bytes(b"no image")
    assert refused(tmp_path) == f"{file}: this image cannot be read (cannot identify image file {str(file)!r})"


def test_truncated_image(tmp_path: Path) -> None:
    file = save(tmp_path / "cut.jpg", synthetic_pixels(1, 64, 64, 3)[0])
    file.write_bytes(file.read_bytes()[:900])
    assert refused(file).startswith(f"{file}: this image cannot be read (")


def test_channels_that_no_image_has(tmp_path: Path) -> None:
    assert refused(tmp_path, channels=2) == (
        "the network takes 2 channels, but images have 1 or 3; give a .npy or .npz array"
    )


def test_array_of_another_type(tmp_path: Path) -> None:
    file = tmp_path / "float.npy"
    np.save(file, np.zeros((1, 8, 8, 3)))
    assert refused(file) == f"{file}: the array holds float64; pixels are uint8, 0 to 255"


@pytest.mark.parametrize("shape", [(8, 8, 3), (1, 3, 8, 8), (0, 8, 8, 3)])
def test_array_of_another_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    file = tmp_path / "shape.npy"
    np.save(file, np.zeros(shape, np.uint8))
    assert refused(file) == f"{file}: the array has shape {list(shape)}; the network needs [n, 8, 8, 3]"
    np.save(file, np.zeros(shape, np.float32))
    with pytest.raises(InputError) as error:
        load_samples(file, 8, 8, 3, None)
    assert str(error.value) == f"{file}: the array has shape {list(shape)}; the network needs [n, 8, 8, 3]"


def test_archive_of_several_arrays(tmp_path: Path) -> None:
    file = tmp_path / "two.npz"
    np.savez(file, a=np.zeros(1), b=np.zeros(1))
    assert refused(file) == f"{file}: there are 2 arrays in this file; it must hold one, [n, h, w, c]"


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_damaged_pickled_and_missing_arrays(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"array.{suffix}"
    assert refused(file).startswith(f"{file}: this array cannot be read (")
    file.write_bytes(b"PK\x03\x04 cut off")
    assert refused(file).startswith(f"{file}: this array cannot be read (")
    np.savez(file, np.array([{}], object)) if suffix == "npz" else np.save(file, np.array([{}], object))
    assert refused(file) == (
        f"{file}: this array cannot be read (Object arrays cannot be loaded when allow_pickle=False)"
    )


def test_pixels_without_preprocessing(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        load_samples(tmp_path, 8, 8, 3, None)
    assert str(error.value) == (
        f"{tmp_path}: pixels need a preprocessing, the one the network was trained with; "
        "give --preprocess with one of none, x/127.5-1, x/255, x-128, (x-128)/128, imagenet"
    )


def test_shared_photographs_are_used_as_they_are(shared_data: Path) -> None:
    names, pixels = load_pixels(shared_data / "imagenet_dev", 224, 224, 3, limit=2)
    assert names[0] == "n01440764_tench.jpg"
    with Image.open(shared_data / "imagenet_dev" / names[0]) as image:
        np.testing.assert_array_equal(pixels[0], np.asarray(image.convert("RGB")))
