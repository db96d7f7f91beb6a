from typing import Any

import gymnasium
import numpy as np
import pytest

from rmc_envs.boxworld.drawing import CELL, STRIP
from rmc_envs.boxworld.levels import DISTRACTOR_LOCKS, EMPTY, GEM, KEYS, LOCKS, NUM_COLOURS

FULL, VIEWPORT = "rmc/BoxWorld-v0", "rmc/BoxWorldViewport-v0"
A, B, C = range(3)
Place = tuple[int, int]

THINGS = {(2, 7): KEYS + A}
THINGS |= {(5, 5): KEYS + B, (5, 6): LOCKS + A}
THINGS |= {(9, 2): GEM, (9, 3): LOCKS + B}
THINGS |= {(9, 8): KEYS + C, (9, 9): DISTRACTOR_LOCKS + A}


def environment(env_id: str, things: dict[Place, int] = THINGS, render_mode: str = "rgb_array", **fields: Any) -> Any:
    """The agent at (7, 3), a solution of two boxes and a distractor or what ``things`` are, and what ``fields`` say."""
    env: Any = gymnasium.make(env_id, render_mode=render_mode).unwrapped
    env.reset(seed=0)
    state = env.get_state()
    state["board"][0, 1:-1, 1:-1] = EMPTY
    for cell, value in things.items():
        state["board"][0, *cell] = value
    values = {"agent_row": 7, "agent_column": 3, "heading": 3, "solution_length": 2} | fields
    for name, value in values.items():
        state[name][:] = value
    env.set_state(state)
    return env


def cell(frame: np.ndarray, row: int, column: int) -> np.ndarray:
    return frame[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL].astype(int)


@pytest.mark.parametrize("options", [{}, {"grid_size": 5, "solution_length": (1, 1), "num_distractors": (0, 0)}])
@pytest.mark.parametrize("env_id", [FULL, VIEWPORT])
def test_frame_fits_video_encoders(env_id: str, options: dict[str, Any]) -> None:
    env: Any = gymnasium.make(env_id, render_mode="rgb_array", **options).unwrapped
    env.reset(seed=0)
    frame, size = env.render(), (options.get("grid_size", 12) + 2) * 32
    assert frame.shape == (size + 32, size, 3)
    assert frame.dtype == np.uint8


def test_every_thing_is_drawn_in_its_cell() -> None:
    """Taking a thing away changes its cells only, a lock's content with it: it is not framed any more."""
    before = environment(FULL).render()
    for cells in [{(2, 7)}, {(9, 8), (9, 9)}, {(9, 2), (9, 3), (5, 5), (5, 6)}]:
        after = environment(FULL, {place: value for place, value in THINGS.items() if place not in cells}).render()
        changed = np.argwhere((before != after).any(axis=-1)) // CELL
        assert {place for place in map(tuple, changed.tolist()) if place[0] < 14} == cells
    looks = [cell(before, *place).tobytes() for place in [*THINGS, (7, 3), (0, 3), (4, 4)]]
    assert len(set(looks)) == len(looks)


def test_moving_changes_two_cells() -> None:
    before, after = environment(FULL).render(), environment(FULL, agent_column=4).render()
    changed = np.argwhere((before != after).any(axis=-1)) // CELL
    assert set(map(tuple, changed.tolist())) == {(7, 3), (7, 4)}


def test_distractors_look_like_boxes_of_the_solution() -> None:
    frame = environment(FULL, THINGS | {(2, 2): KEYS + B, (2, 3): DISTRACTOR_LOCKS + A}).render()
    np.testing.assert_array_equal(cell(frame, 2, 2), cell(frame, 5, 5))
    np.testing.assert_array_equal(cell(frame, 2, 3), cell(frame, 5, 6))


def test_a_locked_content_looks_locked() -> None:
    locked = environment(FULL).render()
    unlocked = environment(FULL, {place: value for place, value in THINGS.items() if place != (5, 6)}).render()
    assert np.abs(cell(locked, 5, 5) - cell(unlocked, 5, 5)).max() > 50


@pytest.mark.parametrize("first", [KEYS, DISTRACTOR_LOCKS])
def test_colours_can_be_told_apart(first: int) -> None:
    """Neighbours on the colour wheel differ in their emblem also: by much, somewhere in the cell."""
    looks = []
    for colour in range(NUM_COLOURS):
        things = {(2, 7): KEYS + colour} if first == KEYS else {(2, 7): KEYS, (2, 8): first + colour}
        frame = environment(FULL, things).render()
        looks.append(cell(frame, 2, 7 if first == KEYS else 8))
    for colour in range(NUM_COLOURS):
        for other in range(colour):
            assert np.abs(looks[colour] - looks[other]).max() > 100


