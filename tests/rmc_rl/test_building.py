from __future__ import annotations

import os
from typing import Any

import pytest
import torch

from rmc_rl.building import available_cores, build_agent, learner_device, prepare_process
from rmc_rl.config import Config, make_config
from rmc_rl.errors import UserError
from rmc_rl.spaces import Interface
from tests.spaces import discrete_interface

VECTOR = discrete_interface((7,), 4)
IMAGE = discrete_interface((5, 5, 3), 4)


@pytest.fixture(params=["rmc", "lstm"])
def config(request: pytest.FixtureRequest) -> Config:
    return make_config(f"core={request.param}")


def _weights(config: Config, seed: int | None, interface: Interface = VECTOR) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in build_agent(config, interface, seed).state_dict().values()])


def test_the_weights_are_a_function_of_the_seed_alone(config: Config) -> None:
    torch.manual_seed(1)
    first = _weights(config, 5)
    torch.manual_seed(2)
    torch.rand(3)
    assert torch.equal(first, _weights(config, 5))
    assert not torch.equal(first, _weights(config, 6))
    assert not torch.equal(first, _weights(config, 0))


@pytest.mark.parametrize("seed", [None, 0, 5, 2**31 - 1])
def test_torchs_own_random_numbers_are_untouched(config: Config, seed: int | None) -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    build_agent(config, VECTOR, seed)
    assert torch.equal(before, torch.get_rng_state())


def test_a_failure_leaves_torchs_random_numbers_untouched_too() -> None:
    config = make_config()
    config.core["mem_slots"] = -1
    torch.manual_seed(11)
    before = torch.get_rng_state()
    with pytest.raises(UserError):
        build_agent(config, VECTOR, 3)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("interface", [VECTOR, IMAGE, discrete_interface((1,), 1), discrete_interface((1, 1, 1), 18)])
def test_an_agent_for_each_interface(config: Config, interface: Interface) -> None:
    agent = build_agent(config, interface, 0)
    observation = torch.from_numpy(interface.observation_space.sample())
    output, _ = agent(
        observation.expand(1, 2, *observation.shape),
        torch.zeros((1, 2), dtype=torch.int64),
        torch.zeros((1, 2)),
        torch.ones((1, 2), dtype=torch.bool),
        agent.initial_state(2),
    )
    assert output.policy.shape == (1, 2, interface.action_space.n)
    assert output.value.shape == (1, 2)


def test_the_cores_options_reach_it() -> None:
    agent = build_agent(make_config("core=rmc", "core.mem_slots=3", "core.head_size=8", "core.num_heads=2"), VECTOR)
    (memory,) = _leaves(agent.initial_state(5))
    assert memory.shape == (5, 3, 16)


def _leaves(tree: Any) -> list[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        return [tree]
    return [leaf for part in (tree.values() if isinstance(tree, dict) else tree) for leaf in _leaves(part)]


def test_whether_the_last_action_and_reward_are_fed_is_a_choice() -> None:
    sizes = {
        (action, reward): build_agent(
            make_config(f"agent.use_last_action={action}", f"agent.use_last_reward={reward}"), VECTOR
        ).core.input_size
        for action in (True, False)
        for reward in (True, False)
    }
    assert sizes[True, True] - sizes[False, True] == VECTOR.actions.num_features
    assert sizes[True, True] - sizes[True, False] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "lstn"}, "unknown core 'lstn'.*lstm"),
        ({"name": ""}, "unknown core ''"),
        ({"mem_slot": 4}, "mem_slot"),
        ({"input_size": 4}, "input_size"),
        ({"mem_slots": 0}, "mem_slots"),
        ({"mem_slots": "four"}, "mem_slots"),
        ({"mem_slots": None}, "mem_slots"),
        ({"mem_slots": 1.5}, "mem_slots"),
        ({"mem_slots": True}, "mem_slots"),
        ({"mem_slots": [4]}, "mem_slots"),
        ({"gate_style": "units"}, "gate_style"),
        ({"forget_bias": "x"}, "forget_bias"),
    ],
)
def test_a_core_that_cannot_be_built(change: dict[str, Any], message: str) -> None:
    config = make_config("core=rmc")
    config.core |= change
    with pytest.raises(UserError, match=f"the agent cannot be built: .*{message}"):
        build_agent(config, VECTOR)


@pytest.mark.parametrize(("core", "option"), [("rmc", "mem_slots"), ("rmc", "head_size"), ("lstm", "hidden_size")])
@pytest.mark.parametrize("size", [10**12, 10**30])
def test_sizes_no_memory_holds_are_a_user_error(core: str, option: str, size: int) -> None:
    config = make_config(f"core={core}")
    config.core[option] = size
    with pytest.raises(UserError, match="the agent cannot be built") as caught:
        build_agent(config, VECTOR)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("torso", ["nope", "", "Grid"])
def test_a_torso_that_does_not_exist(torso: str) -> None:
    config = make_config(f"agent.torso='{torso}'")
    with pytest.raises(UserError, match=f"unknown torso '{torso}'"):
        build_agent(config, VECTOR)


def test_torso_options_that_do_not_exist() -> None:
    with pytest.raises(UserError, match="no_such_option"):
        build_agent(make_config("+agent.torso_options.no_such_option=1"), VECTOR)


def test_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for available, device, expected in (
        (False, "auto", "cpu"),
        (False, "cpu", "cpu"),
        (True, "auto", "cuda"),
        (True, "cpu", "cpu"),
        (True, "cuda", "cuda"),
    ):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=available: found)
        assert learner_device(make_config(f"device={device}")) == expected
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="device=cuda, but torch sees no GPU here"):
        learner_device(make_config("device=cuda"))


def test_only_the_cores_this_process_may_use_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    assert available_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1


def test_threads_are_bounded() -> None:
    prepare_process(2)
    try:
        assert torch.get_num_threads() == 2
    finally:
        prepare_process(1)
