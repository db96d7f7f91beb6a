from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from rmc_rl.viewer.step import MemoryPart, Step, Timeline, memory_parts


def test_the_relational_memory_is_one_matrix() -> None:
    state = torch.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    (part,) = memory_parts(state)
    assert part.name == "memory"
    np.testing.assert_array_equal(part.values, state[0].numpy())


def test_a_pair_becomes_two_parts_with_names() -> None:
    state = (torch.zeros(1, 2, 5), torch.ones(1, 2, 5))
    assert [part.name for part in memory_parts(state)] == ["memory 1", "memory 2"]
    parts = memory_parts(state, ("h", "c"))
    assert [part.name for part in parts] == ["h", "c"]
    assert [part.values.shape for part in parts] == [(2, 5), (2, 5)]
    assert [part.name for part in memory_parts(state, ("too few",))] == ["memory 1", "memory 2"]


def test_other_shapes_become_rows_and_what_is_no_number_is_left_out() -> None:
    state = {
        "vector": torch.ones(1, 6),
        "count": torch.zeros(1, dtype=torch.int64),
        "mask": torch.ones(1, 3, dtype=torch.bool),
        "block": torch.ones(1, 2, 3, 4),
    }
    parts = memory_parts(state)
    assert [(part.name, part.values.shape) for part in parts] == [("memory 1", (1, 6)), ("memory 4", (6, 4))]
    assert memory_parts(()) == ()


def test_a_part_keeps_its_numbers_when_the_memory_is_overwritten() -> None:
    state = torch.ones(1, 2, 2)
    (part,) = memory_parts(state)
    state.zero_()
    assert (part.values == 1).all()


def test_the_timeline_follows_one_episode(make_step: Callable[..., Step]) -> None:
    timeline = Timeline()
    for number, (value, reward) in enumerate([(1.0, 0.0), (2.0, 3.0)]):
        timeline.add(make_step(number=number, value=value, reward=reward))
    assert (timeline.values, timeline.rewards) == ([1.0, 2.0], [0.0, 3.0])
    timeline.add(make_step(number=0, value=5.0, reward=0.0))
    assert (timeline.values, timeline.rewards) == ([5.0], [0.0])


def test_the_memory_scale_only_grows_within_an_episode(make_step: Callable[..., Step]) -> None:
    timeline = Timeline()
    limits = []
    for number, size in [(0, 1.0), (1, 4.0), (2, 2.0), (0, 0.5)]:
        timeline.add(make_step(number=number, memory=(MemoryPart("m", np.full((2, 50), -size, np.float32)),)))
        limits.append(timeline.memory_limits["m"])
    assert limits == [1.0, 4.0, 4.0, 0.5]


def test_a_single_large_unit_does_not_set_the_scale(make_step: Callable[..., Step]) -> None:
    values = np.ones((4, 100), np.float32)
    values[0, 0] = 1000.0
    timeline = Timeline()
    timeline.add(make_step(memory=(MemoryPart("m", values),)))
    assert timeline.memory_limits["m"] == 1.0
