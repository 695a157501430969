"""The page in a browser: it draws, in both colour schemes and at any width, and says nothing on the console."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from mbgen.report import render_report
from tests.report.test_page import measured

pytestmark = pytest.mark.slow

PAPER = {"light": (255, 255, 255), "dark": (20, 23, 29)}
SERIES_1 = {"light": (37, 99, 168), "dark": (106, 167, 238)}


@pytest.fixture(scope="module")
def chromium() -> str:
    program = shutil.which("chromium")
    if program is None:
        if os.environ.get("MBGEN_REQUIRE_TOOLS"):
            pytest.fail("chromium is not installed")
        pytest.skip("chromium is not installed")
    return program


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [500, 1440])  # headless windows are no narrower; 360 is checked inside a frame
def test_page_is_drawn(chromium: str, scheme: str, width: int, tmp_path: Path) -> None:
    printed, picture = shoot(chromium, render_report(measured()), scheme, width, tmp_path)
    assert "CONSOLE" not in printed
    assert picture.width == width
    colors = {color for _, color in picture.getcolors(picture.width * picture.height) or []}
    assert picture.getpixel((2, 2)) == PAPER[scheme]
    assert SERIES_1[scheme] in colors


def test_page_fits_a_phone(chromium: str, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_bytes(render_report(measured()))
    frame = (
        '<iframe id="phone" src="report.html" width="360" height="800"></iframe><script>'
        "phone.onload = () => { const page = phone.contentDocument.documentElement;"
        " document.title = page.scrollWidth <= page.clientWidth ? 'fits' : 'wider'; }</script>"
    )
    (tmp_path / "frame.html").write_text(f"<title></title>{frame}")
    options = ["--allow-file-access-from-files", "--virtual-time-budget=3000", "--dump-dom"]
    dom = run(chromium, [*options, (tmp_path / "frame.html").as_uri()], tmp_path)
    assert "<title>fits</title>" in dom


def shoot(chromium: str, page: bytes, scheme: str, width: int, folder: Path) -> tuple[str, Image.Image]:
    (folder / "report.html").write_bytes(page)
    dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    options = [f"--window-size={width},4000", "--hide-scrollbars", f"--screenshot={folder / 'page.png'}", *dark]
    printed = run(chromium, [*options, (folder / "report.html").as_uri()], folder)
    return printed, Image.open(folder / "page.png").convert("RGB")


def run(chromium: str, arguments: list[str], folder: Path) -> str:
    fixed = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}",
    ]
    done = subprocess.run(
        [chromium, *fixed, *arguments], capture_output=True, text=True, errors="replace", timeout=120, check=True
    )
    return done.stdout + done.stderr
