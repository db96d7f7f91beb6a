from __future__ import annotations

import json
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from rmc_agents import Categories, Continuous, Discrete, Image, MultiDiscrete, Vector
from rmc_rl.errors import UserError
from rmc_rl.spaces import Adapted, AdaptedVector, Interface, interface

BOX = spaces.Box(-1, 1, (3,))
PICTURE = spaces.Box(0, 255, (4, 84, 84), np.uint8)

OBSERVATIONS: list[tuple[spaces.Space[Any], Any]] = [
    (BOX, Vector((3,))),
    (spaces.Box(0, 1, (2, 2)), Vector((2, 2))),
    (spaces.Box(0, 1, (8, 8, 3)), Vector((8, 8, 3))),  # floats are no picture
    (spaces.Box(0, 255, (3,), np.uint8), Vector((3,))),
    (spaces.Box(-5, 5, (2,), np.int64), Vector((2,))),
    (spaces.Box(0, 255, (7, 9, 3), np.uint8), Image((7, 9, 3))),
    (spaces.Box(0, 255, (210, 160, 3), np.uint8), Image((210, 160, 3))),
    (spaces.Box(0, 255, (84, 84), np.uint8), Image((84, 84, 1))),
    (PICTURE, Image((84, 84, 4))),
    (spaces.Discrete(4, start=-1), Categories((4,), ())),
    (spaces.MultiDiscrete([3, 2]), Categories((3, 2), (2,))),
    (spaces.MultiDiscrete([[3, 2], [4, 5]], start=[[1, 1], [0, 0]]), Categories((3, 2, 4, 5), (4,))),
    (spaces.MultiBinary(5), Vector((5,))),
    (spaces.Box(-1, 1, ()), Vector((1,))),
    (spaces.Box(-1, 1, (), np.float64), Vector((1,))),
    (spaces.Dict(a=BOX, b=spaces.Tuple([spaces.Discrete(2), PICTURE])), None),
]
ACTIONS: list[tuple[spaces.Space[Any], Any]] = [
    (spaces.Discrete(5), Discrete(5)),
    (spaces.Discrete(3, start=2), Discrete(3)),
    (spaces.MultiDiscrete([3, 2]), MultiDiscrete([3, 2])),
    (spaces.MultiDiscrete([[3, 2], [4, 5]], start=[[1, 1], [-1, 0]]), MultiDiscrete([3, 2, 4, 5])),
    (spaces.MultiBinary((2, 2)), MultiDiscrete([2] * 4)),
    (spaces.Box(-2, 2, (1,)), Continuous([True])),
    (
        spaces.Box(np.float32([[-1, 0], [5, -np.inf]]), np.float32([[1, 9], [6, np.inf]])),
        Continuous([True] * 3 + [False]),
    ),
    (spaces.Box(-0.4, 0.4, (17,), np.float64), Continuous([True] * 17)),
]


@pytest.mark.parametrize(("space", "expected"), OBSERVATIONS, ids=str)
def test_observations_as_the_agent_reads_them(space: spaces.Space[Any], expected: Any) -> None:
    known = Interface(space, spaces.Discrete(2))
    if expected is not None:
        assert known.observation == expected
    space.seed(0)
    samples = [space.sample() for _ in range(4)]
    alone = [known.to_agent(sample) for sample in samples]
    stacked = gymnasium.vector.utils.create_empty_array(space, 4)
    stacked = gymnasium.vector.utils.concatenate(space, samples, stacked)
    batch = known.to_agent(stacked)

    def check(description: Any, parts: Any, single: list[Any]) -> None:
        if isinstance(description, dict | tuple):
            keys = description if isinstance(description, dict) else range(len(description))
            for key in keys:
                check(description[key], parts[key], [each[key] for each in single])
            return
        assert parts.shape == (4, *description.shape)
        assert parts.dtype in (np.float32, np.uint8, np.int64)
        np.testing.assert_array_equal(parts, np.stack(single))
        if isinstance(description, Categories):
            assert ((parts >= 0) & (parts.reshape(4, -1) < description.sizes).reshape(parts.shape)).all()

    check(known.observation, batch, alone)


def test_channels_come_last() -> None:
    PICTURE.seed(0)
    seen = PICTURE.sample()
    np.testing.assert_array_equal(Interface(PICTURE, spaces.Discrete(2)).to_agent(seen), seen.transpose(1, 2, 0))


@pytest.mark.parametrize(("space", "expected"), ACTIONS, ids=str)
def test_actions_as_the_environment_takes_them(space: spaces.Space[Any], expected: Any) -> None:
    known = Interface(BOX, space)
    assert known.actions == expected
    parameters = 3 * torch.randn(50, expected.num_parameters, generator=torch.Generator().manual_seed(0))
    action = expected.sample(parameters, torch.Generator().manual_seed(1)).numpy()
    native = known.to_environment(action)
    seen = set()
    for i in range(50):
        single = known.to_environment(action[i])
        np.testing.assert_array_equal(single, native[i])
        # Gymnasium's Discrete wants a scalar, its others the space's type.
        assert space.contains(single[()] if single.ndim == 0 else single)
        seen.add(single.tobytes())
    assert len(seen) > 1


