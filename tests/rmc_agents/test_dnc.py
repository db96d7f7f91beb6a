"""The DNC against a slow oracle in NumPy, and the invariants of its weightings."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rmc_agents import DNCCore, dnc, leaves, map_tree
from rmc_agents.dnc import (
    allocation_weights,
    content_weights,
    next_link,
    next_precedence,
    usage_after_free,
    usage_after_write,
    write,
)

INPUT_SIZE = 3
CASES: dict[str, dict[str, Any]] = {
    "one-write": {"mem_slots": 4, "word_size": 3, "num_reads": 2, "hidden_size": 5, "output_size": 4},
    "two-writes": {"mem_slots": 5, "word_size": 2, "num_reads": 3, "num_writes": 2, "hidden_size": 4},
    "three-writes-two-layers": {"mem_slots": 6, "word_size": 4, "num_writes": 3, "hidden_size": 4, "num_layers": 2},
    "clipped": {"mem_slots": 4, "word_size": 3, "hidden_size": 5, "output_size": 4, "clip_value": 0.3},
    "not-clipped": {"mem_slots": 4, "word_size": 3, "hidden_size": 5, "output_size": 4, "clip_value": None},
    "feedforward": {"mem_slots": 4, "word_size": 3, "hidden_size": 6, "num_layers": 2, "controller": "feedforward"},
    "one-slot": {"mem_slots": 1, "word_size": 2, "num_reads": 1, "hidden_size": 4},
}
every_case = pytest.mark.parametrize("options", [pytest.param(options, id=name) for name, options in CASES.items()])


def build(options: dict[str, Any], seed: int = 0, scale: float = 1.0) -> DNCCore:
    """A core in float64 whose parameters are all random, biases included."""
    torch.manual_seed(seed)
    core = DNCCore(INPUT_SIZE, **options).double()
    for parameter in core.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return core


def unroll(core: DNCCore, inputs: Tensor, state: Any = None) -> tuple[Tensor, list[Any]]:
    """The outputs and the state after every step, from the initial state unless told otherwise."""
    steps, batch = inputs.shape[:2]
    state = core.initial_state(batch) if state is None else state
    outputs, states = [], []
    with torch.no_grad():
        for t in range(steps):
            output, state = core(inputs[t : t + 1], state, torch.zeros(1, batch, dtype=torch.bool))
            outputs.append(output)
            states.append(state)
    return torch.cat(outputs), states


def inputs_of(steps: int, batch: int = 3) -> Tensor:
    return torch.randn(steps, batch, INPUT_SIZE, dtype=torch.float64)


# The oracle: one item, one number after the other, from the equations alone.


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def softmax(x: Any) -> Any:
    powers = np.exp(x - np.max(x))
    return powers / powers.sum()


def affine(layer: Any, x: Any) -> Any:
    result = layer.weight.detach().numpy() @ x
    return result if layer.bias is None else result + layer.bias.detach().numpy()


def cosine(a: Any, b: Any) -> float:
    return float(np.dot(a, b) / (np.sqrt(np.dot(a, a) + 1e-6) * np.sqrt(np.dot(b, b) + 1e-6)))


def allocation_oracle(usage: Any) -> Any:
    slots = len(usage)
    used = [1e-6 + (1 - 1e-6) * u for u in usage]
    allocation = np.zeros(slots)
    room_taken = 1.0
    for slot in sorted(range(slots), key=lambda i: (used[i], i)):
        allocation[slot] = (1 - used[slot]) * room_taken
        room_taken *= used[slot]
    return allocation


class Oracle:
    """A DNC's step for one item, with the parameters of ``core`` and a state of NumPy arrays."""

    def __init__(self, core: DNCCore) -> None:
        self.core = core
        self.state = {name: leaf[0].numpy() for name, leaf in core.initial_state(1).items() if isinstance(leaf, Tensor)}
        self.hidden: list[Any] = [leaf[0].numpy().copy() for leaf in core.initial_state(1)["controller"]]

    def clip(self, x: Any) -> Any:
        return x if self.core.clip_value is None else np.clip(x, -self.core.clip_value, self.core.clip_value)

    def control(self, x: Any, read_words: Any) -> Any:
        controller: Any = self.core.controller
        # from_read_words is the part that reads of each layer that has one.
        from_read = self.core.from_read_words.weight.detach().numpy() @ read_words.flatten()
        if not self.hidden:
            below = affine(controller.layers[0], x) + from_read
            for layer in controller.layers[1:]:
                below = affine(layer, np.maximum(below, 0))
            return self.clip(np.maximum(below, 0))
        hidden, cell = self.hidden
        outputs: list[Any] = []
        for layer in range(len(hidden)):
            gates = affine(controller.from_input[layer], x) + affine(controller.from_hidden[layer], hidden[layer])
            gates = gates + np.split(from_read, len(hidden))[layer]
            if layer > 0:
                gates = gates + affine(controller.from_below[layer - 1], outputs[-1])
            i, f, o, g = np.split(gates, 4)
            cell[layer] = sigmoid(f) * cell[layer] + sigmoid(i) * np.tanh(g)
            hidden[layer] = sigmoid(o) * np.tanh(cell[layer])
            outputs.append(hidden[layer].copy())
        self.hidden = [self.clip(hidden), self.clip(cell)]
        return self.clip(np.concatenate(outputs))

    def step(self, x: Any) -> Any:
        core, old = self.core, self.state
        slots, width, reads, writes = core.mem_slots, core.word_size, core.num_reads, core.num_writes
        control = self.control(x, old["read_words"])
        # The linear maps of the controller's output, one after the other.
        numbers = iter(affine(core.interface, control))

        def take(*shape: int) -> Any:
            return np.array([next(numbers) for _ in range(int(np.prod(shape)))]).reshape(shape)

        write_vectors, erase_vectors = take(writes, width), sigmoid(take(writes, width))
        write_keys, read_keys = take(writes, width), take(reads, width)
        modes = np.array([softmax(row) for row in take(reads, 1 + 2 * writes)])
        write_strengths, read_strengths = np.log1p(np.exp(take(writes))), np.log1p(np.exp(take(reads)))
        free_gates, allocation_gates, write_gates = sigmoid(take(reads)), sigmoid(take(writes)), sigmoid(take(writes))
        assert next(numbers, None) is None

        usage = old["usage"].copy()
        for i in range(slots):
            not_written = np.prod([1 - old["write_weights"][k, i] for k in range(writes)])
            usage[i] = usage[i] + (1 - usage[i]) * (1 - not_written)
            usage[i] *= np.prod([1 - free_gates[r] * old["read_weights"][r, i] for r in range(reads)])

        write_weights = np.zeros((writes, slots))
        taken = usage.copy()
        for k in range(writes):
            content = softmax([write_strengths[k] * cosine(write_keys[k], row) for row in old["memory"]])
            allocation = allocation_oracle(taken)
            write_weights[k] = write_gates[k] * (allocation_gates[k] * allocation + (1 - allocation_gates[k]) * content)
            taken += (1 - taken) * write_gates[k] * allocation_gates[k] * allocation

        memory = old["memory"].copy()
        for i in range(slots):
            for j in range(width):
                memory[i, j] *= np.prod([1 - write_weights[k, i] * erase_vectors[k, j] for k in range(writes)])
                memory[i, j] += sum(write_weights[k, i] * write_vectors[k, j] for k in range(writes))

        link = np.zeros((writes, slots, slots))
        precedence = np.zeros((writes, slots))
        for k in range(writes):
            w, p = write_weights[k], old["precedence"][k]
            for i in range(slots):
                for j in range(slots):
                    if i != j:
                        link[k, i, j] = (1 - w[i] - w[j]) * old["link"][k, i, j] + w[i] * p[j]
            precedence[k] = (1 - w.sum()) * p + w

        read_weights = np.zeros((reads, slots))
        for r in range(reads):
            last = old["read_weights"][r]
            ways = [link[k].T @ last for k in range(writes)] + [link[k] @ last for k in range(writes)]
            ways.append(softmax([read_strengths[r] * cosine(read_keys[r], row) for row in memory]))
            read_weights[r] = sum(mode * way for mode, way in zip(modes[r], ways, strict=True))
        read_words = read_weights @ memory

        self.state = {
            "read_words": read_words,
            "memory": memory,
            "usage": usage,
            "link": link,
            "precedence": precedence,
            "read_weights": read_weights,
            "write_weights": write_weights,
        }
        return self.clip(affine(core.output, np.concatenate([control, read_words.flatten()])))


