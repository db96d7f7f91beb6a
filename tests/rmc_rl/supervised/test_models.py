from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rmc_agents import Core, LSTMCore, RelationalMemory, leaves, map_tree
from rmc_rl.supervised import Batch, SequenceModel, Task, cross_entropy, make_model, make_task
from rmc_rl.supervised.tasks import NOTHING

CORES: dict[str, dict[str, Any]] = {
    "rmc": {"mem_slots": 3, "head_size": 4, "num_heads": 2},
    "lstm": {"hidden_size": 6, "num_layers": 2, "skip_connections": True, "concatenate_outputs": True},
    "gru": {"hidden_size": 6},
    "dnc": {"mem_slots": 5, "word_size": 4, "num_reads": 2, "hidden_size": 6, "output_size": 7},
    "lstm_bank": {"num_cells": 2, "cell_size": 5},
}
SMALL: dict[str, Any] = {"hidden_sizes": (8,)}
ADDITION: dict[str, Any] = {"program": "addition", "length": 2}


def make(task: Task, core: str = "rmc", **options: Any) -> SequenceModel:
    torch.manual_seed(0)
    return make_model(task, core, CORES[core], **SMALL | options)


def answers(model: SequenceModel, batch: Batch) -> Tensor:
    return model(batch.inputs, batch.reset, batch.num_answers)[0]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize(
    ("name", "options"),
    [("nth_farthest", {"num_vectors": 3, "dimensions": 2}), ("programs", ADDITION), ("memorization", {"kind": "copy"})],
)
def test_every_task_with_every_core(name: str, options: dict[str, Any], core: str) -> None:
    task = make_task(name, **options)
    model = make(task, core)
    batch = task.batch(4, generator())
    logits, state = model(batch.inputs, batch.reset, batch.num_answers)
    assert logits.shape == (batch.num_answers, 4, task.num_classes)
    assert all(len(leaf) == 4 for leaf in leaves(state))
    cross_entropy(logits, batch.targets, batch.mask).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name


@pytest.mark.parametrize("own_decoder", [False, True])
@pytest.mark.parametrize("core", CORES)
def test_a_batch_is_answered_as_each_of_its_texts_alone(core: str, own_decoder: bool) -> None:
    """One text, character by character from the initial memory, then zeros: what was before it has no influence."""
    task = make_task("programs", **ADDITION)
    model = make(task, core, own_decoder=own_decoder)
    batch = task.batch(12, generator())
    assert len(set(batch.reset.int().argmax(dim=0).tolist())) > 2, "texts of different length"
    logits = answers(model, batch)
    decoder = model.core if model.decoder is None else model.decoder
    for item in range(12):
        state = model.core.initial_state(1)
        begin = int(batch.reset[:, item].int().argmax())
        outputs = []
        for t in range(begin, len(batch.inputs)):
            symbol = int(batch.inputs[t, item])
            row = torch.zeros(1, 1, task.input_size)
            if symbol != NOTHING:
                row[..., symbol] = 1.0
            reader = model.core if t < len(batch.inputs) - batch.num_answers else decoder
            output, state = reader(row, state, torch.zeros(1, 1, dtype=torch.bool))
            outputs.append(output[0, 0])
        expected = model.head(torch.stack(outputs[-batch.num_answers :]))
        torch.testing.assert_close(logits[:, item], expected, rtol=1e-4, atol=1e-5)


def test_more_padding_changes_nothing() -> None:
    task, wider = make_task("programs", **ADDITION), make_task("programs", **ADDITION)
    wider.width += 7  # type: ignore[attr-defined]
    model = make(task)
    batch, padded = task.batch(20, generator()), wider.batch(20, generator())
    assert len(padded.inputs) == len(batch.inputs) + 7
    torch.testing.assert_close(answers(model, padded), answers(model, batch))


