"""The page of Nth Farthest in a real browser, with a memory that was never trained: numbers count, not answers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rmc_rl.page.writing import write_farthest_page
from rmc_rl.supervised.config import SUPERVISED
from rmc_rl.supervised.export import farthest_page
from rmc_rl.supervised.tasks.nth_farthest import NthFarthest
from rmc_rl.supervised.trained import Trained
from rmc_rl.supervised.trainer import build
from tests.rmc_rl.page.conftest import DESKTOP, PHONE, Open
from tests.rmc_rl.page.test_page import array, colours, wait

COUNT, DIMENSIONS = 5, 7

READ = """async (seed) => {
    const names = ["./model.js", "./farthest.js", "./question.js"];
    const [{ openModel }, { read }, { Question }] = await Promise.all(
        names.map((name) => import(new URL(name, location.href))));
    const { model, about } = await openModel("farthest");
    const question = new Question(about.num_vectors, about.dimensions, seed);
    const plain = (tensor) => ({ dims: tensor.dims, data: Array.from(tensor.data) });
    const steps = await read(model, about, question);
    return { vectors: question.vectors.map((vector) => Array.from(vector)), shown: question.shown, n: question.n,
        m: question.m, order: question.order, answer: question.answer,
        rows: question.shown.map((_, step) => Array.from(question.row(step))),
        steps: steps.map(({ probabilities, attention, memory }) =>
            ({ probabilities: Array.from(probabilities), attention: plain(attention),
                memory: plain(memory.memory) })) };
}"""


@pytest.fixture(scope="module")
def trained() -> Trained:
    words = (f"task.num_vectors={COUNT}", f"task.dimensions={DIMENSIONS}", "model.hidden_sizes=[8]")
    config = SUPERVISED.make(*words, "core.mem_slots=3", "core.head_size=6", "core.num_heads=2")
    return Trained(*build(config), config, Path("runs/nowhere"), 0)


@pytest.fixture(scope="module")
def farthest_folder(trained: Trained, onnxruntime_web: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    folder = tmp_path_factory.mktemp("farthest") / "page"
    assert write_farthest_page(folder, *farthest_page(trained)) == sum(
        path.stat().st_size for path in folder.rglob("*") if path.is_file()
    )
    return folder


def test_it_asks_and_reads_as_python_does(trained: Trained, farthest_folder: Path, opened: Open) -> None:
    task = trained.task
    assert isinstance(task, NthFarthest)
    with opened(farthest_folder) as page:
        questions = [page.evaluate(READ, seed) for seed in range(8)]
    assert len({(found["n"], found["m"], *found["shown"]) for found in questions}) == len(questions)
    for found in questions:
        vectors, shown = torch.tensor(found["vectors"]), torch.tensor([found["shown"]])
        assert (vectors.abs() <= 1).all()
        batch = task.pose(vectors[shown], shown, torch.tensor([found["n"]]), torch.tensor([found["m"]]))
        assert found["answer"] == int(batch.targets[0, 0])
        assert found["order"] == shown[0][batch.details["order"][0]].tolist()
        np.testing.assert_allclose(found["rows"], batch.inputs[:, 0], atol=1e-6)
        trace = trained.model.trace(batch.inputs, batch.reset, 1)
        assert trace.attention is not None
        for t, each in enumerate(found["steps"]):
            expected = trained.model.head(trace.outputs[t, 0]).softmax(-1).detach()
            np.testing.assert_allclose(each["probabilities"], expected, atol=1e-4)
            np.testing.assert_allclose(array(each["attention"]), trace.attention[t, 0], atol=1e-4)
            np.testing.assert_allclose(array(each["memory"]), trace.memory_after[t, 0], atol=1e-4)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_is_used_by_hand(farthest_folder: Path, opened: Open, size: dict[str, int]) -> None:
    with opened(farthest_folder, size=size) as page:
        wait(page, lambda: page.locator("#answers li").count() == COUNT and page.inner_text("#verdict") != "")
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        assert colours(page, "#figure") > 10
        assert colours(page, "#map") > 5
        page.get_by_role("group", name="n", exact=True).get_by_role("button", name="2", exact=True).click()
        page.get_by_role("group", name="m", exact=True).get_by_role("button", name="3", exact=True).click()
        wait(page, lambda: page.inner_text("#question") == "Which vector is the 2nd farthest from vector 3?")
        wait(page, lambda: page.locator("#answers li").last.locator("b").inner_text() == "3 (m)")
        ranked = page.locator("#answers li").nth(1).locator("b").inner_text()
        assert page.locator("#answers .asked b").inner_text() == ranked
        assert page.locator("#handles .is-answer").inner_text() == ranked
        assert page.inner_text("#verdict").startswith("Its answer: ")

        # Dragged onto m, in the plane, a vector comes nearer
        handle, middle = page.locator("#handles .is-answer"), page.locator("#handles .is-m")
        before = handle.get_attribute("aria-label")
        place = middle.bounding_box()
        handle.hover()
        page.mouse.down()
        page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2, steps=5)
        page.mouse.up()
        moved = page.locator("#handles button").nth(int(ranked) - 1)
        wait(page, lambda: moved.get_attribute("aria-label") != before)
        labels = page.locator("#answers b").all_inner_texts()
        assert labels.index(ranked) > 1

        page.locator("#steps button").first.click()
        wait(page, lambda: page.inner_text("#verdict").startswith("After step 1 it leans to: "))
        assert page.locator("#handles .is-unseen").count() == COUNT - 1
        page.click("#new")
        wait(page, lambda: page.inner_text("#verdict").startswith("Its answer: "))


def test_a_memory_without_attention_leaves_no_hole(onnxruntime_web: Any, opened: Open, tmp_path: Path) -> None:
    config = SUPERVISED.make(f"task.num_vectors={COUNT}", "model.hidden_sizes=[8]", "core=lstm", "core.hidden_size=8")
    model = Trained(*build(config), config, Path("runs/nowhere"), 0)
    write_farthest_page(tmp_path / "page", *farthest_page(model))
    with opened(tmp_path / "page") as page:
        wait(page, lambda: page.inner_text("#verdict") != "")
        assert not page.is_visible("#figure")
        order, memory = (page.locator(part).bounding_box() for part in (".order", ".memory"))
        assert memory["y"] - order["y"] - order["height"] == pytest.approx(10)
        assert colours(page, ".memory-stage canvas") >= 8