@every_case
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_oracle(options: dict[str, Any], seed: int) -> None:
    core = build(options, seed)
    inputs = inputs_of(8, batch=2)
    outputs, states = unroll(core, inputs)
    for item in range(2):
        oracle = Oracle(core)
        for t, state in enumerate(states):
            expected = oracle.step(inputs[t, item].numpy())
            np.testing.assert_allclose(outputs[t, item].numpy(), expected, atol=1e-9)
            for name, numbers in oracle.state.items():
                np.testing.assert_allclose(state[name][item].numpy(), numbers, atol=1e-9, err_msg=f"{name}, step {t}")
            for leaf, numbers in zip(state["controller"], oracle.hidden, strict=True):
                np.testing.assert_allclose(leaf[item].numpy(), numbers, atol=1e-9)


def test_clipping_took_part() -> None:
    outputs, states = unroll(build(CASES["clipped"]), inputs_of(8))
    for numbers in (outputs, *(leaf for state in states for leaf in state["controller"])):
        assert numbers.abs().max() == 0.3
    assert states[-1]["memory"].abs().max() > 0.3  # which nothing clips


# Invariants, for any parameters and inputs


def check_weighting(weights: Tensor) -> None:
    assert weights.min() >= -1e-9
    assert weights.sum(dim=-1).max() <= 1 + 1e-9


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    options=st.sampled_from(list(CASES.values())),
    seed=st.integers(0, 2**16),
    scale=st.sampled_from([0.1, 1.0, 5.0, 30.0]),
)
def test_what_stays_within_its_bounds(options: dict[str, Any], seed: int, scale: float) -> None:
    core = build(options, seed, scale)
    _, states = unroll(core, 3 * inputs_of(12))
    for state in states:
        assert all(leaf.isfinite().all() for leaf in leaves(state))
        for name in ("read_weights", "write_weights", "precedence"):
            check_weighting(state[name])
        assert state["usage"].min() >= 0
        assert state["usage"].max() <= 1 + 1e-9
        check_weighting(state["link"])
        check_weighting(state["link"].transpose(-1, -2))
        assert (state["link"].diagonal(dim1=-2, dim2=-1) == 0).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(usage=st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_allocation(usage: list[float]) -> None:
    given = torch.tensor([usage], dtype=torch.float64)
    allocation = allocation_weights(given)[0]
    check_weighting(allocation)
    np.testing.assert_allclose(allocation.numpy(), allocation_oracle(usage), atol=1e-9)
    # All there is to allocate is given out: what is left is the product of all usages.
    assert 1 - allocation.sum().item() == pytest.approx(np.prod([1e-6 + (1 - 1e-6) * u for u in usage]), abs=1e-9)


def test_allocation_prefers_what_is_free() -> None:
    def allocate(*usage: float) -> list[float]:
        return allocation_weights(torch.tensor([usage], dtype=torch.float64))[0].tolist()

    assert allocate(0, 0, 0) == pytest.approx([1, 0, 0], abs=1e-5)  # the first among equals
    assert allocate(1, 1, 0, 1) == pytest.approx([0, 0, 1, 0], abs=1e-5)
    assert allocate(1, 1, 1) == pytest.approx([0, 0, 0], abs=1e-9)
    assert allocate(0.9, 0.5, 1) == pytest.approx([0.5 * 0.1, 0.5, 0], abs=1e-5)


def test_usage() -> None:
    usage = torch.tensor([[0.0, 0.5, 1.0, 0.2]], dtype=torch.float64)
    written = torch.tensor([[[0.5, 0.5, 0.0, 0.0], [0.5, 0.0, 0.0, 0.0]]], dtype=torch.float64)
    after = usage_after_write(usage, written)
    torch.testing.assert_close(after, torch.tensor([[0.75, 0.75, 1.0, 0.2]], dtype=torch.float64))
    read = torch.tensor([[[1.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0]]], dtype=torch.float64)
    freed = usage_after_free(after, torch.tensor([[1.0, 0.5]], dtype=torch.float64), read)
    torch.testing.assert_close(freed, torch.tensor([[0.0, 0.75 * 0.75, 0.75, 0.2]], dtype=torch.float64))


def test_content() -> None:
    memory = torch.tensor([[[3.0, 0.0], [0.0, 0.1], [-1.0, 0.0], [0.0, 0.0]]], dtype=torch.float64)
    keys = torch.tensor([[[7.0, 0.0], [0.0, 2.0], [0.0, 0.0]]], dtype=torch.float64)
    weights = content_weights(memory, keys, torch.tensor([[50.0, 2.0, 9.0]], dtype=torch.float64))[0]
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, dtype=torch.float64))
    # Strong: all on the slot of the key's direction, whatever its length.
    torch.testing.assert_close(weights[0], torch.tensor([1.0, 0, 0, 0], dtype=torch.float64), rtol=0, atol=1e-6)
    # Weak: the others keep a share, e^-2 of it, since their cosine is 0.
    expected = torch.tensor([0.0, 2.0, 0.0, 0.0], dtype=torch.float64).softmax(dim=0)
    torch.testing.assert_close(weights[1], expected, rtol=0, atol=1e-3)
    # A key of zeros is like every slot.
    torch.testing.assert_close(weights[2], torch.full((4,), 0.25, dtype=torch.float64))
    assert torch.equal(
        content_weights(torch.zeros(1, 4, 2), torch.randn(1, 1, 2), torch.ones(1, 1)).unique(), weights[2, :1].float()
    )