def test_one_hot_is_an_embedding_of_unit_vectors() -> None:
    task = make_task("memorization", kind="reverse", length=3)
    model, embedded = make(task), make(task, embedding_size=45)
    assert embedded.embedding is not None
    embedded.embedding.weight.data[:45] = torch.eye(45)
    embedded.core, embedded.head = model.core, model.head
    batch = task.batch(6, generator())
    torch.testing.assert_close(answers(embedded, batch), answers(model, batch))


def test_an_embedding_shows_nothing_as_zeros_also_after_learning() -> None:
    task = make_task("memorization", kind="copy", length=2)
    model = make(task, embedding_size=5)
    assert model.core.input_size == 5
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
    batch = task.batch(6, generator())
    cross_entropy(answers(model, batch), batch.targets, batch.mask).backward()
    optimiser.step()
    rows = model.embed(batch.inputs)
    assert not rows[-batch.num_answers :].any()
    assert rows[: -batch.num_answers].all()


@pytest.mark.parametrize("own_decoder", [False, True])
def test_feeding_back_shows_each_answer_to_the_next_row(own_decoder: bool) -> None:
    """Being shown the same symbols as inputs gives the same answers; and they are not those without."""
    task = make_task("memorization", kind="double", length=2)
    model = make(task, feed_back=True, own_decoder=own_decoder)
    batch = task.batch(8, generator())
    logits = answers(model, batch)
    first = len(batch.inputs) - batch.num_answers
    shown = torch.cat([batch.inputs[: first + 1], logits.argmax(dim=-1)[:-1]])
    model.feed_back = False
    torch.testing.assert_close(model(shown, batch.reset, batch.num_answers)[0], logits)
    without = answers(model, batch)
    torch.testing.assert_close(without[0], logits[0])
    assert not torch.allclose(without[1:], logits[1:], atol=1e-3)


def test_a_decoder_of_its_own_starts_from_the_encoders_memory() -> None:
    task = make_task("memorization", kind="copy", length=2)
    model = make(task, own_decoder=True)
    assert model.decoder is not None
    assert not torch.equal(next(model.core.parameters()), next(model.decoder.parameters()))
    batch = task.batch(30, generator(), "evaluation")
    logits = answers(model, batch)
    changed = batch.inputs.clone()
    changed[0] = changed[0].roll(1)
    others = changed[0] != batch.inputs[0]
    again = model(changed, batch.reset, batch.num_answers)[0]
    assert others.any()
    assert not torch.isclose(again[:, others], logits[:, others], atol=1e-4).all(dim=2).any()
    torch.testing.assert_close(again[:, ~others], logits[:, ~others])


def test_the_memory_is_carried_where_nothing_resets() -> None:
    """What is read in two parts is read as at once: the state comes out and goes in."""
    task = make_task("nth_farthest", num_vectors=4, dimensions=2)
    model = make(task, "lstm")
    batch = task.batch(5, generator())
    whole, end = model(batch.inputs, batch.reset, 4)
    one, state = model(batch.inputs[:3], batch.reset[:3], 3)
    two, other_end = model(batch.inputs[3:], batch.reset[3:], 1, state)
    torch.testing.assert_close(torch.cat([one, two]), whole)
    map_tree(torch.testing.assert_close, other_end, end)


@pytest.mark.parametrize("options", [{}, {"feed_back": True}, {"own_decoder": True}])
def test_a_trace_records_what_forward_does(options: dict[str, Any]) -> None:
    task = make_task("programs", **ADDITION)
    model = make(task, **options)
    batch = task.batch(3, generator())
    logits, state = model(batch.inputs, batch.reset, batch.num_answers)
    trace = model.trace(batch.inputs, batch.reset, batch.num_answers)
    rows = len(batch.inputs)
    assert trace.outputs.shape[:2] == (rows, 3)
    torch.testing.assert_close(model.head(trace.outputs[-batch.num_answers :]), logits)
    torch.testing.assert_close(trace.memory_after[-1], state)
    assert trace.attention is not None
    assert trace.attention.shape == (rows, 3, 1, 2, 3, 4)
    assert trace.input_gate is not None
    assert len(trace.input_gate) == rows
    torch.testing.assert_close(trace.memory_before[1:][~batch.reset[1:]], trace.memory_after[:-1][~batch.reset[1:]])


