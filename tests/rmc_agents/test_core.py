"""The contract that every registered core must keep. A new core joins by one entry in ``OPTIONS``."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from rmc_agents import Core, DNCCore, core_names, leaves, make_core, map_tree, select
from rmc_agents.core import check_state

INPUT_SIZE = 3

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "rmc": [
        {"mem_slots": 3, "head_size": 2, "num_heads": 2},
        {"mem_slots": 2, "head_size": 3, "num_heads": 2, "num_blocks": 2, "key_size": 4, "gate_style": "memory"},
        {"mem_slots": 1, "head_size": 8, "gate_style": None},
        {"mem_slots": 3, "head_size": 4, "num_heads": 2, "num_blocks": 2, "attention_between_slots": False},
    ],
    "lstm": [
        {"hidden_size": 5},
        {"hidden_size": 4, "num_layers": 3},
        {"hidden_size": 4, "num_layers": 3, "skip_connections": True, "concatenate_outputs": True},
    ],
    "gru": [{"hidden_size": 5}, {"hidden_size": 4, "num_layers": 3}],
    "conv_lstm": [
        {"height": 1, "width": 2, "channels": 1, "hidden_channels": 3},
        {"height": 3, "width": 1, "channels": 1, "hidden_channels": 2, "kernel_size": 3},
    ],
    "lstm_bank": [{"num_cells": 3, "cell_size": 4}, {"num_cells": 2, "cell_size": 3, "share_weights": True}],
    "dnc": [
        {"mem_slots": 3, "word_size": 2, "num_reads": 2, "hidden_size": 4, "output_size": 3},
        {"mem_slots": 5, "word_size": 3, "num_reads": 1, "num_writes": 2, "hidden_size": 3, "num_layers": 2},
        {"mem_slots": 2, "word_size": 4, "hidden_size": 6, "controller": "feedforward", "clip_value": None},
    ],
}

EXACT_GRADIENT: dict[str, dict[str, Any]] = {"dnc": {"usage_gradient": True}}
"""Options without which a core holds back part of its gradient."""

CASES = [
    pytest.param(name, options, id=f"{name}{i}") for name, all_ in OPTIONS.items() for i, options in enumerate(all_)
]
every_core = pytest.mark.parametrize(("name", "options"), CASES)


def build(name: str, options: dict[str, Any], seed: int = 0) -> Core:
    torch.manual_seed(seed)
    return make_core(name, INPUT_SIZE, **options)


def random_state(core: Core, batch_size: int) -> Any:
    """Any numbers; but of the DNC, whose weightings have bounds, a state that random inputs lead to."""
    state = core.initial_state(batch_size)
    if isinstance(core, DNCCore):
        inputs = torch.randn(5, batch_size, INPUT_SIZE, dtype=state["memory"].dtype)
        with torch.no_grad():
            return core(inputs, state, torch.zeros(5, batch_size, dtype=torch.bool))[1]
    return map_tree(torch.randn_like, state)


def test_every_registered_core_is_tested_here() -> None:
    assert sorted(OPTIONS) == core_names()


@every_core
def test_shapes_and_types(name: str, options: dict[str, Any]) -> None:
    core = build(name, options)
    assert core.input_size == INPUT_SIZE
    state = core.initial_state(4)
    outputs, after = core(torch.randn(6, 4, INPUT_SIZE), state, torch.zeros(6, 4, dtype=torch.bool))
    assert outputs.shape == (6, 4, core.output_size)
    assert outputs.dtype == torch.float32
    for before_leaf, after_leaf in zip(leaves(state), leaves(after), strict=True):
        assert before_leaf.shape[0] == 4
        assert (after_leaf.shape, after_leaf.dtype) == (before_leaf.shape, before_leaf.dtype)
    assert {leaf.dtype for leaf in leaves(core.initial_state(1, dtype=torch.float64))} == {torch.float64}
    assert {leaf.device.type for leaf in leaves(core.initial_state(1, device="meta"))} == {"meta"}
    assert {leaf.dtype for leaf in leaves(core.double().initial_state(1))} == {torch.float64}


@every_core
def test_every_part_of_the_state_has_a_name(name: str, options: dict[str, Any]) -> None:
    core = build(name, options)
    assert len(core.state_names) == len(leaves(core.initial_state(2)))
    assert len(set(core.state_names)) == len(core.state_names)


@every_core
@pytest.mark.parametrize("seed", range(4))
def test_step_by_step_equals_whole_unroll(name: str, options: dict[str, Any], seed: int) -> None:
    core = build(name, options, seed)
    steps, batch = 12, 5
    inputs, reset = torch.randn(steps, batch, INPUT_SIZE), torch.rand(steps, batch) < 0.3
    state = random_state(core, batch)
    with torch.no_grad():
        outputs, final = core(inputs, state, reset)
        step_outputs = []
        for t in range(steps):
            output, state = core(inputs[t : t + 1], state, reset[t : t + 1])
            step_outputs.append(output)
    assert reset.any()
    torch.testing.assert_close(torch.cat(step_outputs), outputs, rtol=1e-5, atol=1e-5)
    for leaf, expected in zip(leaves(state), leaves(final), strict=True):
        torch.testing.assert_close(leaf, expected, rtol=1e-5, atol=1e-5)


@every_core
def test_unroll_equals_episodes_run_one_by_one(name: str, options: dict[str, Any]) -> None:
    """The definition of a reset: each episode alone, from the initial state, gives the same outputs."""
    core = build(name, options)
    inputs = torch.randn(9, 1, INPUT_SIZE)
    reset = torch.zeros(9, 1, dtype=torch.bool)
    starts = [0, 2, 3, 7]
    reset[starts] = True
    outputs, _ = core(inputs, random_state(core, 1), reset)
    for start, end in zip(starts, [*starts[1:], 9], strict=True):
        episode = inputs[start:end]
        alone, _ = core(episode, core.initial_state(1), torch.zeros(end - start, 1, dtype=torch.bool))
        torch.testing.assert_close(outputs[start:end], alone, rtol=1e-5, atol=1e-5)


@every_core
def test_nothing_leaks_across_a_reset(name: str, options: dict[str, Any]) -> None:
    core = build(name, options)
    steps, batch, first = 8, 3, 4
    reset = torch.zeros(steps, batch, dtype=torch.bool)
    reset[first] = True
    inputs, state = torch.randn(steps, batch, INPUT_SIZE), random_state(core, batch)
    other_inputs = torch.cat([torch.full((first, batch, INPUT_SIZE), torch.nan), inputs[first:]])
    other_state = map_tree(lambda leaf: torch.full_like(leaf, torch.nan), state)
    outputs, _ = core(inputs, state, reset)
    other_outputs, _ = core(other_inputs, other_state, reset)
    assert torch.equal(outputs[first:], other_outputs[first:])
    assert other_outputs[:first].isnan().all()


@every_core
def test_no_gradient_flows_across_a_reset(name: str, options: dict[str, Any]) -> None:
    core = build(name, options | EXACT_GRADIENT.get(name, {}))
    inputs = torch.randn(6, 2, INPUT_SIZE, requires_grad=True)
    state = map_tree(lambda leaf: leaf.requires_grad_(), random_state(core, 2))
    reset = torch.zeros(6, 2, dtype=torch.bool)
    reset[3, 0] = True  # item 0 begins anew, item 1 goes on
    outputs, _ = core(inputs, state, reset)
    weights = torch.randn_like(outputs[5])
    gradients = torch.autograd.grad((outputs[5] * weights).sum(), [inputs, *leaves(state)])
    assert (gradients[0][:3, 0] == 0).all()
    assert (gradients[0][3:, 0] != 0).any(dim=-1).all()
    assert (gradients[0][:, 1] != 0).any(dim=-1).all()
    for gradient in gradients[1:]:
        assert (gradient[0] == 0).all()
        assert (gradient[1] != 0).any()


@every_core
def test_items_of_a_batch_are_independent(name: str, options: dict[str, Any]) -> None:
    core = build(name, options)
    inputs, reset, state = torch.randn(5, 4, INPUT_SIZE), torch.rand(5, 4) < 0.3, random_state(core, 4)
    outputs, _ = core(inputs, state, reset)
    for b in range(4):
        item_state = map_tree(lambda leaf, b=b: leaf[b : b + 1], state)
        alone, _ = core(inputs[:, b : b + 1], item_state, reset[:, b : b + 1])
        torch.testing.assert_close(alone, outputs[:, b : b + 1], rtol=1e-5, atol=1e-5)


@every_core
def test_arguments_are_not_modified(name: str, options: dict[str, Any]) -> None:
    core = build(name, options)
    inputs, reset, state = torch.randn(5, 4, INPUT_SIZE), torch.rand(5, 4) < 0.3, random_state(core, 4)
    copies = [tensor.clone() for tensor in (inputs, reset, *leaves(state))]
    core(inputs, state, reset)
    for tensor, copy in zip((inputs, reset, *leaves(state)), copies, strict=True):
        assert torch.equal(tensor, copy)


@every_core
def test_gradients_are_right(name: str, options: dict[str, Any]) -> None:
    core = build(name, options | EXACT_GRADIENT.get(name, {})).double()
    for parameter in core.parameters():  # away from the neutral initial values
        torch.nn.init.normal_(parameter, std=0.5)
    inputs = torch.randn(3, 2, INPUT_SIZE, dtype=torch.float64, requires_grad=True)
    state = map_tree(lambda leaf: leaf.requires_grad_(), random_state(core, 2))
    reset = torch.tensor([[False, False], [True, False], [False, False]])
    structure = map_tree(lambda leaf: None, state)
    parameters = list(core.parameters())

    def run(inputs: Tensor, *state_and_parameters: Tensor) -> tuple[Tensor, ...]:
        flat = iter(state_and_parameters)
        outputs, after = core(inputs, map_tree(lambda _: next(flat), structure), reset)
        return (outputs, *leaves(after))

    # The parameters are checked too: gradcheck perturbs them in place, where the core finds them.
    assert torch.autograd.gradcheck(run, (inputs, *leaves(state), *parameters), atol=1e-4, fast_mode=True)


@every_core
def test_every_parameter_learns(name: str, options: dict[str, Any]) -> None:
    core = build(name, options)
    outputs, _ = core(torch.randn(4, 3, INPUT_SIZE), core.initial_state(3), torch.zeros(4, 3, dtype=torch.bool))
    (outputs * torch.randn_like(outputs)).sum().backward()
    for parameter_name, parameter in core.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert (parameter.grad != 0).any(), parameter_name


@every_core
def test_learns_to_remember(name: str, options: dict[str, Any]) -> None:
    """Which of three symbols came first, asked after five more."""
    core = build(name, options)
    head = torch.nn.Linear(core.output_size, INPUT_SIZE)
    optimiser = torch.optim.Adam([*core.parameters(), *head.parameters()], lr=0.01)
    reset = torch.zeros(6, 32, dtype=torch.bool)
    for _ in range(300):
        symbols = torch.randint(INPUT_SIZE, (6, 32))
        outputs, _ = core(F.one_hot(symbols, INPUT_SIZE).float(), core.initial_state(32), reset)
        loss = F.cross_entropy(head(outputs[-1]), symbols[0])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if loss < 0.5:
            return
    raise AssertionError(f"cross-entropy {loss:.2f} after 300 updates; guessing is 1.10")


@every_core
def test_state_dict_round_trip(name: str, options: dict[str, Any]) -> None:
    core, other = build(name, options, seed=0), build(name, options, seed=1)
    inputs, reset = torch.randn(5, 4, INPUT_SIZE), torch.rand(5, 4) < 0.3
    outputs, _ = core(inputs, core.initial_state(4), reset)
    assert not torch.equal(other(inputs, other.initial_state(4), reset)[0], outputs)
    other.load_state_dict(core.state_dict())
    assert torch.equal(other(inputs, other.initial_state(4), reset)[0], outputs)


@every_core
def test_bad_inputs_are_named(name: str, options: dict[str, Any]) -> None:
    core = build(name, options)
    inputs, reset, state = torch.randn(5, 4, INPUT_SIZE), torch.zeros(5, 4, dtype=torch.bool), core.initial_state(4)
    with pytest.raises(ValueError, match=r"inputs: shape \[4, 3\] given, \[T, B, I\] with I = 3"):
        core(inputs[0], state, reset)
    with pytest.raises(ValueError, match=r"inputs: shape \[5, 4, 2\]"):
        core(inputs[..., :2], state, reset)
    with pytest.raises(ValueError, match=r"inputs: shape \[0, 4, 3\]"):
        core(inputs[:0], state, reset[:0])
    with pytest.raises(ValueError, match=r"reset: torch.bool \[4, 4\] given"):
        core(inputs, state, reset[:4])
    with pytest.raises(ValueError, match=r"reset: torch.float32 \[5, 4\] given"):
        core(inputs, state, reset.float())
    with pytest.raises(ValueError, match=r"state: leaf 0 of \d: \[3, .* given, a tensor of shape \[4, "):
        core(inputs, core.initial_state(3), reset)
    with pytest.raises(ValueError, match=r"state: "):
        core(inputs, {"memory": state}, reset)


def test_state_errors_tell_the_structure() -> None:
    core = build("lstm", {"hidden_size": 5})
    inputs, reset = torch.randn(1, 4, INPUT_SIZE), torch.zeros(1, 4, dtype=torch.bool)
    hidden, cell = core.initial_state(4)
    with pytest.raises(ValueError, match="state: trees differ in structure: tuple of 2 against list of 2"):
        core(inputs, [hidden, cell], reset)
    with pytest.raises(ValueError, match="state: leaf 1 of 2: NoneType given"):
        core(inputs, (hidden, None), reset)


def test_the_base_class_loops_over_any_step() -> None:
    """A core that adds up its inputs: the simplest use of the base class, with an initial state that is not zero."""

    class Adder(Core):
        def __init__(self) -> None:
            super().__init__()
            self.input_size = self.output_size = 1

        def initial_state(self, batch_size: int, device: Any = None, dtype: Any = None) -> dict[str, Tensor]:
            return {"sum": torch.full((batch_size, 1), 100.0)}

        def step(self, projected: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            total = state["sum"] + projected
            return total, {"sum": total}

    core = Adder()
    inputs = torch.tensor([1.0, 2, 3, 4]).reshape(4, 1, 1)
    outputs, state = core(inputs, {"sum": torch.zeros(1, 1)}, torch.tensor([[False], [False], [True], [False]]))
    assert outputs.flatten().tolist() == [1, 3, 103, 107]
    assert select(torch.tensor([True]), state, core.initial_state(1))["sum"].item() == 107


def test_a_state_may_list_its_entries_in_any_order() -> None:
    check_state({"a": torch.zeros(2, 3), "b": torch.zeros(2)}, {"b": torch.ones(1), "a": torch.ones(1, 3)}, 2)
    with pytest.raises(ValueError, match=r"state: leaf 1 of 2: \[2, 3\] given, a tensor of shape \[2, 4\] needed"):
        check_state({"a": torch.zeros(2, 3), "b": torch.zeros(2)}, {"b": torch.ones(1), "a": torch.ones(1, 4)}, 2)


@every_core
def test_wrong_types_and_devices_are_named(name: str, options: dict[str, Any]) -> None:
    core = build(name, options)
    inputs, state, reset = torch.randn(2, 3, INPUT_SIZE), core.initial_state(3), torch.zeros(2, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"inputs: torch.float64 on cpu given, torch.float32 on cpu needed"):
        core(inputs.double(), state, reset)
    with pytest.raises(ValueError, match=r"inputs: torch.float32 on meta given, torch.float32 on cpu needed"):
        core(inputs.to("meta"), state, reset)
    with pytest.raises(
        ValueError, match=r"state: leaf 0 of \d: torch.float64 on cpu given, torch.float32 on cpu needed"
    ):
        core(inputs, map_tree(torch.Tensor.double, state), reset)
    with pytest.raises(ValueError, match="reset: on meta given, on cpu as inputs needed"):
        core(inputs, state, reset.to("meta"))
