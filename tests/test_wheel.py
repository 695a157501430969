"""The wheel: what is in it, and that it works where there is no checkout."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip(sys.executable, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(REPOSITORY))
    (path,) = folder.glob("mbgen-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`mbgen` of a fresh environment with the wheel in it and the dependencies of this one in reach."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip(sys.executable, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    where = run(python, "-c", "import mbgen; print(mbgen.__file__)", cwd=folder)
    assert Path(where.strip()).is_relative_to(folder)
    return folder / "bin" / "mbgen"


def pip(python: str, *arguments: str) -> None:
    run(Path(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments, cwd=REPOSITORY)


def run(program: Path, *arguments: str, cwd: Path) -> str:
    done = subprocess.run([program, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_every_template_and_target(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "mbgen", "targets", "templates"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    data = ("targets/", "templates/")
    expected = {f"mbgen/data/{name}" if name.startswith(data) else name for name in tracked}
    assert expected <= names
    assert {name for name in names if not name.startswith("mbgen/")} == {
        name for name in names if name.startswith("mbgen-") and ".dist-info/" in name
    }


def test_an_installed_wheel_compiles_and_verifies(installed: Path, tmp_path: Path) -> None:
    shown = json.loads(run(installed, "targets", "--json", cwd=tmp_path))
    assert "cortex-m55" in {target["name"] for target in shown["targets"]}
    small = ("--target", "host", "--alpha", "0.25", "--resolution", "32", "--classes", "10")
    run(installed, "compile", *small, "--output", "small", cwd=tmp_path)
    run(installed, "verify", "small", cwd=tmp_path)