def test_writing() -> None:
    memory = torch.arange(6.0).reshape(1, 3, 2)
    weights = torch.tensor([[[0.0, 1.0, 0.0]]])
    vector = torch.tensor([[[10.0, 20.0]]])
    replaced = write(memory, weights, torch.ones(1, 1, 2), vector)
    assert replaced.tolist() == [[[0, 1], [10, 20], [4, 5]]]
    added = write(memory, weights, torch.zeros(1, 1, 2), vector)
    assert added.tolist() == [[[0, 1], [12, 23], [4, 5]]]
    half = write(memory, weights / 2, torch.tensor([[[1.0, 0.0]]]), vector)
    assert half.tolist() == [[[0, 1], [1 + 5, 3 + 10], [4, 5]]]
    assert torch.equal(write(memory, torch.zeros(1, 1, 3), torch.ones(1, 1, 2), vector), memory)


def test_the_link_remembers_the_order_of_writing() -> None:
    """Slots written one by one: forward of one is the next, backward the one before, precedence the last."""
    slots, order = 5, [2, 0, 4, 1]
    link, precedence = torch.zeros(1, 1, slots, slots), torch.zeros(1, 1, slots)
    one_hot = torch.eye(slots)
    for slot in order:
        written = one_hot[slot].reshape(1, 1, slots)
        link = next_link(link, precedence, written)
        precedence = next_precedence(precedence, written)
        assert torch.equal(precedence, written)
        unwritten = torch.zeros(1, 1, slots)  # a step without writing changes nothing
        assert torch.equal(next_link(link, precedence, unwritten), link)
        assert torch.equal(next_precedence(precedence, unwritten), precedence)
    for before, after in pairwise(order):
        assert torch.equal(link[0, 0] @ one_hot[before], one_hot[after])
        assert torch.equal(link[0, 0].T @ one_hot[after], one_hot[before])
    assert not (link[0, 0] @ one_hot[order[-1]]).any()
    assert not (link[0, 0].T @ one_hot[order[0]]).any()
    # Written anew after the last, slot 0 has a new predecessor and its old neighbours lose it.
    link = next_link(link, precedence, one_hot[0].reshape(1, 1, slots))
    assert torch.equal(link[0, 0].T @ one_hot[0], one_hot[1])
    assert not (link[0, 0] @ one_hot[2]).any()
    assert not (link[0, 0].T @ one_hot[4]).any()


