from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rmc_rl.analysis import analysis_of, attention
from rmc_rl.supervised.config import SUPERVISED
from rmc_rl.supervised.tasks.nth_farthest import NthFarthest
from rmc_rl.supervised.trained import Trained
from rmc_rl.supervised.trainer import build
from tests.rmc_rl.analysis.oracles import asked_of, follow, knows_all, names_reference, nth, trained

SLOTS, HEADS, BLOCKS, COUNT = 3, 2, 2, 4


@pytest.fixture(scope="module")
def untrained() -> Trained:
    """A relational memory as it is made."""
    config = SUPERVISED.make(
        *(f"core.mem_slots={SLOTS}", f"core.num_heads={HEADS}", f"core.num_blocks={BLOCKS}", "core.head_size=4"),
        *(f"task.num_vectors={COUNT}", "task.dimensions=2"),
    )
    task, model = build(config)
    return Trained(task, model.eval(), config, Path("run"), 0)


def looks_at_reference(inputs: Tensor) -> Tensor:
    """Weights of a memory that reads 0.7 from the input while m is shown, 0.1 before it and 0.4 after it.

    The rest it reads from its slots, alike.
    """
    _, labels, _, m = asked_of(inputs, COUNT)
    shown = (labels == m[:, None]).int()
    read = torch.where(shown == 1, 0.7, torch.where(shown.cumsum(1) == 1, 0.4, 0.1)).t()  # [T, B]
    slots = ((1 - read) / SLOTS)[..., None].expand(-1, -1, SLOTS)
    row = torch.cat([slots, read[..., None]], dim=-1)
    return row[:, :, None, None, None].expand(-1, -1, BLOCKS, HEADS, SLOTS, -1)


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_one_question_with_m_in_three_places(count: int) -> None:
    task = NthFarthest(num_vectors=count, dimensions=3)
    posed = attention.questions(task, torch.Generator().manual_seed(2))
    places = {"first": 0, "middle": count // 2, "last": count - 1}
    assert list(posed) == (["first", "last"] if count == 2 else list(places))
    seen = []
    for name, batch in posed.items():
        labels, n, m = (batch.details[key][0] for key in ("labels", "n", "m"))
        assert labels.tolist().index(int(m)) == places[name]
        assert int(n) < count - 1, "m itself needs no comparison"
        by_label = batch.details["vectors"][0][labels.argsort()]
        others = [label for label in labels.tolist() if label != int(m)]
        seen.append((by_label.tolist(), int(n), int(m), int(batch.targets), others))
    assert all(one == seen[0] for one in seen), "vectors, question, answer and the order of the others are the same"


def test_weights_of_a_real_memory_sum_to_one_and_answers_are_the_models(untrained: Trained) -> None:
    task = nth(untrained.task)
    told = attention.stories(untrained, task, seed=1)
    assert told is not None
    for story in told:
        assert story.weights.shape == (COUNT, BLOCKS, HEADS, SLOTS, SLOTS + 1)
        torch.testing.assert_close(story.weights.sum(dim=-1), torch.ones(COUNT, BLOCKS, HEADS, SLOTS))
        batch = story.batch
        assert story.answer == int(untrained.model(batch.inputs, batch.reset, 1)[0].argmax())
        record = attention.story_json(task, story)
        assert record["right"] == (record["answer"] == record["target"])
        weights = torch.tensor(record["weights"]).reshape(record["weights_shape"])
        torch.testing.assert_close(weights, story.weights, atol=1e-6, rtol=0)
        assert record["distances"][record["labels"].index(int(batch.details["m"]) + 1)] == 0
    read = attention.input_weights(untrained, task, 150, seed=1)
    assert read.shape == (BLOCKS * HEADS, COUNT, COUNT)
    assert 0 < read.min() <= read.max() < 1


def test_what_is_read_from_the_input_is_found_by_when_m_is_shown() -> None:
    looking = trained(knows_all(COUNT), "task.dimensions=2", attention=looks_at_reference)
    read = attention.input_weights(looking, nth(looking.task), 200, seed=0)
    place, step = torch.meshgrid(torch.arange(COUNT), torch.arange(COUNT), indexing="ij")
    expected = torch.where(step == place, 0.7, torch.where(step > place, 0.4, 0.1)).double()
    expected = expected.expand(BLOCKS * HEADS, -1, -1)
    torch.testing.assert_close(read, expected, atol=1e-6, rtol=0)
    table = attention.input_table(read, BLOCKS, SLOTS, 200)
    assert table.rows == [
        (f"round {block}, head {head}", "0.100", "0.700", "0.400") for block in (1, 2) for head in (1, 2)
    ]
    assert "all rows alike: 0.250" in table.note


def texts(figure: object) -> list[str]:
    (axes,) = figure.axes  # type: ignore[attr-defined]
    return [text.get_text().strip() for text in axes.texts]


@pytest.mark.parametrize("right", [True, False])
def test_pictures_tell_the_story(right: bool) -> None:
    answers = knows_all(COUNT) if right else names_reference(COUNT)
    looking = trained(answers, "task.dimensions=2", attention=looks_at_reference)
    task = nth(looking.task)
    told = attention.stories(looking, task, seed=0)
    assert told is not None
    figure = attention.draw(task, told, "Attention", heads=False)
    words = texts(figure)
    n, m, target = (int(told[0].batch.details[key]) for key in ("n", "m", "n"))
    target = int(told[0].batch.targets)
    for heading in ("m is shown first", "m is shown in the middle", "m is shown last"):
        assert words.count(heading) == 1
    assert (
        words.count(f"Which vector is the {attention.ranked(n, COUNT)} from vector {m + 1}?  Vector {target + 1}.") == 3
    )
    verdict = f"The model: {target + 1}, right" if right else f"The model: {m + 1}, wrong"
    assert words.count(verdict) == 3
    assert words.count(f"vector {m + 1} = m") == words.count("the reference") == 3
    meshes = figure.axes[0].collections
    drawn = [mesh.get_array() for mesh in meshes[:-1]]  # the last is the scale
    inputs = [float(values.mean()) for values in drawn if values.size == SLOTS]
    assert len(inputs) == 3 * COUNT
    for place, story in enumerate(told):
        at = story.batch.details["labels"][0].tolist().index(m)
        expected = [0.1] * at + [0.7] + [0.4] * (COUNT - 1 - at)
        assert inputs[place * COUNT : (place + 1) * COUNT] == pytest.approx(expected, abs=1e-6)


def test_each_head_has_a_line(untrained: Trained) -> None:
    task = nth(untrained.task)
    told = attention.stories(untrained, task, seed=1)
    assert told is not None
    figure = attention.draw(task, told[:1], "Heads", heads=True)
    words = texts(figure)
    for block in (1, 2):
        for head in (1, 2):
            assert f"round {block}\nhead {head}" in words
    slots = [mesh.get_array() for mesh in figure.axes[0].collections if mesh.get_array().size == SLOTS**2]
    assert len(slots) == COUNT * BLOCKS * HEADS
    expected = told[0].weights[0, 1, 0, :, :SLOTS].flatten()  # after the first round's two heads
    torch.testing.assert_close(torch.as_tensor(slots[2 * COUNT].data).flatten(), expected)


def test_an_analysis_holds_the_pictures(untrained: Trained) -> None:
    found = analysis_of(untrained.task)(untrained, 60, 0, follow)
    assert {name for name in found.pictures if name.startswith("attention")} == {
        "attention.png",
        *(f"attention-{place}.png" for place in ("first", "middle", "last")),
    }
    assert [story["place"] for story in found.numbers["attention"]["stories"]] == ["first", "middle", "last"]
    assert found.numbers["attention"]["input"]["even"] == 1 / (SLOTS + 1)
    assert found.notes == []


def test_too_many_vectors_for_a_picture_are_told() -> None:
    def weights(inputs: Tensor) -> Tensor:
        return torch.full((len(inputs), inputs.shape[1], 1, 1, 1, 2), 0.5)

    many = trained(knows_all(17), "task.num_vectors=17", "task.dimensions=2", attention=weights)
    found = analysis_of(many.task)(many, 20, 0, follow)
    assert set(found.pictures) == {"accuracy.png", "errors.png"}
    assert "room for 16 vectors" in found.notes[0]
    assert "attention" in found.numbers


def test_ranks_in_words() -> None:
    assert [attention.ranked(rank, 24) for rank in (0, 1, 2, 3, 10, 11, 12, 20, 21, 22, 23)] == [
        *("farthest", "2nd farthest", "3rd farthest", "4th farthest", "11th farthest", "12th farthest"),
        *("13th farthest", "21st farthest", "22nd farthest", "23rd farthest", "nearest (itself)"),
    ]