def test_a_trace_of_a_core_without_attention() -> None:
    task = make_task("memorization", kind="copy")
    trace = make(task, "lstm", own_decoder=True).trace(*_arguments(task.batch(2, generator())))
    assert trace.attention is None
    assert len(trace.memory_after[0]) == 10


def _arguments(batch: Batch) -> tuple[Tensor, Tensor, int]:
    return batch.inputs, batch.reset, batch.num_answers


def test_the_papers_head() -> None:
    """Four layers of 256, each with ReLU, then a linear one: here on the 2048 units of the largest memory."""
    task = make_task("nth_farthest")
    core = {"mem_slots": 8, "head_size": 32, "num_heads": 8}
    model = make_model(task, "rmc", core)
    assert [type(layer) for layer in model.head] == [nn.Linear, nn.ReLU] * 4 + [nn.Linear]
    widths = [(layer.in_features, layer.out_features) for layer in model.head if isinstance(layer, nn.Linear)]
    assert widths == [(2048, 256), (256, 256), (256, 256), (256, 256), (256, 8)]
    assert sum(parameter.numel() for parameter in model.core.parameters()) == 605_184


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nth_farthest", {"own_decoder": True}, "own_decoder: True given.*False needed"),
        ("nth_farthest", {"feed_back": True}, "feed_back: True given.*False needed"),
        ("nth_farthest", {"embedding_size": 3}, "embedding_size: 3 given.*None needed"),
        ("memorization", {"embedding_size": 0}, "embedding_size: 0 given, at least 1 needed"),
        ("memorization", {"hidden_sizes": (8, 0)}, "hidden_sizes: 0 given, at least 1 needed"),
        ("memorization", {"hidden": (8,)}, "the model has no option 'hidden'"),
    ],
)
def test_bad_options(name: str, options: dict[str, Any], message: str) -> None:
    task = make_task(name, **({"kind": "copy"} if name == "memorization" else {}))
    with pytest.raises(ValueError, match=message):
        make(task, **options)


@pytest.mark.parametrize("num_answers", [0, 9])
def test_bad_numbers_of_answers(num_answers: int) -> None:
    task = make_task("nth_farthest")
    batch = task.batch(2, generator())
    with pytest.raises(ValueError, match=f"num_answers: {num_answers} given for 8 rows, 1 .. 8 needed"):
        make(task)(batch.inputs, batch.reset, num_answers)


@pytest.mark.parametrize("core", [lambda size: LSTMCore(7), lambda size: RelationalMemory(7, mem_slots=2, head_size=2)])
def test_a_core_of_another_size(core: Callable[[int], Core]) -> None:
    with pytest.raises(ValueError, match="core: one of input size 7 given, 40 needed"):
        SequenceModel(make_task("nth_farthest"), core)


def test_nothing_but_linear_layers_in_the_head_is_possible() -> None:
    model = make(make_task("nth_farthest"), hidden_sizes=())
    assert [type(layer) for layer in model.head] == [nn.Linear]


@pytest.mark.parametrize("kind", ["copy", "reverse"])
def test_a_relational_memory_learns_two_digits(kind: str) -> None:
    torch.manual_seed(0)
    task = make_task("memorization", kind=kind, length=2)
    model = make_model(task, "rmc", {"mem_slots": 2, "head_size": 16, "num_heads": 2}, hidden_sizes=(64,))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    stream = generator()
    for _ in range(300):
        batch = task.batch(128, stream)
        loss = cross_entropy(answers(model, batch), batch.targets, batch.mask)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    test = task.batch(500, stream, "evaluation")
    right = answers(model, test).argmax(dim=-1) == test.targets
    assert right.double().mean() > 0.99