def set_interface(core: DNCCore, **values: Any) -> None:
    """Have the interface say the same at every step: before its sigmoid, softmax or softplus; 0 where not named."""
    with torch.no_grad():
        core.interface.weight.zero_()
        rows, start = {}, 0
        for name, shape in core.interface_shapes.items():
            size = int(np.prod(shape))
            rows[name] = core.interface.bias[start : start + size]
            start += size
        core.interface.bias.zero_()
        for name, value in values.items():
            rows[name].copy_(torch.as_tensor(value, dtype=torch.float64).expand(core.interface_shapes[name]).flatten())


def test_writing_by_allocation_fills_one_slot_after_the_other() -> None:
    core = build({"mem_slots": 4, "word_size": 2, "num_reads": 1, "hidden_size": 3})
    words = torch.tensor([5.0, -1.0], dtype=torch.float64)
    set_interface(core, write_gates=40, allocation_gates=40, free_gates=-40, write_vectors=words)
    _, states = unroll(core, inputs_of(6, batch=1))
    order = [int(state["write_weights"][0, 0].argmax()) for state in states[:4]]
    assert sorted(order) == [0, 1, 2, 3]
    for t, state in enumerate(states[:4]):
        expected = torch.zeros(4, 2, dtype=torch.float64)
        expected[order[: t + 1]] = words
        torch.testing.assert_close(state["memory"][0], expected, rtol=0, atol=1e-4)
    # The memory is full and nothing was freed: there is nowhere left to write.
    for state in states[4:]:
        assert state["write_weights"].abs().max() < 1e-4
        for before, after in pairwise(order):
            assert state["link"][0, 0, after, before] > 0.999
        assert state["link"].sum().item() == pytest.approx(3, abs=1e-3)


