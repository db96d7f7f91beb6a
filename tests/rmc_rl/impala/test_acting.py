"""Acting recorded, with a recorder that does the work again instead of having a GPU replay it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rmc_agents import Agent, Discrete, Vector
from rmc_agents.core import Core
from rmc_agents.tree import leaves
from rmc_rl.impala.acting import Acting, Row
from tests.recorder import again
from tests.rmc_rl.impala.scripted import small_agent

BATCH = 5


class Shifting(Core):
    """Its memory is the last three inputs: each step moves parts of it to other places."""

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, 4
        self.read = torch.nn.Linear(3 * input_size, 4)

    def initial_state(self, batch_size: int, device: Any = None, dtype: Any = None) -> tuple[Tensor, ...]:
        return tuple(torch.zeros(batch_size, self.input_size, device=device, dtype=dtype) for _ in range(3))

    def step(self, projected: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        state = (projected, state[0], state[1])
        return self.read(torch.cat(state, dim=1)), state

    def unroll(self, inputs: Tensor, state: Any, reset: Tensor) -> tuple[Tensor, Any]:
        """Without resets, which would copy."""
        output, state = self.step(inputs[0], state)
        return output[None], state


def shifting_agent() -> Agent:
    return Agent(observation=Vector((3,)), actions=Discrete(3), core=Shifting)


AGENTS = {"rmc": small_agent, "lstm": lambda: small_agent("lstm"), "shifting": shifting_agent}


def rows(count: int) -> list[Row]:
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> Tensor:
        return torch.randn(1, BATCH, *shape, generator=generator)

    return [
        (random(3), torch.randint(3, (1, BATCH), generator=generator), random(), random() > 1.0) for _ in range(count)
    ]


def played(acting: Acting, given: list[Row], core_state: Any) -> tuple[list[Tensor], Any]:
    """Actions and log-probabilities of each row, and the memory after."""
    chosen = []
    with torch.inference_mode():
        for row in given:
            action, log_prob, core_state = acting(row, core_state)
            chosen += [action.clone(), log_prob.clone()]
    return chosen, core_state


def make(agent: Agent, record: Any = None) -> Acting:
    return Acting(agent, torch.Generator().manual_seed(3), record)


def assert_same(first: tuple[list[Tensor], Any], second: tuple[list[Tensor], Any]) -> None:
    for one, two in zip(first[0] + leaves(first[1]), second[0] + leaves(second[1]), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("name", AGENTS)
def test_a_replay_does_what_the_agent_does(name: str) -> None:
    torch.manual_seed(0)
    agent = AGENTS[name]()
    acting, recorded = make(agent), make(agent, again)
    start = agent.initial_state(BATCH)
    expected = played(acting, rows(6), start)
    assert_same(played(recorded, rows(6), start), expected)
    assert not torch.equal(expected[0][0], expected[0][4]), "the same actions for every row would prove nothing"


def test_it_goes_on_from_whatever_memory_it_is_given() -> None:
    torch.manual_seed(0)
    agent = small_agent()
    acting, recorded = make(agent), make(agent, again)
    other = torch.randn(agent.initial_state(BATCH).shape)
    given = other.clone()
    for start in (agent.initial_state(BATCH), given):
        assert_same(played(recorded, rows(3), start), played(acting, rows(3), start))
    assert torch.equal(given, other), "what it is given is left alone"


def test_new_weights_are_seen() -> None:
    torch.manual_seed(0)
    agent = small_agent()
    acting, recorded = make(agent), make(agent, again)
    start = agent.initial_state(BATCH)
    first = played(recorded, rows(2), start)
    played(acting, rows(2), start)
    with torch.no_grad():
        for parameter in agent.parameters():
            parameter.mul_(3.0)
    expected = played(acting, rows(2), start)
    assert_same(played(recorded, rows(2), start), expected)
    assert not torch.equal(first[0][1], expected[0][1])


def test_what_cannot_be_recorded_is_computed_as_it_comes_and_said_once() -> None:
    tries = []

    def refuse(work: Any) -> Any:
        tries.append(work)
        work()
        raise RuntimeError("operation not permitted when stream is capturing")

    torch.manual_seed(0)
    agent = small_agent()
    start = agent.initial_state(BATCH)
    with pytest.warns(UserWarning, match="acting is not recorded as a CUDA graph: operation not permitted") as said:
        found = played(make(agent, refuse), rows(4), start)
    assert len(tries) == len(said) == 1
    assert_same(found, played(make(agent), rows(4), start))
