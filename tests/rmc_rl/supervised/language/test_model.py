from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from rmc_agents.tree import leaves
from rmc_rl.supervised import Batch, LanguageModel, make_model, make_task
from tests.rmc_rl.supervised.language.texts import write_texts

CORES: dict[str, dict[str, Any]] = {
    "rmc": {"mem_slots": 1, "head_size": 4, "num_heads": 2},
    "lstm": {"hidden_size": 5, "num_layers": 2},
    "dnc": {"hidden_size": 6, "mem_slots": 4, "word_size": 3, "num_reads": 1, "output_size": 5},
}


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_task("language_modelling", data=str(write_texts(tmp_path_factory.mktemp("texts"), 200)), window=6)


def model_of(task: Any, core: str = "rmc", **options: Any) -> LanguageModel:
    torch.manual_seed(0)
    model = make_model(task, core, CORES[core], **{"embedding_size": 8} | options).double()
    assert isinstance(model, LanguageModel)
    return model


def batch_of(task: Any, size: int = 4) -> Batch:
    return task.batch(size, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("cutoffs", [(), (4, 9)])
@pytest.mark.parametrize("core", CORES)
def test_what_it_is_judged_by_are_its_probabilities(core: str, cutoffs: tuple[int, ...], task: Any) -> None:
    model, batch = model_of(task, core, cutoffs=cutoffs), batch_of(task)
    batch.mask[2:, 1] = False
    table, after = model(batch.inputs, batch.reset, batch.num_answers)
    torch.testing.assert_close(table.exp().sum(dim=-1), torch.ones_like(table[..., 0]))
    loss, scores, state = model.judge(batch)
    chosen = table.gather(-1, batch.targets.unsqueeze(-1))[..., 0]
    torch.testing.assert_close(loss, -chosen[batch.mask].sum())
    right = (table.argmax(dim=-1) == batch.targets) & batch.mask
    assert (int(scores.right), int(scores.answers)) == (int(right.sum()), int(batch.mask.sum()))
    for one, other in zip(leaves(after), leaves(state), strict=True):
        torch.testing.assert_close(one, other)


def test_window_by_window_is_the_whole_text(task: Any) -> None:
    """With the memory carried, as an evaluation reads it."""
    model = model_of(task)
    pieces = list(task.pieces(40, "test", torch.device("cpu")))
    state, total = None, torch.zeros((), dtype=torch.float64)
    for batch in pieces:
        loss, _, state = model.judge(batch, state)
        total += loss
    whole = Batch(*(torch.cat([getattr(b, n) for b in pieces]) for n in ("inputs", "reset", "targets", "mask")))
    torch.testing.assert_close(model.judge(whole)[0], total)
    anew = sum(float(model.judge(batch)[0].detach()) for batch in pieces)
    assert abs(anew - float(total.detach())) > 1e-3, "what was read before has an influence"


def test_a_new_model_is_as_unsure_as_can_be(task: Any) -> None:
    model, batch = model_of(task, embedding_size=64), batch_of(task, 50)
    loss, scores, _ = model.judge(batch)
    assert float(loss.detach()) / int(scores.answers) == pytest.approx(math.log(task.num_classes), rel=0.1)


def test_words_read_and_words_predicted_share_their_weights(task: Any) -> None:
    model, batch = model_of(task), batch_of(task)
    before = model.judge(batch)[0]
    outside = {n: list(p.shape) for n, p in model.named_parameters() if not n.startswith(("core.", "head."))}
    assert outside == {"embedding.weight": [task.num_classes, 8], "softmax.bias": [task.num_classes]}
    with torch.no_grad():
        unread = [word for word in range(task.num_classes) if word not in batch.inputs]
        model.embedding.weight[unread[0]] += 1.0
    assert not torch.isclose(model.judge(batch)[0], before), "a word that is not read can still be predicted"


def test_dropout_is_that_of_its_generator(task: Any) -> None:
    model, batch = model_of(task, dropout=0.5), batch_of(task)

    def loss(seed: int | None) -> float:
        noise = None if seed is None else torch.Generator().manual_seed(seed)
        return float(model.judge(batch, noise=noise)[0].detach())

    assert loss(1) == loss(1)
    assert len({loss(None), loss(1), loss(2)}) == 3
    assert loss(None) == float(model_of(task).judge(batch)[0].detach())


def test_dropout_keeps_the_mean(task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = model_of(task, dropout=0.25), []
    forward = model.core.forward
    monkeypatch.setattr(model.core, "forward", lambda rows, *more: (seen.append(rows), forward(rows, *more))[1])
    batch = batch_of(task, 2000)
    model.judge(batch, noise=torch.Generator().manual_seed(0))
    (rows,) = seen
    exact = model.embedding(batch.inputs)
    assert float((rows == 0).double().mean()) == pytest.approx(0.25, abs=0.01)
    torch.testing.assert_close(rows[rows != 0], exact[rows != 0] / 0.75)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embedding_size": None}, "embedding_size: None given, a width needed"),
        ({"embedding_size": 0}, "embedding_size: 0 given"),
        ({"dropout": 1.0}, "dropout: 1.0 given, a share of at least 0 and below 1"),
        ({"cutoffs": (5, 2)}, "cutoffs"),
        ({"hidden_sizes": (0,)}, "hidden_sizes: 0 given"),
        ({"own_decoder": True}, "the model has no option 'own_decoder'"),
    ],
)
def test_impossible_models(options: dict[str, Any], message: str, task: Any) -> None:
    with pytest.raises(ValueError, match=message):
        model_of(task, **options)
