"""The schedules of tiles with packed sums."""

from __future__ import annotations

from mbgen.schedules.packed import packed_depthwise_space, packed_space, packed_steps
from mbgen.schedules.space import Choice
from mbgen.target import load_target


def test_loads_are_ahead_where_two_instructions_issue_together() -> None:
    facts: dict[str, Choice] = {"m": 6, "n": 16, "k": 8, "finish": "line"}
    found = [packed_steps(packed_space(facts, load_target(name)).default) for name in ("cortex-m4", "cortex-m7")]
    assert [str(one) for one in found] == ["", ", loads ahead"]


def test_the_exact_form_has_no_steps_to_choose() -> None:
    space = packed_space({"m": 6, "n": 16, "k": 8, "finish": "exact"}, load_target("cortex-m4"))
    assert set(space.knobs) == {"loads"}


def test_a_depthwise_loads_words_in_pairs() -> None:
    assert packed_depthwise_space({"channels": 8}).default == {"loads": "pairs"}
