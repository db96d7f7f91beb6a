from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pygame
import pytest

from rmc_rl import palette
from rmc_rl.viewer.attention_panel import FROM_INPUT
from rmc_rl.viewer.canvas import Canvas
from rmc_rl.viewer.layout import Layout, arrange
from rmc_rl.viewer.memory_panel import Targets, draw_memory
from rmc_rl.viewer.selection import Selection
from rmc_rl.viewer.step import MemoryPart, Step, Timeline

SIZE = (1280, 720)
MakeStep = Callable[..., Step]


def drawn(step: Step, selection: Selection | None = None, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, Targets]:
    """The memory's part of a picture, int [height, width, 3], and where something can be chosen."""
    canvas, timeline = Canvas(), Timeline()
    canvas.surface = pygame.Surface(size)
    timeline.add(step)
    lay = layout(size)
    targets = draw_memory(canvas, lay, step, timeline, selection or Selection())
    picture = pygame.surfarray.array3d(canvas.surface).swapaxes(0, 1).astype(int)
    box = lay.memory
    outside = picture.copy()
    outside[box.top : box.bottom, box.left : box.right] = 0
    assert not outside.any(), "something was drawn outside"
    return picture[box.top : box.bottom, box.left : box.right], targets


def layout(size: tuple[int, int] = SIZE) -> Layout:
    return arrange(*size, 1.25, 1.0, True)


