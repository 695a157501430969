"""A picture of the size that a library takes, as C or as a file: a made-up one, or any that Pillow reads.

    python picture.py LIBRARY OUTPUT [PICTURE]

LIBRARY is the folder that `mbgen compile` wrote. OUTPUT is a .c file, which gets the array NAME_picture, or a picture.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from PIL import Image

from mbgen.images import load_pixels, synthetic_pixels


def main(library: Path, output: Path, picture: Path | None) -> None:
    """Write the picture."""
    manifest = json.loads((library / "manifest.json").read_text(encoding="utf-8"))
    _, height, width, channels = manifest["input"]["shape"]
    if picture is None:
        (pixels,) = synthetic_pixels(1, height, width, channels, seed=1)
    else:
        (pixels,) = load_pixels(picture, height, width, channels)[1]
    if output.suffix != ".c":
        Image.fromarray(pixels.squeeze()).save(output)
        return
    name, rows = manifest["name"], pixels.reshape(height, width * channels)
    lines = "".join(f"    {', '.join(map(str, row))},\n" for row in rows.astype(int).tolist())
    output.write_text(
        f"/* {height} rows of {width} pixels of {channels} bytes, made by picture.py. */\n"
        f'#include <stdint.h>\n\n#include "{name}.h"\n\n'
        f"extern const uint8_t {name}_picture[{name.upper()}_INPUT_ELEMENTS];\n\n"
        f"const uint8_t {name}_picture[{name.upper()}_INPUT_ELEMENTS] = {{\n{lines}}};\n",
        encoding="ascii",
    )


if __name__ == "__main__":
    given = [Path(word) for word in sys.argv[1:]]
    main(given[0], given[1], given[2] if len(given) > 2 else None)
