"""The memories one can ask for by ``core=<name>``: their files say all there is to say, and what they cost."""

from __future__ import annotations

import inspect
import re

import pytest
import torch

from rmc_agents import core_names, leaves
from rmc_agents.registry import cores
from rmc_rl.building import build_agent
from rmc_rl.config import make_config
from rmc_rl.paths import config_dir
from tests.spaces import discrete_interface

VIEWPORT = discrete_interface((5, 5, 3), 5)
"""Mini Pacman through the viewport: the default game."""


def test_every_core_has_a_file() -> None:
    assert sorted(path.stem for path in (config_dir() / "core").glob("*.yaml")) == core_names()


@pytest.mark.parametrize("name", core_names())
def test_every_option_has_a_value_in_the_file(name: str) -> None:
    parameters = inspect.signature(cores.get(name)).parameters.values()
    options = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    options -= {"treat_input_as_matrix"}  # an agent gives its core vectors
    assert set(make_config(f"core={name}").core) == {"name"} | options


@pytest.mark.parametrize("name", core_names())
def test_an_agent_acts_with_it(name: str) -> None:
    agent = build_agent(make_config(f"core={name}"), VIEWPORT, seed=0)
    output, state = agent(
        torch.randint(0, 256, (2, 3, 5, 5, 3), dtype=torch.uint8),
        torch.zeros((2, 3), dtype=torch.int64),
        torch.zeros((2, 3)),
        torch.tensor([[True] * 3, [False] * 3]),
        agent.initial_state(3),
    )
    assert output.policy.shape == (2, 3, 5)
    assert all(leaf.isfinite().all() for leaf in leaves(state))


@pytest.mark.parametrize("name", ["conv_lstm", "dnc", "gru", "lstm", "lstm_bank"])
def test_the_number_of_parameters_is_the_one_stated(name: str) -> None:
    stated = re.search(
        r"([\d,]+) parameters in Mini Pacman's viewport", (config_dir() / "core" / f"{name}.yaml").read_text()
    )
    assert stated is not None
    core = build_agent(make_config(f"core={name}"), VIEWPORT).core
    assert sum(parameter.numel() for parameter in core.parameters()) == int(stated[1].replace(",", ""))
