from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from rmc_agents import (
    Agent,
    Categories,
    Discrete,
    GridTorso,
    Image,
    JoinedTorso,
    Observation,
    OneHotTorso,
    Vector,
    make_core,
    make_torso,
)
from rmc_agents.observations import observation_from_json, observation_to_json

PARTS: dict[str, Any] = {
    "image": Image((7, 7, 3)),
    "where": (Vector((2,)), Categories((3, 2), (2,))),
    "direction": Categories((4,), ()),
}


def batch_of(observation: Any, *leading: int) -> Any:
    """Random numbers that fit a description."""
    if isinstance(observation, dict):
        return {name: batch_of(part, *leading) for name, part in observation.items()}
    if isinstance(observation, tuple):
        return tuple(batch_of(part, *leading) for part in observation)
    shape = (*leading, *observation.shape)
    if isinstance(observation, Image):
        return torch.randint(0, 256, shape, dtype=torch.uint8)
    return torch.rand(shape) if isinstance(observation, Vector) else torch.randint(0, min(observation.sizes), shape)


@pytest.mark.parametrize("observation", [Vector((3,)), Image((5, 5, 3)), Categories((4,), ()), PARTS])
def test_a_description_survives_json(observation: Observation) -> None:
    assert observation_from_json(json.loads(json.dumps(observation_to_json(observation)))) == observation


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"kind": "nope", "shape": [3]},
        {"kind": "vector", "shape": []},
        {"kind": "vector", "shape": [10**5, 10**5]},
        {"kind": "image", "shape": [5, 5]},
        {"kind": "image", "shape": [5, 5, 0]},
        {"kind": "image", "shape": [5, 5, 2.0]},
        {"kind": "categories", "shape": [], "sizes": [2, 2]},
        {"kind": "categories", "shape": [2], "sizes": [2]},
        {"kind": "categories", "shape": [1], "sizes": [10**9]},
        {"kind": "dict", "parts": [1]},
    ],
)
def test_forged_descriptions_are_refused(record: Any) -> None:
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        observation_from_json(record)


def test_each_part_has_a_torso_of_its_own() -> None:
    torch.manual_seed(0)
    torso = make_torso("auto", PARTS, image={"name": "grid", "hidden_size": 6}, **{"where.0": {"hidden_sizes": [5]}})
    assert isinstance(torso, JoinedTorso)
    image, where, things, direction = torso.parts
    assert isinstance(image, GridTorso)
    given = batch_of(PARTS, 8)
    expected = [
        image(given["image"]),
        where(given["where"][0]),
        things(given["where"][1]),
        direction(given["direction"]),
    ]
    assert torso.output_size == 6 + 5 + 5 + 4
    assert torch.equal(torso(given), torch.cat(expected, -1))
    other_order = {name: given[name] for name in reversed(given)}
    assert torch.equal(torso(other_order), torso(given))


def test_categories_are_one_hot() -> None:
    torso = make_torso("auto", Categories((3, 2), (2,)))
    assert isinstance(torso, OneHotTorso)
    assert torso(torch.tensor([[2, 0], [0, 1]])).tolist() == [[0, 0, 1, 1, 0], [1, 0, 0, 0, 1]]
    assert torso(torch.tensor([[3, -1]])).tolist() == [[0] * 5], "a number that stands for nothing"
    assert make_torso("auto", Categories((4,), ()))(torch.tensor([3])).tolist() == [[0, 0, 0, 1]]


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"no part \['sound'\]; its parts: \['image', 'where.0'"):
        make_torso("auto", PARTS, sound={})
    with pytest.raises(ValueError, match=r"part 'image' of the observation: torso 'grid' has no option 'width'"):
        make_torso("auto", PARTS, image={"name": "grid", "width": 3})
    with pytest.raises(TypeError, match="torso_options: image: 'grid' given"):
        make_torso("auto", PARTS, image="grid")
    with pytest.raises(ValueError, match="torso 'mlp': an observation of several parts has a torso for each"):
        make_torso("mlp", PARTS)
    with pytest.raises(ValueError, match="categories needed"):
        make_torso("one_hot", Vector((3,)))
    with pytest.raises(ValueError, match="trees differ in structure"):
        make_torso("auto", PARTS)({"image": torch.zeros(1, 7, 7, 3)})


def test_an_agent_reads_all_parts_step_by_step_as_in_whole_unrolls() -> None:
    torch.manual_seed(0)
    agent = Agent(
        observation=PARTS,
        actions=Discrete(3),
        core=lambda size: make_core("rmc", size, mem_slots=2, head_size=4, num_heads=2),
    )
    torch.nn.init.normal_(agent.policy.linear.weight)
    steps, batch = 6, 3
    given = batch_of(PARTS, steps, batch)
    action, reward = torch.randint(0, 3, (steps, batch)), torch.randn(steps, batch)
    reset = torch.rand(steps, batch) < 0.3
    whole, _ = agent(given, action, reward, reset, agent.initial_state(batch))
    state = agent.initial_state(batch)
    for t in range(steps):
        row = {
            "image": given["image"][t : t + 1],
            "where": tuple(part[t : t + 1] for part in given["where"]),
            "direction": given["direction"][t : t + 1],
        }
        step, state = agent(row, action[t : t + 1], reward[t : t + 1], reset[t : t + 1], state)
        torch.testing.assert_close(step.policy[0], whole.policy[t], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"observation: shape \[6, 3\] given, \[6, 3, 2\] needed"):
        agent({**given, "where": (given["direction"], given["where"][1])}, action, reward, reset, state)
