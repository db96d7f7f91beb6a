from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from rmc_agents import Agent, ConvLSTMCore, Discrete, Image, LSTMCore, Vector, core_names, leaves, make_core, squash

OPTIONS: dict[str, dict[str, Any]] = {
    "conv_lstm": {"height": 5, "width": 5, "channels": 26, "hidden_channels": 4},
    "dnc": {"mem_slots": 4, "word_size": 3},
    "gru": {"hidden_size": 8},
    "lstm": {"hidden_size": 8},
    "lstm_bank": {"cell_size": 6},
    "rmc": {"mem_slots": 3, "head_size": 4},
}
NUM_ACTIONS = 5

every_core_and_shape = pytest.mark.parametrize(
    ("core", "shape", "is_image"),
    [pytest.param(core, (5, 5, 3), True, id=f"{core}-image") for core in core_names()]
    + [pytest.param(core, (4,), False, id=f"{core}-vector") for core in core_names() if core != "conv_lstm"],
)


def build(core: str = "rmc", shape: tuple[int, ...] = (4,), is_image: bool = False, **options: Any) -> Agent:
    torch.manual_seed(0)
    factory = partial(make_core, core, **OPTIONS[core])
    agent = Agent(
        observation=Image(shape) if is_image else Vector(shape), actions=Discrete(NUM_ACTIONS), core=factory, **options
    )
    torch.nn.init.normal_(agent.policy.linear.weight)  # large enough for differences to show
    return agent


