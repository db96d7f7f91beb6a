"""The core as peers carry it, and the settings of a request."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.peer_side import PlainCore, chosen
from rmc_agents import make_core
from rmc_agents.core import Core

CORES: dict[str, dict[str, Any]] = {
    "rmc": {"mem_slots": 3, "head_size": 4, "num_heads": 2, "gate_style": "memory", "fast": True},
    "lstm": {"hidden_size": 5, "num_layers": 2},
}


@pytest.fixture(params=CORES)
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"name": request.param, **CORES[request.param]}


def core_beside(plain: PlainCore, options: dict[str, Any]) -> Core:
    """The core with the options as they are, fast path included, and the weights of `plain`."""
    core = make_core(**options, input_size=7)
    core.load_state_dict(plain.core.state_dict())
    return core


def test_zeros_are_the_initial_memory(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    plain = PlainCore(options, input_size=7)
    core = core_beside(plain, options)
    inputs = torch.randn(6, 4, 7)
    outputs, _ = plain(inputs, torch.zeros(4, plain.state_size))
    wanted, _ = core(inputs, core.initial_state(4), torch.zeros(6, 4, dtype=torch.bool))
    assert outputs.shape == (6, 4, plain.output_size)
    torch.testing.assert_close(outputs, wanted, rtol=1e-4, atol=1e-5)


def test_the_state_carries_the_memory_on(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    plain = PlainCore(options, input_size=7)
    inputs = torch.randn(6, 4, 7)
    whole, last = plain(inputs, torch.zeros(4, plain.state_size))
    first_part, between = plain(inputs[:2], torch.zeros(4, plain.state_size))
    second_part, after = plain(inputs[2:], between)
    assert not torch.equal(between, torch.zeros_like(between))
    torch.testing.assert_close(torch.cat([first_part, second_part]), whole, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(after, last, rtol=1e-4, atol=1e-5)


def test_the_fast_path_is_off() -> None:
    options = {"name": "rmc", **CORES["rmc"]}
    assert PlainCore(options, input_size=7).core.fast is False
    assert options["fast"] is True


def test_a_request_changes_settings_that_there_are() -> None:
    best = {"rmc": {"games": 64, "threads": 2}, "lstm": {"games": 8}}
    assert chosen(best, {"compare": "rmc", "settings": {"games": 32}}) == {"games": 32, "threads": 2}
    assert best["rmc"]["games"] == 64
    with pytest.raises(ValueError, match=r"settings: threads given, some of games needed"):
        chosen(best, {"compare": "lstm", "settings": {"threads": 1}})
