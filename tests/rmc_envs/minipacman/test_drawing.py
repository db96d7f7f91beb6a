from typing import Any

import gymnasium
import numpy as np
import pytest

from rmc_envs.minipacman.drawing import CELL, HEIGHT, MARGIN, STRIP, WIDTH
from rmc_envs.minipacman.maze import EMPTY, FOOD, cell_at


def environment(env_id: str, **fields: Any) -> Any:
    """Pacman at (7, 3), one ghost at (11, 9), pills at (5, 5) and (13, 13), and what ``fields`` say."""
    env: Any = gymnasium.make(env_id, render_mode="rgb_array").unwrapped
    env.reset(seed=0)
    state = env.get_state()
    state["pacman"][:] = cell_at(7, 3)
    state["ghosts"][:] = cell_at(11, 9)
    state["ghost_headings"][:] = 0
    state["pills"][:] = [cell_at(5, 5), cell_at(13, 13)]
    for name, value in fields.items():
        state[name][:] = value
    env.set_state(state)
    return env


def cell(frame: np.ndarray, row: int, column: int) -> np.ndarray:
    return frame[row * CELL : (row + 1) * CELL, MARGIN + column * CELL : MARGIN + (column + 1) * CELL].astype(int)


def test_frame_fits_video_encoders() -> None:
    frame = environment("rmc/MiniPacman-v0").render()
    assert frame.shape == (HEIGHT, WIDTH, 3)
    assert HEIGHT % 16 == WIDTH % 16 == 0
    assert frame.dtype == np.uint8


def test_every_thing_is_drawn_in_its_cell() -> None:
    env = environment("rmc/MiniPacman-v0")
    before = env.render()
    state = env.get_state()
    state["pacman"][:] = cell_at(7, 5)
    env.set_state(state)
    after = env.render()
    changed = np.argwhere((before != after).any(axis=-1))
    rows, columns = changed[:, 0] // CELL, (changed[:, 1] - MARGIN) // CELL
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == {(7, 3), (7, 5)}
    looks = [cell(after, *place).tobytes() for place in [(7, 5), (11, 9), (5, 5), (11, 3), (0, 3)]]
    assert len(set(looks)) == 5
    np.testing.assert_array_equal(cell(after, 5, 5), cell(after, 13, 13))


def test_eaten_food_leaves_an_empty_cell() -> None:
    env = environment("rmc/MiniPacman-v0")
    state = env.get_state()
    state["ground"][0, cell_at(11, 3)] = EMPTY
    state["food_left"] -= 1
    env.set_state(state)
    frame = env.render()
    assert np.ptp(cell(frame, 11, 3).reshape(-1, 3), axis=0).max() == 0
    assert np.ptp(cell(frame, 11, 5).reshape(-1, 3), axis=0).max() > 0
    assert state["ground"][0, cell_at(11, 5)] == FOOD


def test_frightened_ghosts_look_different_and_flash_near_the_end() -> None:
    looks = [cell(environment("rmc/MiniPacman-v0", power=power).render(), 11, 9) for power in (0, 20, 12, 5, 4)]
    np.testing.assert_array_equal(looks[1], looks[2])
    np.testing.assert_array_equal(looks[1], looks[3])
    assert np.abs(looks[0] - looks[1]).max() > 100
    assert np.abs(looks[1] - looks[4]).max() > 100


@pytest.mark.parametrize("field", ["pacman_heading", "ghost_headings"])
def test_headings_are_visible(field: str) -> None:
    frames = [environment("rmc/MiniPacman-v0", **{field: heading}).render().tobytes() for heading in range(4)]
    assert len(set(frames)) == 4


def test_strip_tells_power_and_level() -> None:
    strips = [
        environment("rmc/MiniPacman-v0", power=power, level=level).render()[-STRIP:]
        for power, level in ((0, 1), (9, 1), (20, 1), (0, 2))
    ]
    assert len({strip.tobytes() for strip in strips}) == 4


@pytest.mark.parametrize("place", [(7, 3), (1, 1), (13, 17), (1, 17)])
def test_viewport_frame_dims_what_the_agent_cannot_see(place: tuple[int, int]) -> None:
    full = environment("rmc/MiniPacman-v0", pacman=cell_at(*place)).render().astype(int)
    view = environment("rmc/MiniPacmanViewport-v0", pacman=cell_at(*place)).render().astype(int)
    row, column = place
    assert (cell(view, row, column) == cell(full, row, column)).all()
    for r in range(15):
        for c in range(19):
            inside = abs(r - row) <= 2 and abs(c - column) <= 2
            middle = slice(3, -3), slice(3, -3)  # the outline lies on the window's edge
            seen, shown = cell(full, r, c)[middle], cell(view, r, c)[middle]
            assert (shown == seen).all() if inside else (shown <= 0.5 * seen).all()
    np.testing.assert_array_equal(view[-STRIP:], full[-STRIP:])
