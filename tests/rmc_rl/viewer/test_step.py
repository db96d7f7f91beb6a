from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from rmc_agents import Trace
from rmc_rl.viewer.step import MemoryPart, Step, Timeline, gate_parts, memory_parts


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
    assert (timeline.values.tolist(), timeline.rewards.tolist()) == ([1.0, 2.0], [0.0, 3.0])
    timeline.add(make_step(number=0, value=5.0, reward=0.0))
    assert (timeline.values.tolist(), timeline.rewards.tolist()) == ([5.0], [0.0])


def test_the_timeline_keeps_all_numbers_of_a_long_episode(make_step: Callable[..., Step]) -> None:
    timeline = Timeline()
    random = np.random.default_rng(0)
    steps = [
        make_step(
            number=i,
            value=float(random.normal()),
            reward=float(random.normal()),
            entropy=float(random.random()),
            probabilities=random.dirichlet(np.ones(3)),
            action=int(random.integers(3)),
            by_person=bool(random.random() < 0.5),
        )
        for i in range(200)
    ]
    for step in steps:
        timeline.add(step)
    assert len(timeline) == 200
    assert timeline.values.tolist() == [step.value for step in steps]
    assert timeline.rewards.tolist() == [step.reward for step in steps]
    assert timeline.entropies.tolist() == [step.entropy for step in steps]
    assert timeline.actions.tolist() == [step.action for step in steps]
    assert timeline.by_person.tolist() == [step.by_person for step in steps]
    np.testing.assert_array_equal(timeline.probabilities, [step.probabilities for step in steps])


def test_the_latest_step_of_a_timeline_can_be_amended(make_step: Callable[..., Step]) -> None:
    timeline = Timeline()
    timeline.add(make_step(number=0, action=2))
    timeline.add(make_step(number=1, action=2))
    timeline.amend(make_step(number=1, action=0, by_person=True))
    assert timeline.actions.tolist() == [2, 0]
    assert timeline.by_person.tolist() == [False, True]
    timeline.add(make_step(number=2, action=(0.5, 1.0)))
    assert timeline.actions.tolist() == [2, 0, -1]


def test_gates_have_names_and_those_a_core_has_not_are_left_out() -> None:
    trace = Trace(
        outputs=torch.zeros(2, 3, 4),
        memory_before=torch.zeros(2, 3, 4),
        memory_after=torch.zeros(2, 3, 4),
        forget_gate=torch.rand(2, 3, 5, 1),
        output_gate=torch.rand(2, 3, 5, 7),
    )
    forget, output = gate_parts(trace)
    assert (forget.name, output.name) == ("forget gate", "output gate")
    assert trace.output_gate is not None
    np.testing.assert_array_equal(output.values, trace.output_gate[1, 0].numpy())
    assert forget.values.shape == (5, 1)


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
