"""The memory after a step, as heat maps, with what it read and what its gates let through.

Slots (one matrix of several rows) stand in a table, one row each: what the slot read, its gates, its content. A memory
of other shape (an LSTM's h and c, a map of cells) stands at the left, part by part, and its gates at the right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pygame import Rect

from rmc_rl import palette
from rmc_rl.viewer.attention_panel import Rows, flow, table
from rmc_rl.viewer.canvas import Canvas
from rmc_rl.viewer.elements import MINUS, TIMES, card, choices, scale, shades, title_line
from rmc_rl.viewer.layout import Layout
from rmc_rl.viewer.selection import Selection
from rmc_rl.viewer.step import MemoryPart, Step, Timeline

LONGEST_ROW = 64
"""A memory of one longer row is folded into rows of at most so many numbers."""

MOST_STACKED = 4
"""More parts stand in two columns."""

HEAT_SHARE = 0.36
"""Of the width, what a slot's content keeps at least."""

GATE = palette.TEXT
_RAMP = np.linspace(-1, 1, 61)


Targets = list[tuple[Rect, Selection]]
"""Places that select something when they are clicked."""


def draw_memory(canvas: Canvas, lay: Layout, step: Step, timeline: Timeline, selection: Selection) -> Targets:
    """Draw the memory of a step; returns where heads and blocks can be chosen."""
    limits = [timeline.memory_limits[part.name] or 1.0 for part in step.memory]
    (part, *others), gates = step.memory, step.gates
    slots = len(part.values)
    attention = step.attention if step.attention is not None and step.attention.shape[2] == slots else None
    if not others and slots > 1 and all(len(gate.values) == slots for gate in gates):
        box = card(canvas, lay, lay.memory, described(part))
        targets = _selectors(canvas, lay, part, attention, selection)
        _slots(canvas, lay, box, step, limits[0], None if attention is None else selection.weights(attention))
        return targets
    canvas.rect(lay.memory, palette.CARD, 8 * lay.unit)
    ramp = palette.heat(_RAMP, 1.0)
    stack = [
        _Shown(part, palette.heat(part.values, limit), f"{MINUS}{limit:.2g}", f"+{limit:.2g}", ramp)
        for part, limit in zip(step.memory, limits, strict=True)
    ]
    ramp = shades(np.linspace(0, 1, 61), GATE)
    beside = [_Shown(gate, shades(gate.values, GATE), "0", "1", ramp) for gate in gates]
    if not beside and len(stack) > MOST_STACKED:
        stack, beside = stack[: -(-len(stack) // 2)], stack[-(-len(stack) // 2) :]
    box = lay.memory.inflate(-2 * lay.gap, -lay.gap)
    width = (box.width - 2 * lay.gap) // 2 if beside else box.width
    _stack(canvas, lay, Rect(box.left, box.top, width, box.height), stack)
    if beside:
        _stack(canvas, lay, Rect(box.right - width, box.top, width, box.height), beside)
    return []


def described(part: MemoryPart) -> str:
    """A part's name and size."""
    rows, columns = part.values.shape
    return f"{part.name}, {rows} {TIMES} {columns}" if rows > 1 else f"{part.name}, {columns} units"


def _selectors(
    canvas: Canvas, lay: Layout, part: MemoryPart, attention: np.ndarray | None, selection: Selection
) -> Targets:
    """The choice of head and block in the title's line."""
    if attention is None:
        return []
    line, u = title_line(lay, lay.memory), lay.unit
    blocks, heads = attention.shape[:2]
    left = line.left + canvas.text_width(described(part), 22 * u) + 2 * lay.gap
    targets: Targets = []
    head = 0 if selection.head is None else min(selection.head, heads - 1) + 1
    names = ["mean", *(str(i + 1) for i in range(heads))]
    left, rects = choices(canvas, lay, left, line, "attention, head", names, head)
    targets += [(rect, Selection(i - 1 if i else None, selection.block)) for i, rect in enumerate(rects)]
    if blocks > 1:
        block = blocks - 1 if selection.block is None else min(selection.block, blocks - 1)
        names = [str(i + 1) for i in range(blocks)]
        _, rects = choices(canvas, lay, left + lay.gap, line, "block", names, block)
        targets += [(rect, Selection(selection.head, i)) for i, rect in enumerate(rects)]
    return targets


def _slots(canvas: Canvas, lay: Layout, box: Rect, step: Step, limit: float, weights: np.ndarray | None) -> None:
    """Slots as a table: streams, weights, gates, content."""
    u, gap = lay.unit, lay.gap
    (part,) = step.memory
    heading = round(22 * u)
    head = Rect(box.left, box.top, box.width, heading)
    body = Rect(box.left, box.top + heading, box.width, max(1, box.height - heading))
    rows = Rows.within(body, len(part.values), u)
    wide = step.gates and step.gates[0].values.shape[1] > 1
    gate_width = round((110 if wide else 52) * u)
    numbered = rows.pitch >= 12
    number_width = round(22 * u) if numbered else 0

    # What has no room is left out: first the weights as numbers, then the streams, then the gates.
    free = box.width - number_width - round(HEAT_SHARE * box.width)
    shown_gates = step.gates if free >= len(step.gates) * (gate_width + gap) else ()
    free -= len(shown_gates) * gate_width + (gap if shown_gates else 0)
    left = box.left
    if weights is not None and free >= 90 * u:
        cells = weights.shape[1] * min(32 * u, max(5 * u, 180 * u / weights.shape[1]))
        table_width = round(cells) if free - cells - gap >= 150 * u else 0
        flow_width = round(min(free - table_width - gap, 200 * u))
        area = Rect(left, body.top, flow_width, body.height)
        flow(canvas, weights, rows, area, u)
        canvas.text("each slot reads from, %", left, head.centery, 18 * u, palette.QUIET, width=flow_width)
        left = area.right + gap // 2
        if table_width:
            cell_box = Rect(left, body.top, table_width, body.height)
            table(canvas, weights, rows, cell_box, Rect(left, head.top, table_width, heading), u)
            left = cell_box.right + gap
    if numbered:
        for i in range(rows.count):
            x = left + number_width - round(8 * u)
            canvas.text(str(i + 1), x, rows.middle(i), 19 * u, palette.QUIET, "right")
    left += number_width
    for gate in shown_gates:
        _gate_column(canvas, lay, gate, rows, Rect(left, head.top, gate_width, heading))
        left += gate_width
    left += gap if shown_gates else 0
    content = Rect(left, body.top, max(1, box.right - left), body.height)
    _heat_rows(canvas, palette.heat(part.values, limit), rows, content)
    line = Rect(left, head.top, content.width, heading)
    free = scale(canvas, lay, line, f"{MINUS}{limit:.2g}", f"+{limit:.2g}", palette.heat(_RAMP, 1.0))
    canvas.text("content", left, head.centery, 18 * u, palette.QUIET, width=free)


def _gate_column(canvas: Canvas, lay: Layout, gate: MemoryPart, rows: Rows, head: Rect) -> None:
    """One gate beside its slots: a bar with its number, or a strip where each element has its own."""
    u = lay.unit
    values = gate.values
    width = head.width - round(6 * u)
    if values.shape[1] > 1:
        canvas.text(gate.name, head.left, head.centery, 18 * u, palette.QUIET, width=width)
        _heat_rows(canvas, shades(values, GATE), rows, Rect(head.left, 0, width, 0))
        return
    canvas.text(gate.name.removesuffix(" gate"), head.left, head.centery, 18 * u, palette.QUIET, width=width)
    for i, share in enumerate(values[:, 0].tolist()):
        first, last = rows.span(i)
        with_number = last - first >= 2.2 * canvas.text_height(18 * u)
        thick = max(2, min(round(8 * u), last - first))
        bar = Rect(head.left, 0, width, thick)
        bar.centery = rows.middle(i)
        if with_number:
            canvas.text(f"{share:.2f}", head.left, rows.middle(i) - round(9 * u), 18 * u)
            bar.top = rows.middle(i) + round(4 * u)
        canvas.rect(bar, palette.TRACK, 2 * u)
        canvas.rect(Rect(bar.left, bar.top, round(width * share), thick), GATE, 2 * u)


@dataclass(frozen=True)
class _Shown:
    """A part in colours [rows, columns, 3], and the ends of their scale."""

    part: MemoryPart
    colours: np.ndarray
    low: str
    high: str
    ramp: np.ndarray


def _stack(canvas: Canvas, lay: Layout, box: Rect, stack: list[_Shown]) -> None:
    """Parts one below the other, each with its name and its scale."""
    u, space = lay.unit, lay.gap // 2
    height = (box.height - (len(stack) - 1) * space) / len(stack)
    label = round(24 * u) if height >= 36 * u else 0
    for i, shown in enumerate(stack):
        line = Rect(box.left, round(box.top + i * (height + space)), box.width, label)
        if label:
            words = described(shown.part)
            taken = canvas.text(words, line.left, line.centery, 21 * u, palette.QUIET, width=line.width)
            left = Rect(line.left + taken + space, line.top, line.width - taken - space, line.height)
            scale(canvas, lay, left, shown.low, shown.high, shown.ramp)
        _heat_map(canvas, lay, shown.colours, Rect(box.left, line.bottom, box.width, max(1, int(height) - label)))


def _heat_map(canvas: Canvas, lay: Layout, colours: np.ndarray, box: Rect) -> None:
    """Rows [rows, columns, 3] as strips with a space between; one long row is folded."""
    u = lay.unit
    folded = len(colours) == 1 and colours.shape[1] > LONGEST_ROW
    if folded:
        padding = -colours.shape[1] % LONGEST_ROW
        colours = np.pad(colours, ((0, 0), (0, padding), (0, 0)), constant_values=palette.CARD[0])
        colours = colours.reshape(-1, LONGEST_ROW, 3)
    rows = Rows.within(box, len(colours), u, spaced=not folded)
    gutter = round(22 * u) if not folded and len(colours) > 1 and rows.pitch >= 12 else 0
    if gutter:
        for i in range(rows.count):
            canvas.text(str(i + 1), box.left + gutter - round(9 * u), rows.middle(i), 19 * u, palette.QUIET, "right")
    _heat_rows(canvas, colours, rows, Rect(box.left + gutter, box.top, max(1, box.width - gutter), box.height))


def _heat_rows(canvas: Canvas, colours: np.ndarray, rows: Rows, box: Rect) -> None:
    for i, strip in enumerate(colours):
        first, last = rows.span(i)
        canvas.strip(strip, Rect(box.left, first, box.width, last - first))
