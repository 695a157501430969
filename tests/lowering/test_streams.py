"""How channels are grouped by the cuts of their k, and what stands in the words of a run."""

from __future__ import annotations

import numpy as np

from mbgen.exact_scale import Scale
from mbgen.intrinsics.dsp import levels, packed_fields, packed_sums
from mbgen.lowering.rescale import Levels, Sums, moved_sums
from mbgen.lowering.streams import Group, groups, one_group, run_words


def over(magnitudes: list[int], k: int = 6) -> Sums:
    """A channel for each magnitude, which all its k weights have; inputs are 0 .. 255."""
    weights = np.repeat(np.array(magnitudes, np.int64)[:, np.newaxis], k, axis=1)
    return Sums(weights, np.zeros(len(weights), np.int64), 0, 255)


def test_channels_are_grouped_by_the_parts_they_need() -> None:
    """Of six that fit whole, two fill up the last block; a span of 255 * 6 * 10 is one too many."""
    found = groups(over([9, 9, -9, 10, 9, 9, 9, 20]), 255 * 6 * 10)
    assert [(one.splits, one.channels.tolist()) for one in found] == [(1, [0, 1, 2, 4]), (3, [3, 5, 6, 7])]
    assert one_group(over([9, 9, 20]), 255 * 6 * 10).splits == 3


def test_the_last_part_has_what_is_left() -> None:
    group = Group(np.arange(4), 3, 256)
    assert (group.size, group.last) == (86, 84)
    assert [cut.stop - cut.start for cut in group.cuts] == [86, 86, 84]


def test_a_run_begins_with_the_words_of_its_sums() -> None:
    random = np.random.default_rng(0)
    weights, start = random.integers(0, 20, (3, 5)), random.integers(0, 2**16, 3)
    made = Levels(np.array([[1, 2], [3, 4], [5, 6]], np.int32), 4, start, ((), (), ()))
    group = Group(np.array([2, 0, 1]), 1, 5)
    words = run_words(group, weights, [start], made, np.array([100, 200, 300]))
    x = random.integers(0, 256, (5, 3))
    acc = packed_sums((x[:, :2] + (x[:, 1:] << 21)).reshape(-1), words[:18])
    found = np.concatenate([packed_fields(int(acc[pair]), int(acc[pair + 1])) for pair in (0, 2)])
    np.testing.assert_array_equal(found, ((weights @ x) + start[:, np.newaxis])[[2, 0, 1, 1]])
    assert words[18:].tolist() == [5, 6, 1, 2, 300, 100, 3, 4, 3, 4, 200, 200]


def test_a_patched_sum_is_moved_to_one_with_its_level() -> None:
    scale = Scale(2**28, 0, 0, ((111, 1), (128, -1)))
    moves = moved_sums(scale, 0)
    assert moves is not None
    for (total, more), (same, move) in zip(scale.patches, moves, strict=True):
        given = np.array(2**28), np.array(0), np.array(0)
        assert same == total
        assert levels(np.array(total + move), *given) == levels(np.array(total), *given) + more


def test_a_patch_without_a_near_sum_of_its_level_is_none() -> None:
    assert moved_sums(Scale(2**20, 0, 0, ((100, 1),)), 0) is None