def experience(agent: Agent, steps: int = 9, batch: int = 4) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random observation, last_action, last_reward, reset."""
    shape = (steps, batch, *agent.observation.shape)
    if len(agent.observation.shape) == 3:
        observation = torch.randint(0, 256, shape, dtype=torch.uint8)
    else:
        observation = torch.randn(shape)
    last_action = torch.randint(NUM_ACTIONS, (steps, batch))
    return observation, last_action, 10 * torch.randn(steps, batch), torch.rand(steps, batch) < 0.25


def core_inputs(agent: Agent, rows: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    """What the core is given, caught on its way in."""
    caught: list[Tensor] = []
    handle = agent.core.register_forward_pre_hook(lambda module, arguments: caught.append(arguments[0]))
    agent(*rows, agent.initial_state(rows[0].shape[1]))
    handle.remove()
    return caught[0]


@every_core_and_shape
def test_step_by_step_equals_whole_unroll(core: str, shape: tuple[int, ...], is_image: bool) -> None:
    agent = build(core, shape, is_image)
    rows = experience(agent)
    with torch.no_grad():
        _, state = agent(*experience(agent), agent.initial_state(4))
        whole, final = agent(*rows, state)
        assert whole.policy.shape == (9, 4, NUM_ACTIONS)
        assert whole.value.shape == (9, 4)
        for t in range(9):
            step, state = agent(*(row[t : t + 1] for row in rows), state)
            torch.testing.assert_close(step.policy[0], whole.policy[t], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(step.value[0], whole.value[t], rtol=1e-4, atol=1e-5)
    for leaf, expected in zip(leaves(state), leaves(final), strict=True):
        torch.testing.assert_close(leaf, expected, rtol=1e-4, atol=1e-5)


@every_core_and_shape
def test_a_trace_says_what_the_forward_pass_says(core: str, shape: tuple[int, ...], is_image: bool) -> None:
    agent = build(core, shape, is_image)
    rows = experience(agent, steps=1)
    with torch.no_grad():
        _, state = agent(*experience(agent), agent.initial_state(4))
        output, after = agent(*rows, state)
    traced, trace = agent.trace(*rows, state)
    assert torch.equal(traced.policy, output.policy)
    assert torch.equal(traced.value, output.value)
    assert not traced.policy.requires_grad
    for leaf, expected in zip(leaves(trace.memory_after), leaves(after), strict=True):
        assert torch.equal(leaf[-1], expected)
    with pytest.raises(ValueError, match="last_reward"):
        agent.trace(rows[0], rows[1], rows[2][0], rows[3], state)


@every_core_and_shape
def test_items_of_a_batch_are_independent(core: str, shape: tuple[int, ...], is_image: bool) -> None:
    agent = build(core, shape, is_image)
    rows = experience(agent)
    whole, _ = agent(*rows, agent.initial_state(4))
    for b in range(4):
        alone, _ = agent(*(row[:, b : b + 1] for row in rows), agent.initial_state(1))
        torch.testing.assert_close(alone.policy[:, 0], whole.policy[:, b], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(alone.value[:, 0], whole.value[:, b], rtol=1e-4, atol=1e-5)


def test_the_cores_input() -> None:
    """[torso features; one-hot last action; squashed last reward], the last two zero where reset."""
    agent = build()
    observation = torch.randn(2, 2, 4)
    last_action = torch.tensor([[0, 2], [4, 0]])
    last_reward = torch.tensor([[3.0, -3.0], [100.0, torch.nan]])
    reset = torch.tensor([[False, False], [False, True]])
    inputs = core_inputs(agent, (observation, last_action, last_reward, reset))
    assert inputs.shape == (2, 2, 64 + NUM_ACTIONS + 1)
    torch.testing.assert_close(inputs[..., :64], agent.torso(observation.reshape(4, 4)).reshape(2, 2, 64))
    assert inputs[..., 64:-1].tolist() == [[[1, 0, 0, 0, 0], [0, 0, 1, 0, 0]], [[0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]]
    torch.testing.assert_close(inputs[..., -1], torch.tensor([[4.0, 1 / 4], [101.0, 1.0]]).log())


def test_what_led_to_a_reset_row_has_no_influence() -> None:
    agent = build()
    observation, last_action, last_reward, reset = experience(agent)
    reset[4] = True
    output, _ = agent(observation, last_action, last_reward, reset, agent.initial_state(4))
    other_action, other_reward = last_action.clone(), last_reward.clone()
    other_action[4], other_reward[4] = -1, torch.inf
    other, _ = agent(observation, other_action, other_reward, reset, agent.initial_state(4))
    assert torch.equal(output.policy, other.policy)
    assert torch.equal(output.value, other.value)


@pytest.mark.parametrize(("use_last_action", "use_last_reward"), [(False, False), (True, False), (False, True)])
def test_inputs_that_are_switched_off(use_last_action: bool, use_last_reward: bool) -> None:
    agent = build(use_last_action=use_last_action, use_last_reward=use_last_reward)
    assert agent.core.input_size == 64 + NUM_ACTIONS * use_last_action + use_last_reward
    observation, last_action, last_reward, _ = experience(agent)
    reset = torch.zeros(9, 4, dtype=torch.bool)
    output, _ = agent(observation, last_action, last_reward, reset, agent.initial_state(4))
    other_action, _ = agent(observation, (last_action + 1) % NUM_ACTIONS, last_reward, reset, agent.initial_state(4))
    other_reward, _ = agent(observation, last_action, last_reward + 1, reset, agent.initial_state(4))
    assert torch.equal(output.policy, other_action.policy) is not use_last_action
    assert torch.equal(output.policy, other_reward.policy) is not use_last_reward


def test_squash() -> None:
    reward = torch.tensor([0.0, 1.0, -1.0, 1000.0, 1e-6])
    expected = torch.tensor([0.0, 0.6931472, -0.6931472, 6.9087548, 1e-6])
    torch.testing.assert_close(squash(reward), expected)


def test_torso_options_and_sizes() -> None:
    agent = build(torso="mlp", torso_options={"hidden_sizes": (12,)})
    assert agent.core.input_size == 12 + NUM_ACTIONS + 1
    paper = Agent(
        observation=Image((5, 5, 3)),
        actions=Discrete(5),
        core=partial(make_core, "rmc", mem_slots=4, head_size=8),
    )
    assert paper.core.input_size == 656


def test_state_dict_round_trip() -> None:
    agent, other = build(), build()
    torch.nn.init.normal_(other.core.input_projection.weight)  # type: ignore[union-attr]
    rows = experience(agent)
    expected, _ = agent(*rows, agent.initial_state(4))
    assert not torch.equal(other(*rows, other.initial_state(4))[0].policy, expected.policy)
    other.load_state_dict(agent.state_dict())
    assert torch.equal(other(*rows, other.initial_state(4))[0].policy, expected.policy)


def test_every_parameter_learns() -> None:
    agent = build("rmc", (5, 5, 3), True)
    output, _ = agent(*experience(agent), agent.initial_state(4))
    (output.policy.square().sum() + output.value.sum()).backward()
    for name, parameter in agent.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad != 0).any(), name


def test_bad_inputs_are_named() -> None:
    agent = build()
    observation, last_action, last_reward, reset = experience(agent)
    state = agent.initial_state(4)
    with pytest.raises(
        ValueError, match=r"observation: shape \[9, 4, 3\] given, \[9, 4, 4\] needed as reset is \[9, 4\]"
    ):
        agent(observation[..., :3], last_action, last_reward, reset, state)
    with pytest.raises(ValueError, match=r"last_action: shape \[8, 4\] given, \[9, 4\] needed"):
        agent(observation, last_action[:8], last_reward, reset, state)
    with pytest.raises(ValueError, match=r"last_reward: shape \[9\] given"):
        agent(observation, last_action, last_reward[:, 0], reset, state)
    with pytest.raises(ValueError, match=r"state: leaf 0 of 1"):
        agent(observation, last_action, last_reward, reset, agent.initial_state(3))


def test_a_core_that_convolves_reads_the_torsos_map() -> None:
    """A map that the torso does not give is refused, even where its numbers would fit into the core's input."""

    def convolving(height: int, width: int, channels: int) -> Callable[[int], ConvLSTMCore]:
        return partial(ConvLSTMCore, height=height, width=width, channels=channels)

    agent = Agent(observation=Image((4, 6, 3)), actions=Discrete(5), core=convolving(4, 6, 26))
    assert agent.core.input_size == 4 * 6 * 26 + 5 + 1
    needed = r"but the torso's features are 4 x 6 x 26"
    for shape in ((6, 4, 26), (4, 6, 25), (4, 5, 26), (26, 6, 4)):
        with pytest.raises(ValueError, match=rf"core: .* a map of {' x '.join(map(str, shape))} .*{needed}"):
            Agent(observation=Image((4, 6, 3)), actions=Discrete(5), core=convolving(*shape))
    with pytest.raises(ValueError, match="but the torso's features are no map, as those of the torso 'viewport' are"):
        Agent(observation=Image((15, 19, 3)), actions=Discrete(5), core=convolving(4, 4, 16))
    with pytest.raises(ValueError, match="no map"):
        Agent(observation=Vector((4,)), actions=Discrete(5), core=convolving(8, 8, 1))


def test_bad_parts_are_named() -> None:
    with pytest.raises(ValueError, match="core: one of input size 3 given, 70 needed"):
        Agent(observation=Vector((4,)), actions=Discrete(5), core=lambda size: LSTMCore(3))
    with pytest.raises(ValueError, match="n: 0 given"):
        Agent(observation=Vector((4,)), actions=Discrete(0), core=LSTMCore)