def test_the_key_held_hangs_in_the_corner() -> None:
    for env_id in (FULL, VIEWPORT):
        frames = [environment(env_id, held=held).render() for held in (-1, A, B)]
        corners = [cell(frame, 0, 0) for frame in frames]
        assert np.abs(corners[0] - corners[1]).max() > 100
        assert np.abs(corners[1] - corners[2]).max() > 20
        for frame in frames[1:]:
            assert set(map(tuple, (np.argwhere((frame != frames[0]).any(axis=-1)) // CELL).tolist())) == {(0, 0)}


def test_headings_are_visible() -> None:
    frames = [environment(FULL, heading=heading).render().tobytes() for heading in range(4)]
    assert len(set(frames)) == 4


def test_strip_tells_time_score_and_boxes() -> None:
    opened = {place: value for place, value in THINGS.items() if place != (5, 6)}
    taken = {(9, 8): KEYS + C, (9, 9): DISTRACTOR_LOCKS + A}
    strips = [
        environment(FULL, things, **fields).render()[-STRIP:].tobytes()
        for things, fields in [
            (THINGS, {}),
            (THINGS, {"frame": 40}),
            (THINGS, {"frame": 120}),
            (THINGS, {"score": -1}),
            (THINGS, {"score": 1}),
            (opened, {"score": 1}),
            (taken, {"score": 1}),
            (taken, {"score": 12}),
            (THINGS, {"solution_length": 4}),
        ]
    ]
    assert len(set(strips)) == len(strips)


@pytest.mark.parametrize("place", [(7, 3), (1, 1), (12, 12), (1, 12), (12, 2), (3, 3)])
def test_viewport_frame_dims_what_the_agent_cannot_see(place: Place) -> None:
    fields = {"agent_row": place[0], "agent_column": place[1], "held": C}
    full = environment(FULL, **fields).render().astype(int)
    view = environment(VIEWPORT, **fields).render().astype(int)
    for row in range(14):
        for column in range(14):
            inside = abs(row - place[0]) <= 2 and abs(column - place[1]) <= 2
            middle = slice(3, -3), slice(3, -3)  # the outline lies on the window's edge
            seen, shown = cell(full, row, column)[middle], cell(view, row, column)[middle]
            if inside or (row, column) == (0, 0):  # the key held is seen always
                assert (shown == seen).all()
            else:
                assert (shown <= 0.5 * seen).all()
    np.testing.assert_array_equal(view[-STRIP:], full[-STRIP:])


def test_a_game_that_has_not_begun_can_be_drawn() -> None:
    for env_id in (FULL, VIEWPORT):
        game = gymnasium.make(env_id).unwrapped._batch.game  # type: ignore[attr-defined]
        state = game.new_state(1)
        assert game.frame(state, 0).shape == (480, 448, 3)
        assert game.text(state, 0).count("@") == 1


def test_text() -> None:
    lines = environment(FULL, render_mode="ansi", held=B, frame=7, score=1).render().splitlines()
    assert lines[0] == "b#############"
    assert lines[2] == "#      a     #"
    assert lines[5] == "#    bA      #"
    assert lines[7] == "#  @         #"
    assert lines[9] == "# *B    cA   #"
    assert lines[13] == "##############"
    assert lines[14:] == ["key b  score 1  step 7 of 120"]


def test_viewport_text_brackets_the_window() -> None:
    lines = environment(VIEWPORT, render_mode="ansi").render().splitlines()
    assert lines[3].split() == ["#", "a", "#"]
    assert lines[5] == "   #" + " " * 25 + "#"
    assert lines[6] == "   #[        b]A             #"
    assert lines[8] == "   #[    @    ]              #"
    assert lines[10] == "   #[  * B    ]    c A       #"
    assert lines[11] == lines[5]
    assert lines[-1] == "no key  score 0  step 0 of 120"
    assert len(lines) == 17


def test_viewport_text_where_the_window_reaches_beyond_the_wall() -> None:
    lines = environment(VIEWPORT, render_mode="ansi", agent_row=1, agent_column=1, held=C).render().splitlines()
    assert lines[0] == "[         ]"
    assert lines[1] == "[  c # # #]# # # # # # # # # #"
    assert lines[2] == "[  # @    ]                  #"
    assert lines[5] == "   #" + " " * 25 + "#"
    lines = environment(VIEWPORT, render_mode="ansi", agent_row=12, agent_column=12).render().splitlines()
    assert lines[13].endswith("[    @ #  ]")
    assert lines[15].endswith(" [         ]")