def test_a_closed_write_gate_leaves_the_memory_as_it_is() -> None:
    core = build(CASES["two-writes"])
    _, states = unroll(core, inputs_of(5))
    before = states[-1]
    set_interface(core, write_gates=-800)
    _, states = unroll(core, inputs_of(5), before)
    for name in ("memory", "link", "precedence"):
        assert torch.equal(states[-1][name], before[name])


def test_several_write_heads_write_to_different_slots() -> None:
    core = build({"mem_slots": 4, "word_size": 2, "num_writes": 3, "hidden_size": 3})
    set_interface(core, write_gates=40, allocation_gates=40)
    _, states = unroll(core, inputs_of(1, batch=1))
    weights = states[0]["write_weights"][0]
    torch.testing.assert_close(weights.amax(dim=-1), torch.ones(3).double(), rtol=0, atol=1e-4)
    assert len(set(weights.argmax(dim=-1).tolist())) == 3


@every_case
def test_slots_have_no_order(options: dict[str, Any]) -> None:
    """Whoever permutes the slots of a state permutes those of the next ones, and sees the same outputs."""
    core = build(options)
    _, states = unroll(core, inputs_of(6))
    order = torch.randperm(core.mem_slots)
    permuted = dict(states[-1])
    for name in ("memory", "usage", "precedence", "read_weights", "write_weights"):
        axis = 1 if name in ("memory", "usage") else 2
        permuted[name] = permuted[name].index_select(axis, order)
    permuted["link"] = permuted["link"][:, :, order][:, :, :, order]
    inputs = inputs_of(4)
    outputs, after = unroll(core, inputs, states[-1])
    other_outputs, other_after = unroll(core, inputs, permuted)
    torch.testing.assert_close(other_outputs, outputs)
    torch.testing.assert_close(other_after[-1]["memory"], after[-1]["memory"][:, order])
    torch.testing.assert_close(other_after[-1]["link"], after[-1]["link"][:, :, order][:, :, :, order])


# Gradients


def test_the_usage_passes_no_gradient_to_the_write_weights_unless_told() -> None:
    """The outputs are the same; the state's write weights, which only the usage reads, have a gradient or none."""
    inputs = inputs_of(4)
    results = []
    for usage_gradient in (False, True):
        core = build(CASES["one-write"] | {"usage_gradient": usage_gradient})
        state = map_tree(lambda leaf: leaf.requires_grad_(), unroll(core, inputs[:3])[1][-1])
        outputs, _ = core(inputs, state, torch.zeros(4, 3, dtype=torch.bool))
        outputs.square().sum().backward()
        results.append((outputs, state["write_weights"].grad))
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][1] is None
    assert (results[1][1] != 0).any()


