from __future__ import annotations

import dataclasses
import html
import json
import re
from typing import Any

import pytest

from mbgen.library import ModelInfo, render
from mbgen.report import Facts, render_report
from mbgen.report.facts import Code, Costs, HotLoop, LayerCost, Noise, Trials
from tests.support.tiny_network import make_network

HOSTILE = "<script>alert(1)</script></pre>&\"'"


def manifest(dtype: Any = "int8") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(render(make_network(dtype)).files["manifest.json"])
    return document


def measured() -> Facts:
    """Facts of every kind."""
    document = manifest()
    layers = [layer for layer in document["layers"] if layer["macs_executed"]]
    costs = tuple(
        LayerCost(layer["name"], layer["macs_executed"], 2.0 * layer["macs_executed"], 0.25) for layer in layers
    )
    found = {
        "passed": True,
        "first_difference": None,
        "inputs": 3,
        "reference": "the definition",
        "runtime": "a runtime 1.0",
        "layers": [{"name": layer["name"], "op": layer["op"], "verdict": "equal"} for layer in document["layers"]],
    }
    kernel = layers[0]["kernel"]
    return Facts(
        manifest=document,
        costs=Costs("model cycles in the emulator", "cycles~", costs, sum(cost.cost for cost in costs)),
        verification=found,
        hot_loops=[
            HotLoop(
                kernel,
                layers[0]["name"],
                "record 0123abcd",
                Code("gemm mr=2", "for (;;) {}", "subs r0, #1"),
                Code("gemm mr=1", "while (1) {}", "adds r0, #1"),
            )
        ],
        trials=[Trials(kernel, "record 0123abcd", "cycles~", 5, ((1, 8.0), (3, 4.0), (4, 6.0)), 8.0)],
        noise=[Noise(layers[0]["name"], 31.5)],
        code_bytes={kernel: 128},
        peak_macs=2.0,
        bytes_per_cycle=4.0,
    )


def sections(page: bytes) -> list[str]:
    return re.findall(r'<section id="([^"]+)"', page.decode())


def test_page_of_a_library_that_was_not_measured() -> None:
    page = render_report(Facts(manifest()))
    assert sections(page) == ["network", "memory", "macs", "flash", "ranges", "numerics", "layers", "provenance"]
    assert "To prove it: mbgen verify." in page.decode()


def test_page_of_a_float_library_has_no_ranges() -> None:
    assert "ranges" not in sections(render_report(Facts(manifest("float32"))))


def test_page_of_everything() -> None:
    facts = measured()
    page = render_report(facts)
    every = "network memory macs time roofline flash tuning tuning-1 loops ranges noise numerics layers provenance"
    assert sections(page) == every.split()
    text = page.decode()
    assert "5 trials in cycles~: the default schedule takes 8, the best 4." in text
    assert "<td>50.0%</td>" in text
    assert text.index("while (1) {}") > text.index("for (;;) {}")
    assert f"{facts.hot_loops[0].kernel} by default: gemm mr=1, assembly" in text
    assert "(25% of peak)" in text
    assert "Every layer passed: 3 inputs against the definition, runtime a runtime 1.0." in text


def test_charts_of_single_kernels_are_not_among_the_links() -> None:
    text = render_report(measured()).decode()
    assert '<a href="#tuning">' in text
    assert '<a href="#tuning-1">' not in text


@pytest.mark.parametrize(
    ("streamed", "words"), [(0, "The arena"), (1, "The first layer runs row by row"), (2, "The first 2 layers run row")]
)
def test_how_many_layers_run_row_by_row_is_said(streamed: int, words: str) -> None:
    described = manifest()
    for index, layer in enumerate(described["layers"]):
        layer["streamed"] = index < streamed
    text = render_report(Facts(described)).decode()
    memory = text[text.index('<section id="memory">') :]
    assert memory[memory.index("<p>") + 3 :].startswith(words)


def test_page_says_what_failed() -> None:
    facts = measured()
    found = {**(facts.verification or {}), "passed": False, "first_difference": "conv_1"}
    text = render_report(dataclasses.replace(facts, verification=found)).decode()
    assert "<b>failed</b>" in text
    assert "The first layer that differs is conv_1" in text


def test_page_needs_nothing_beside_it() -> None:
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", render_report(measured()).decode())
    assert "http" not in text
    assert not re.search(r"<(link|img|iframe)\b(?![^>]*data:)", text)


def test_colours_are_the_page_s() -> None:
    text = render_report(measured()).decode()
    assert "var(--series-1)" in text
    assert "#0303" not in text
    assert "#010101" not in text


def test_same_facts_give_the_same_bytes() -> None:
    assert render_report(measured()) == render_report(measured())


def test_hostile_names_are_escaped() -> None:
    info = ModelInfo(source="tflite", sha256="0" * 64, weights=HOSTILE)
    document = json.loads(render(dataclasses.replace(make_network("int8"), model=info)).files["manifest.json"])
    document["layers"][0]["name"] = document["peak_layer"] = HOSTILE
    text = render_report(Facts(document)).decode()
    assert "<script>alert" not in text
    assert html.escape("<script>alert(1)</script>", quote=False) in text


def test_facts_are_inside_as_json() -> None:
    facts = measured()
    match = re.search(r'<script type="application/json" id="facts">(.*?)</script>', render_report(facts).decode(), re.S)
    assert match is not None
    inside = json.loads(match[1])
    assert inside["manifest"] == facts.manifest
    assert inside["costs"]["unit"] == "cycles~"


def test_best_so_far_goes_on_to_the_last_trial() -> None:
    assert Trials("kernel", "default", "cycles~", 9, ((1, 3.0), (2, 4.0), (5, 2.0)), 3.0).best == (
        (1, 3.0),
        (5, 2.0),
        (9, 2.0),
    )
