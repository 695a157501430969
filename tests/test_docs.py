"""The pages for people: commands parse, targets exist, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mbgen.cli import EXISTING_DIRECTORY, EXISTING_FILE, EXISTING_PATH, cli, main, refuse_contradictions
from mbgen.target import target_names
from tests.support.compilers import STRICT, call, need

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("examples/**/*.md")])
HELP = {f"mbgen {name} --help": command.help or "" for name, command in cli.commands.items()} | {
    "mbgen --help": cli.help or ""
}
TEXTS = {page.relative_to(REPOSITORY).as_posix(): page.read_text(encoding="utf-8") for page in PAGES} | HELP


def command_lines(text: str) -> list[str]:
    """The indented lines that call mbgen."""
    return re.findall(r"^ {2,}(mbgen .*)$", text, re.MULTILINE)


COMMAND_LINES = [(where, line) for where, text in TEXTS.items() for line in command_lines(text)]


def test_there_are_pages_and_examples() -> None:
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/how-it-works.md", "docs/decisions.md"} <= set(TEXTS)
    assert {where for where, _ in COMMAND_LINES} >= {"README.md", *HELP}


@pytest.mark.parametrize(("where", "line"), COMMAND_LINES)
def test_a_quoted_command_parses(where: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (EXISTING_FILE, EXISTING_DIRECTORY, EXISTING_PATH):
        monkeypatch.setattr(path, "exists", False)
    name, *arguments = shlex.split(line)[1:]
    context = cli.commands[name].make_context(name, arguments)
    refuse_contradictions(context, context.params.get("model"))
    if "target" in context.params:
        assert context.params["target"] in target_names(), where


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_a_relative_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https://)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_a_quoted_make_target_exists(page: Path) -> None:
    makefiles = [REPOSITORY / "Makefile", REPOSITORY / "examples" / "boards" / "firmware.mk"]
    rules = "\n".join(file.read_text(encoding="utf-8") for file in makefiles)
    made = set(re.findall(r"^([a-z-]+):", rules, re.MULTILINE))
    quoted = set(re.findall(r"(?:^ {2,}|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert quoted <= made


def test_the_targets_page_lists_every_target() -> None:
    rows = re.findall(r"^\| (`.*?) \|", TEXTS["docs/targets.md"], re.MULTILINE)
    assert sorted(re.findall(r"`([a-z0-9-]+)`", " ".join(rows))) == sorted(target_names())


@pytest.mark.parametrize(
    ("page", "name"), [("README.md", "person"), ("docs/c-interface.md", "name"), ("docs/start.md", "mobilenet")]
)
def test_quoted_c_compiles_with_a_library_of_that_name(page: str, name: str, tmp_path: Path) -> None:
    need("gcc")
    library = tmp_path / "library"
    network = ("--alpha", "0.25", "--resolution", "32", "--classes", "2", "--dtype", "int8")
    assert main(["compile", "--target", "host", *network, "--name", name, "--output", str(library)]) == 0
    blocks = re.findall(r"^```c\n(.*?)^```$", TEXTS[page], re.MULTILINE | re.DOTALL)
    assert blocks
    source = tmp_path / "quoted.c"
    source.write_text("\n".join([f'#include "{name}.h"', *blocks]))
    call(["gcc", "-std=c99", *STRICT, "-fsyntax-only", "-I", library / "include", source])
