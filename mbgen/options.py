"""What the user asked `mbgen compile` for. Knows nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Optimize = Literal["speed", "ram", "flash"]
PackageKind = Literal["cmake", "zephyr", "arduino", "platformio", "esp-idf", "cmsis-pack"]


@dataclass(frozen=True)
class CompileOptions:
    """The command line of `mbgen compile`, checked for form only; None means not given."""

    target: str
    output: Path | None = None
    model: Path | None = None  # .onnx or .tflite; None is the built-in MobileNet V1
    alpha: float = 1.0
    resolution: int | None = None
    rho: float | None = None
    classes: int | None = None
    softmax: bool = True
    weights: Path | None = None  # .npz, .safetensors or Keras .h5, for the built-in description
    dtype: str | None = None  # "int8" or "float32"
    calibration: Path | None = None  # folder of images, or .npy / .npz
    preprocess: str | None = None  # name in mbgen.images.PREPROCESSING
    optimize: Optimize = "speed"
    ram: int | None = None  # bytes
    flash: int | None = None  # bytes
    name: str | None = None  # prefix of the C symbols
    threads: int = 1  # that run one inference
    records: Path | None = None  # folder of schedule records, instead of those that ship