def changed_columns(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """The leftmost and rightmost columns that differ, as shares of the width."""
    columns = np.flatnonzero((before != after).any(axis=(0, 2)))
    return columns.min() / before.shape[1], columns.max() / before.shape[1]


def test_attention_gates_and_content_stand_side_by_side(make_step: MakeStep) -> None:
    step = make_step()
    before, _ = drawn(step)
    assert step.attention is not None
    attention, _ = drawn(replace(step, attention=step.attention[..., ::-1].copy()))
    gates, _ = drawn(replace(step, gates=tuple(replace(g, values=1 - g.values) for g in step.gates)))
    content, _ = drawn(replace(step, memory=(replace(step.memory[0], values=-step.memory[0].values),)))
    parts = [changed_columns(before, after) for after in (attention, gates, content)]
    assert parts[0][1] < parts[1][0] < parts[1][1] < parts[2][0]
    assert parts[2][1] - parts[2][0] > 0.3, "the content keeps its room"


def test_what_a_core_has_not_is_left_out(make_step: MakeStep) -> None:
    step = make_step(attention=None, gates=())
    plain, targets = drawn(step)
    assert targets == []
    assert not (plain == FROM_INPUT).all(-1).any()
    content, _ = drawn(replace(step, memory=(replace(step.memory[0], values=-step.memory[0].values),)))
    left, right = changed_columns(plain, content)
    assert right - left > 0.9


def test_rows_lie_one_below_the_other(make_step: MakeStep) -> None:
    values = np.zeros((4, 32), np.float32)
    values[1] = 1.0
    picture, _ = drawn(make_step(memory=(MemoryPart("memory", values),)))
    content = picture[:, -100:-20]
    bright = np.flatnonzero((np.abs(content - palette.ORANGE) < 4).all(-1).mean(1) > 0.9)
    assert 0 < len(bright) < len(content) / 3
    assert len(content) / 3 < bright.mean() < len(content) / 2 + 30


@pytest.mark.parametrize("selection", [Selection(head=1), Selection(block=0), Selection(head=2, block=0)])
def test_another_head_or_block_is_another_picture(make_step: MakeStep, selection: Selection) -> None:
    step = make_step()
    before, _ = drawn(step)
    after, _ = drawn(step, selection)
    assert step.attention is not None
    only_it = selection.weights(step.attention)[None, None]
    same, _ = drawn(replace(step, attention=only_it))
    title = 60
    assert (before[title:] != after[title:]).any()
    np.testing.assert_array_equal(after[title:], same[title:])


def test_heads_and_blocks_can_be_clicked(make_step: MakeStep) -> None:
    _, targets = drawn(make_step(), Selection(head=1))
    assert [selection for _, selection in targets] == [
        *(Selection(head, None) for head in (None, 0, 1, 2)),
        *(Selection(1, block) for block in (0, 1)),
    ]
    assert all(layout().memory.contains(rect) for rect, _ in targets)
    assert drawn(make_step(attention=np.full((1, 2, 4, 5), 0.2, np.float32)))[1][-1][1] == Selection(1, None)


def lstm_parts() -> dict[str, object]:
    random = np.random.default_rng(0)
    names = {"memory": ("hidden state h", "cell state c"), "gates": ("input gate", "forget gate", "output gate")}
    return {"attention": None} | {
        kind: tuple(MemoryPart(name, random.random((1, 256), np.float32)) for name in each)
        for kind, each in names.items()
    }


def test_an_lstm_shows_state_and_gates_side_by_side(make_step: MakeStep) -> None:
    step = make_step(**lstm_parts())
    before, _ = drawn(step)
    state, _ = drawn(replace(step, memory=tuple(replace(p, values=-p.values) for p in step.memory)))
    assert changed_columns(before, state)[1] < 0.5
    for i in range(3):
        gates = [*step.gates]
        gates[i] = replace(gates[i], values=1 - gates[i].values)
        after, _ = drawn(replace(step, gates=tuple(gates)))
        assert changed_columns(before, after)[0] > 0.5
        rows = np.flatnonzero((before != after).any(axis=(1, 2)))
        assert i / 3 - 0.05 < rows.mean() / len(before) < (i + 1) / 3 + 0.05


@pytest.mark.parametrize(("name", "has_scale"), [("h", True), ("controller's hidden state", False)])
def test_a_name_has_its_room_before_the_scale(make_step: MakeStep, name: str, has_scale: bool) -> None:
    values = np.linspace(-1, 1, 16, dtype=np.float32)[None]
    pictures = []
    for factor in (1, 2):  # the colours are the same, their scale is another
        parts = tuple(MemoryPart(name, factor * values) for _ in range(8))
        pictures.append(drawn(make_step(memory=parts, attention=None, gates=()), size=(360, 480))[0])
    assert (pictures[0] != pictures[1]).any() == has_scale


def gate(columns: int, rows: int = 4) -> MemoryPart:
    return MemoryPart("forget gate", np.full((rows, columns), 0.5, np.float32))


@pytest.mark.parametrize("size", [(320, 240), (640, 400), (960, 540), (1920, 1080), (500, 900), (3440, 1440)])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"gates": (gate(1), gate(1), gate(1), gate(1))},
        {"gates": (gate(32), gate(32))},
        {"gates": (gate(32, rows=1),)},
        {"attention": np.full((1, 1, 4, 7), 1 / 7, np.float32)},
        {"attention": np.full((3, 12, 4, 5), 0.2, np.float32)},
        {"attention": np.full((1, 1, 2, 3), 1 / 3, np.float32)},
        {"memory": (MemoryPart("memory", np.ones((1, 32), np.float32)),), "gates": (gate(1, rows=1),)},
        {
            "memory": (MemoryPart("memory", np.ones((64, 32), np.float32)),),
            "attention": np.full((1, 2, 64, 65), 1 / 65, np.float32),
            "gates": (gate(1, rows=64), gate(1, rows=64)),
        },
        {"memory": tuple(MemoryPart(f"part {i}", np.ones((2, 3), np.float32)) for i in range(8))},
        lstm_parts(),
    ],
)
def test_every_memory_fits_every_window(make_step: MakeStep, size: tuple[int, int], change: dict[str, object]) -> None:
    picture, _ = drawn(make_step(**change), size=size)
    assert (picture != palette.CARD).any(-1).mean() > 0.1
