from __future__ import annotations

import os
from pathlib import Path

import pytest

from mbgen.errors import InputError
from mbgen.library import Library, render, write
from tests.support.tiny_network import make_network


def library(content: str = "one") -> Library:
    """What `render` gives, with another README."""
    rendered = render(make_network())
    return Library(rendered.name, dict(rendered.files) | {"README.md": content.encode()})


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_folder_with_its_parents(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "net"
    write(library(), target)
    assert snapshot(target) == library().files
    assert [path.name for path in target.parent.iterdir()] == ["net"]
    assert target.stat().st_mode & 0o777 == 0o777 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    write(library(), tmp_path / "net")
    assert snapshot(tmp_path / "net") == library().files


def test_an_older_library_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "net"
    write(render(make_network("int8", name="other")), target)
    write(library("two"), target)
    assert snapshot(target) == library("two").files
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_a_library_with_missing_files_is_replaced(tmp_path: Path) -> None:
    write(library(), tmp_path / "net")
    (tmp_path / "net" / "src" / "tiny.c").unlink()
    write(library(), tmp_path / "net")
    assert snapshot(tmp_path / "net") == library().files


@pytest.mark.parametrize("prepared", [True, False])
def test_foreign_files_are_never_touched(prepared: bool, tmp_path: Path) -> None:
    target = tmp_path / "net"
    if prepared:
        write(library(), target)
    (target / "src" / "deep").mkdir(parents=True, exist_ok=True)
    for name in ("thesis.txt", "src/deep/main.c", ".git", "zz"):
        (target / name).write_text("mine")
    (target / "link").symlink_to(tmp_path, target_is_directory=True)
    before = snapshot(target)
    with pytest.raises(InputError) as caught:
        write(library("two"), target)
    assert str(caught.value) == (
        f"{target} holds files that mbgen did not write: .git, link, src/deep/main.c and 2 more. "
        "Move them away or give another folder with --output; nothing was changed"
    )
    assert snapshot(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


@pytest.mark.parametrize(
    "manifest",
    ["", "{}", "[]", "null", '{"generator": {"mbgen": "1"}}', '{"generator": {"gcc": "1"}, "files": []}', "\xff"],
)
def test_a_manifest_of_something_else_protects_its_folder(manifest: str, tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "manifest.json").write_text(manifest, encoding="latin-1")
    with pytest.raises(InputError, match=r"holds files that mbgen did not write: manifest\.json\. Move"):
        write(library(), tmp_path / "net")
    assert (tmp_path / "net" / "manifest.json").read_text(encoding="latin-1") == manifest


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    target = tmp_path / "net"
    target.write_text("mine")
    with pytest.raises(InputError) as caught:
        write(library(), target)
    assert str(caught.value) == f"cannot write the library to {target}: {target} is a file; give a folder with --output"
    assert target.read_text() == "mine"


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    target = tmp_path / "file" / "net"
    with pytest.raises(InputError) as caught:
        write(library(), target)
    assert str(caught.value) == (
        f"cannot write the library to {target}: {tmp_path / 'file'} is a file; give a folder with --output"
    )


def test_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(InputError) as caught:
        write(library(), tmp_path / "net")
    assert str(caught.value) == (
        f"cannot write the library to {tmp_path / 'net'}: Permission denied; give another folder with --output"
    )
    assert list(tmp_path.iterdir()) == []


class Crash(BaseException):
    """As a signal would raise it, anywhere."""


@pytest.mark.parametrize("after", range(16))
def test_a_crash_while_writing_leaves_the_old_library(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eleven files are written and two folders renamed; whichever of these fails, the folder is as it was."""
    target = tmp_path / "net"
    write(library("old"), target)
    steps = 0

    def crash_at(function: str) -> None:
        original = getattr(Path, function)

        def maybe(self: Path, *arguments: object) -> object:
            nonlocal steps
            steps += 1
            if steps == after + 1:
                raise Crash
            return original(self, *arguments)

        monkeypatch.setattr(Path, function, maybe)

    crash_at("write_bytes")
    crash_at("rename")
    if after < 13:
        with pytest.raises(Crash):
            write(library("new"), target)
        assert snapshot(target) == library("old").files
    else:
        write(library("new"), target)
        assert snapshot(target) == library("new").files
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "net").symlink_to("real", target_is_directory=True)
    write(library(), tmp_path / "net")
    assert (tmp_path / "net").is_symlink()
    assert snapshot(tmp_path / "real") == library().files


def test_the_working_folder_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net").mkdir()
    monkeypatch.chdir(tmp_path / "net")
    write(library(), Path())
    assert snapshot(tmp_path / "net") == library().files