@every_case
def test_the_gradient_holds_what_was_written_fixed(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """By finite differences of a DNC whose usage is told, at every step, the write weights of an unperturbed run."""
    core = build(options)
    inputs, reset = inputs_of(5), torch.zeros(5, 3, dtype=torch.bool)
    written: list[Tensor] = []

    def record(usage: Tensor, write_weights: Tensor) -> Tensor:
        written.append(write_weights.clone())
        return usage_after_write(usage, write_weights)

    monkeypatch.setattr(dnc, "usage_after_write", record)
    outputs, _ = core(inputs, core.initial_state(3), reset)
    weights = torch.randn_like(outputs)
    (outputs * weights).sum().backward()
    directions = [torch.randn_like(parameter) for parameter in core.parameters()]
    slope = sum((p.grad * d).sum() for p, d in zip(core.parameters(), directions, strict=True) if p.grad is not None)

    def moved(distance: float) -> Tensor:
        again = iter(written)
        monkeypatch.setattr(dnc, "usage_after_write", lambda usage, _: usage_after_write(usage, next(again)))
        other = build(options)
        with torch.no_grad():
            for parameter, direction in zip(other.parameters(), directions, strict=True):
                parameter.add_(direction, alpha=distance)
            return (other(inputs, other.initial_state(3), reset)[0] * weights).sum()

    numerical = (moved(1e-6) - moved(-1e-6)) / 2e-6
    torch.testing.assert_close(torch.as_tensor(slope), numerical, rtol=1e-5, atol=1e-6)


# Construction


def test_initial_state_is_zero() -> None:
    core = DNCCore(3, mem_slots=5, word_size=4, num_reads=2, num_writes=3, hidden_size=6, num_layers=2)
    state = core.initial_state(7)
    assert not any(leaf.any() for leaf in leaves(state))
    assert {name: tuple(leaf.shape) for name, leaf in state.items() if isinstance(leaf, Tensor)} == {
        "read_words": (7, 2, 4),
        "memory": (7, 5, 4),
        "usage": (7, 5),
        "link": (7, 3, 5, 5),
        "precedence": (7, 3, 5),
        "read_weights": (7, 2, 5),
        "write_weights": (7, 3, 5),
    }
    assert [tuple(leaf.shape) for leaf in state["controller"]] == [(7, 2, 6), (7, 2, 6)]
    assert DNCCore(3, controller="feedforward").initial_state(7)["controller"] == ()


def test_the_number_of_parameters_does_not_depend_on_the_slots() -> None:
    few, many = (sum(p.numel() for p in DNCCore(3, mem_slots=n).parameters()) for n in (2, 20))
    assert few == many


def test_the_number_of_parameters() -> None:
    inputs, hidden, word, reads, writes, outputs = 7, 5, 3, 2, 2, 4
    core = DNCCore(inputs, word_size=word, num_reads=reads, num_writes=writes, hidden_size=hidden, output_size=outputs)
    controller = 4 * hidden * (inputs + reads * word + hidden + 1)
    interface = writes * (3 * word + 3) + reads * (word + 2 + 1 + 2 * writes)
    output = outputs * (hidden + reads * word + 1)
    assert sum(p.numel() for p in core.parameters()) == controller + interface * (hidden + 1) + output


@pytest.mark.parametrize(
    "option", ["mem_slots", "word_size", "num_reads", "num_writes", "hidden_size", "num_layers", "output_size"]
)
def test_bad_sizes(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option}: 0 given, at least 1"):
        DNCCore(4, **{option: 0})
    with pytest.raises(ValueError, match="input_size: 0 given"):
        DNCCore(0)


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="controller: 'gru' given, 'lstm' or 'feedforward' needed"):
        DNCCore(4, controller="gru")
    for value in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=f"clip_value: {value} given, a number above 0 or None needed"):
            DNCCore(4, clip_value=value)