def test_bounds_are_reached_and_not_passed() -> None:
    known = Interface(BOX, spaces.Box(np.float32([-0.1, 2.0]), np.float32([0.3, 2.5])))
    extremes = known.to_environment(np.array([[-50.0, 50.0], [0.0, 0.0]], np.float32))
    np.testing.assert_allclose(extremes, [[-0.1, 2.5], [0.1, 2.25]], atol=1e-6)


@pytest.mark.parametrize(
    ("observation", "action", "message"),
    [
        (spaces.Text(4), spaces.Discrete(2), "the observation space Text"),
        (spaces.Dict(a=spaces.Text(4)), spaces.Discrete(2), "the observation space Text"),
        (spaces.Sequence(BOX), spaces.Discrete(2), "the observation space Sequence"),
        (spaces.Box(0, 1, (0,)), spaces.Discrete(2), "axis of length 0"),
        (spaces.Discrete(10**9), spaces.Discrete(2), r"1,000,000 values apart, and it has 1,000,000,000"),
        (spaces.MultiDiscrete([600_000] * 2), spaces.Discrete(2), "and it has 1,200,000"),
        (BOX, spaces.Discrete(10**9), r"the space Discrete\(1000000000\) is not supported"),
        (BOX, spaces.MultiDiscrete([600_000] * 2), "and it has 1,200,000"),
        (BOX, spaces.Dict(a=spaces.Discrete(2)), "the action space Dict"),
        (BOX, spaces.Tuple([spaces.Discrete(2)]), "the action space Tuple"),
        (BOX, spaces.Box(0, 9, (2,), np.int64), "the action space Box"),
        (BOX, spaces.Box(0, np.inf, (2,)), "each of its numbers needs two bounds or none"),
        (BOX, spaces.Box(0, 1, (0,)), "the action space Box"),
    ],
)
def test_what_no_agent_can_handle_is_refused(observation: Any, action: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Interface(observation, action)


@pytest.mark.parametrize("observation", [space for space, _ in OBSERVATIONS], ids=str)
@pytest.mark.parametrize("action", [space for space, _ in ACTIONS], ids=str)
def test_an_interface_survives_json(observation: spaces.Space[Any], action: spaces.Space[Any]) -> None:
    known = Interface(observation, action)
    found = Interface.from_json(json.loads(json.dumps(known.to_json(), allow_nan=False)))
    assert found == known
    assert repr(found) == repr(known)


def test_bounds_of_large_whole_numbers_survive_json() -> None:
    limits = np.iinfo(np.int64)
    known = Interface(spaces.Box(limits.min, limits.max, (2,), np.int64), spaces.Discrete(2))
    assert Interface.from_json(json.loads(json.dumps(known.to_json()))) == known


class Echo(gymnasium.Env[Any, Any]):
    """Shows random observations of a space and tells which action it got."""

    def __init__(self, observation: spaces.Space[Any], action: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observation, action
        self.taken: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.taken.append(action)
        return self.observation_space.sample(), 0.0, False, False, {}


@pytest.mark.parametrize("space", [space for space, _ in ACTIONS], ids=str)
def test_adapted_environments_take_the_agents_actions(space: spaces.Space[Any]) -> None:
    own = [Echo(PICTURE, space) for _ in range(2)]
    batch = AdaptedVector(gymnasium.vector.SyncVectorEnv([lambda env=env: env for env in own]))
    single_env = Echo(PICTURE, space)
    single = Adapted(single_env)
    actions = interface(batch).actions
    assert interface(single) == interface(batch)
    chosen = actions.sample(torch.randn(2, actions.num_parameters)).numpy()
    observation, _ = batch.reset(seed=0)
    assert observation.shape == (2, 84, 84, 4)
    batch.step(chosen)
    single.reset(seed=0)
    observation, *_ = single.step(chosen[0])
    assert observation.shape == (84, 84, 4)
    np.testing.assert_array_equal(own[0].taken[0], single_env.taken[0])


def test_what_needs_no_adapting() -> None:
    game = spaces.Box(0, 255, (5, 5, 3), np.uint8)
    assert not Interface(game, spaces.Discrete(5)).needs_adapting
    assert not Interface(spaces.Dict(a=game, b=BOX), spaces.Discrete(5)).needs_adapting
    for observation, action in [(PICTURE, spaces.Discrete(5)), (game, spaces.Discrete(5, start=1)), (game, BOX)]:
        assert Interface(observation, action).needs_adapting
