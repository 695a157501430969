"""The excerpts of docs/generated-code.md are what the command on that page writes; --update-golden renews them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mbgen.library import render
from mbgen.options import CompileOptions
from mbgen.pipeline import compile_model

PAGE = Path(__file__).resolve().parents[2] / "docs" / "generated-code.md"
LINE = "mbgen compile --target cortex-m0plus --alpha 0.25 --resolution 32 --classes 2 --optimize ram --name small"
OPTIONS = CompileOptions(
    target="cortex-m0plus", alpha=0.25, resolution=32, classes=2, optimize="ram", name="small"
)  # as LINE says
BLOCK = re.compile(r"<!-- (\S+): ([^>]+) -->\n```c\n(.*?)```", re.DOTALL)


def excerpt(text: str, start: str) -> str:
    """The definition that starts so, with the comment above it."""
    lines = text.splitlines()
    found = [i for i, line in enumerate(lines) if line.startswith(start)]
    first = next(i for i in found if "{" in "".join(lines[i : i + 4]).split(";")[0])
    last = (
        first if lines[first].endswith("};") else next(i for i in range(first, len(lines)) if lines[i] in ("}", "};"))
    )
    if lines[first - 1].endswith("*/"):
        first = next(i for i in range(first - 1, -1, -1) if lines[i].startswith("/*"))
    return "".join(f"{line}\n" for line in lines[first : last + 1])


@pytest.mark.slow
def test_the_excerpts_are_what_is_written(update_golden: bool) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert f"\n    {LINE}\n" in page
    files = render(compile_model(OPTIONS, lambda *_: None)).files

    def renewed(block: re.Match[str]) -> str:
        path, start, _ = block.groups()
        return f"<!-- {path}: {start} -->\n```c\n{excerpt(files[path].decode(), start)}```"

    expected = BLOCK.sub(renewed, page)
    if update_golden:
        PAGE.write_text(expected, encoding="utf-8")
        page = expected
    assert len(BLOCK.findall(page)) == 5
    assert page == expected, "see what changed, then pytest tests/library --update-golden"
