"""The rules, one by one, in positions set by hand. Coordinates are (row, column) of the 15x19 maze.

Ghosts of level 6 and above always move while pacman has no power, so positions that need a sure move are of level 6.
"""

from typing import Any

import gymnasium
import numpy as np
import pytest

from rmc_envs.minipacman import TASKS
from rmc_envs.minipacman.kernels import GONE, MAX_GHOSTS, POWER_STEPS
from rmc_envs.minipacman.maze import (
    CELL_COLUMN,
    CELL_ROW,
    DIRECTION_STEP,
    EMPTY,
    EXITS,
    FOOD,
    FULL_GROUND,
    NUM_EXITS,
    OPEN_CELLS,
    cell_at,
)

STAY, RIGHT, UP, LEFT, DOWN = range(5)
HEADS_RIGHT, HEADS_UP, HEADS_LEFT, HEADS_DOWN = range(4)
SURE = 6
"""A level whose ghosts move at every step."""
FAR = ((13, 17), HEADS_LEFT)
"""A ghost out of the way of what happens at the top left."""

Place = tuple[int, int]


def position(
    games: int = 1,
    *,
    task: str = "regular",
    pacman: Place = (1, 1),
    ghosts: list[tuple[Place, int]] | None = None,
    pills: list[Place] | None = None,
    food: list[Place] | None = None,
    power: int = 0,
    level: int = 1,
    timer: int = 0,
    frame: int = 0,
    **options: Any,
) -> Any:
    """A vector environment whose games all stand in one position.

    Unless given, both pills lie far away, a ghost waits far away, and food is everywhere but under pacman.
    """
    envs: Any = gymnasium.make_vec("rmc/MiniPacman-v0", num_envs=games, task=task, **options)
    envs.reset(seed=0)
    state = envs.get_state()
    ghosts = [FAR] if ghosts is None else ghosts
    state["num_ghosts"][:] = len(ghosts)
    for number, (place, heading) in enumerate(ghosts):
        state["ghosts"][:, number] = cell_at(*place)
        state["ghost_headings"][:, number] = heading
    state["pacman"][:] = cell_at(*pacman)
    state["pills"][:] = GONE
    for number, place in enumerate([(13, 9), (13, 9)] if pills is None else pills):
        state["pills"][:, number] = cell_at(*place)
    state["ground"][:] = FULL_GROUND
    state["ground"][:, cell_at(*pacman)] = EMPTY
    if food is not None:
        state["ground"][:, OPEN_CELLS] = EMPTY
        state["ground"][:, [cell_at(*place) for place in food]] = FOOD
    state["food_left"][:] = (state["ground"] == FOOD).sum(axis=1)
    for name, value in (("power", power), ("level", level), ("timer", timer), ("frame", frame)):
        state[name][:] = value
    envs.set_state(state)
    return envs


def play(envs: Any, action: int) -> tuple[dict[str, Any], float, bool, bool]:
    """The state after a step of a single game, and what the step returned."""
    _, rewards, terminated, truncated, _ = envs.step([action])
    state = {name: array[0] for name, array in envs.get_state().items()}
    return state, float(rewards[0]), bool(terminated[0]), bool(truncated[0])


def pacman_place(state: dict[str, Any]) -> Place:
    return int(CELL_ROW[state["pacman"]]), int(CELL_COLUMN[state["pacman"]])


def ghost_places(state: dict[str, Any]) -> list[Place]:
    cells = state["ghosts"][: state["num_ghosts"]]
    return [(int(CELL_ROW[cell]), int(CELL_COLUMN[cell])) for cell in cells]


@pytest.mark.parametrize(
    ("action", "place"), [(STAY, (3, 3)), (RIGHT, (3, 4)), (UP, (2, 3)), (LEFT, (3, 2)), (DOWN, (4, 3))]
)
def test_pacman_moves(action: int, place: Place) -> None:
    assert FULL_GROUND[cell_at(3, 3)] == FOOD
    assert pacman_place(play(position(pacman=(3, 3)), action)[0]) == place


@pytest.mark.parametrize("action", [UP, LEFT])
def test_moving_into_a_wall_is_staying(action: int) -> None:
    state, reward, *_ = play(position(pacman=(1, 1)), action)
    assert (pacman_place(state), reward) == ((1, 1), 0)


@pytest.mark.parametrize(
    ("task", "reward"), [("regular", 1), ("avoid", 0.0), ("hunt", 0), ("ambush", -0.1), ("rush", -0.1)]
)
def test_food_is_eaten_once(task: str, reward: float) -> None:
    envs = position(task=task)
    assert play(envs, RIGHT)[1] == pytest.approx(reward)
    step_reward = TASKS[task].step
    play(envs, LEFT)
    state, again, *_ = play(envs, RIGHT)
    assert again == pytest.approx(step_reward)
    assert state["food_left"] == 138 - 2
    assert state["ground"][cell_at(1, 2)] == EMPTY


def test_food_under_the_start_is_eaten_by_staying() -> None:
    envs: Any = gymnasium.make_vec("rmc/MiniPacman-v0", num_envs=20)
    envs.reset(seed=0)
    assert (envs.get_state()["food_left"] == 138).all()
    assert (envs.step(np.zeros(20, np.int64))[1] == 1 + 2 * (envs.get_state()["power"] == POWER_STEPS)).all()
    assert (envs.get_state()["food_left"] == 137).all()
    assert (envs.step(np.zeros(20, np.int64))[1] == 0).sum() >= 18


@pytest.mark.parametrize(
    ("task", "reward"), [("regular", 2), ("avoid", -5 + 0.1), ("hunt", 1), ("ambush", 0), ("rush", 10)]
)
def test_pill_gives_power_that_runs_out(task: str, reward: float) -> None:
    envs = position(task=task, pills=[(1, 2), (11, 11)], food=[(13, 1)], ghosts=[FAR])
    state, got, *_ = play(envs, RIGHT)
    assert got == pytest.approx(reward)
    assert state["pills"].tolist() == [GONE, cell_at(11, 11)]
    for left in range(POWER_STEPS, -1, -1):
        assert state["power"] == left
        state = play(envs, STAY)[0]
    assert state["power"] == 0


def test_one_pill_a_step_where_two_coincide() -> None:
    envs = position(pills=[(1, 2), (1, 2)], food=[(13, 1)])
    state, reward, *_ = play(envs, RIGHT)
    assert (reward, sorted(state["pills"])) == (2, [GONE, cell_at(1, 2)])
    state, reward, *_ = play(envs, STAY)
    assert (reward, state["power"], state["pills"].tolist()) == (2, POWER_STEPS, [GONE, GONE])


@pytest.mark.parametrize("task", list(TASKS))
def test_walking_into_a_ghost_is_death(task: str) -> None:
    envs = position(task=task, ghosts=[((1, 2), HEADS_LEFT)], food=[(13, 1)])
    _, reward, terminated, truncated = play(envs, RIGHT)
    assert reward == pytest.approx(TASKS[task].step + TASKS[task].death)
    assert (terminated, truncated) == (True, False)


@pytest.mark.parametrize("task", list(TASKS))
def test_being_caught_is_death(task: str) -> None:
    envs = position(task=task, ghosts=[((1, 2), HEADS_LEFT)], food=[(13, 1)], level=SURE)
    state, reward, terminated, _ = play(envs, STAY)
    assert reward == pytest.approx(TASKS[task].step + TASKS[task].death)
    assert terminated
    assert ghost_places(state) == [(1, 1)]


@pytest.mark.parametrize("action", [RIGHT, STAY])
@pytest.mark.parametrize("task", list(TASKS))
def test_power_eats_the_ghost(task: str, action: int) -> None:
    beside = (1, 2) if action == RIGHT else (1, 1)
    envs = position(task=task, ghosts=[(beside, HEADS_LEFT), FAR], food=[(13, 1)], power=5)
    state, reward, terminated, _ = play(envs, action)
    assert reward == pytest.approx(TASKS[task].step + TASKS[task].ghost)
    assert not terminated
    assert ghost_places(state) == [FAR[0]]


def test_the_last_step_of_power_does_not_protect() -> None:
    _, _, terminated, _ = play(position(ghosts=[((1, 2), HEADS_LEFT)], power=1), RIGHT)
    assert terminated


def test_a_pill_protects_in_the_step_it_is_eaten() -> None:
    envs = position(ghosts=[((1, 2), HEADS_LEFT), FAR], pills=[(1, 2), (11, 11)], food=[(13, 1)])
    _, reward, terminated, _ = play(envs, RIGHT)
    assert (reward, terminated) == (2 + 5, False)


def test_one_ghost_eaten_a_step_and_the_later_ones_wait() -> None:
    ghosts = [((1, 2), HEADS_LEFT), ((1, 2), HEADS_RIGHT), ((11, 9), HEADS_RIGHT)]
    envs = position(ghosts=ghosts, food=[(13, 1)], power=15, level=30)  # speed 3.4, halved 1.7: they always move
    state, reward, *_ = play(envs, RIGHT)
    assert (reward, ghost_places(state)) == (5, [(1, 2), (11, 9)])
    assert state["ghost_headings"][:2].tolist() == [HEADS_RIGHT, HEADS_RIGHT]
    state, reward, *_ = play(envs, STAY)
    assert (reward, ghost_places(state)) == (5, [(11, 9)])
    state, reward, *_ = play(envs, STAY)
    assert (reward, ghost_places(state)) == (0, [(11, 10)])


def test_death_by_two_ghosts_is_paid_twice() -> None:
    ghosts = [((1, 2), HEADS_LEFT), ((1, 2), HEADS_RIGHT)]
    assert play(position(task="hunt", ghosts=ghosts), RIGHT)[1] == -40


def test_death_is_paid_again_where_the_ghost_cannot_move_on() -> None:
    # (3, 1) is a junction with a wall on its left: a ghost heading left has just come there
    assert NUM_EXITS[cell_at(3, 1)] == 3
    assert not EXITS[cell_at(3, 1), HEADS_LEFT]
    blocked = position(task="hunt", pacman=(2, 1), ghosts=[((3, 1), HEADS_LEFT)], level=SURE)
    assert play(blocked, DOWN)[1] == -40
    free = position(task="hunt", pacman=(2, 1), ghosts=[((3, 1), HEADS_DOWN)], level=SURE)
    state, reward, terminated, _ = play(free, DOWN)
    assert (reward, terminated, ghost_places(state)) == (-20, True, [(4, 1)])


@pytest.mark.parametrize(
    ("level", "power", "share"), [(1, 0, 0.5), (1, 20, 0.25), (3, 0, 0.7), (3, 20, 0.35), (6, 0, 1.0), (9, 0, 1.0)]
)
def test_ghost_speed(level: int, power: int, share: float) -> None:
    games = 4000
    envs = position(games, ghosts=[((11, 9), HEADS_RIGHT)], level=level, power=power)
    envs.step(np.zeros(games, np.int64))
    moved = (envs.get_state()["ghosts"][:, 0] != cell_at(11, 9)).mean()
    assert abs(moved - share) <= 4 * np.sqrt(share * (1 - share) / games)


@pytest.mark.parametrize("power", [0, 20])
def test_ghosts_follow_corridors_and_never_turn_round(power: int) -> None:
    games, steps = 200, 400
    envs = position(games, ghosts=[((13, 9), HEADS_RIGHT)], level=30)
    for _ in range(steps):
        before = envs.get_state()
        state = before | {"power": np.full(games, power, np.int16), "needs_reset": np.zeros(games, np.bool_)}
        state["pacman"][:] = cell_at(1, 1)
        envs.set_state(state)
        envs.step(np.zeros(games, np.int64))
        after = envs.get_state()
        alive = (after["num_ghosts"] == 1) & ~after["needs_reset"]
        cells, headings = before["ghosts"][:, 0], after["ghost_headings"][:, 0]
        alive &= cells != cell_at(1, 1)
        assert (after["ghosts"][alive, 0] == (cells + DIRECTION_STEP[headings])[alive]).all()
        assert (headings != before["ghost_headings"][:, 0] ^ 2)[alive].all()
        straight = alive & (NUM_EXITS[cells] == 2) & EXITS[cells, before["ghost_headings"][:, 0]]
        assert (headings == before["ghost_headings"][:, 0])[straight].all()


def headings_chosen(
    place: Place, heading: int, pacman: Place, *, power: int = 0, games: int = 4000
) -> dict[int, float]:
    """The share of each heading that a ghost takes on ``place``, in sure moves."""
    envs = position(games, ghosts=[(place, heading)], pacman=pacman, power=power, level=30)
    envs.step(np.zeros(games, np.int64))
    state = envs.get_state()
    assert (state["ghosts"][:, 0] != cell_at(*place)).all()
    chosen, counts = np.unique(state["ghost_headings"][:, 0], return_counts=True)
    return dict(zip(chosen.tolist(), (counts / games).tolist(), strict=True))


# (3, 3) is a crossing; (3, 1) is open to the right, up and down
def test_hunting_ghosts_turn_towards_pacman_nineteen_times_in_twenty() -> None:
    shares = headings_chosen((3, 3), HEADS_UP, pacman=(3, 15))
    assert set(shares) == {HEADS_RIGHT, HEADS_UP, HEADS_LEFT}
    whim = 0.05 / 3
    for heading, expected in ((HEADS_RIGHT, 0.95 + whim), (HEADS_UP, whim), (HEADS_LEFT, whim)):
        assert abs(shares[heading] - expected) < 4 * np.sqrt(expected * (1 - expected) / 4000)


def test_a_hunting_ghost_never_takes_the_way_it_came() -> None:
    shares = headings_chosen((3, 3), HEADS_LEFT, pacman=(3, 15))
    assert HEADS_RIGHT not in shares
    # up, left and down: pacman is to the right, so up and down score 0, left is worst, and up comes before down
    assert shares[HEADS_UP] > 0.94


def test_at_a_junction_of_three_two_ways_are_left() -> None:
    shares = headings_chosen((3, 1), HEADS_LEFT, pacman=(9, 1))
    assert set(shares) == {HEADS_UP, HEADS_DOWN}
    assert abs(shares[HEADS_DOWN] - 0.975) < 4 * np.sqrt(0.975 * 0.025 / 4000)


@pytest.mark.parametrize(
    ("heading", "pacman", "chosen"),
    [
        (HEADS_UP, (3, 15), HEADS_LEFT),
        (HEADS_UP, (9, 3), HEADS_UP),
        (HEADS_UP, (1, 3), HEADS_RIGHT),  # up is worst of all; right and left tie, and right comes first
        (HEADS_LEFT, (3, 15), HEADS_LEFT),
        (HEADS_DOWN, (5, 5), HEADS_LEFT),  # pacman is as far down as to the right; left scores less than those
    ],
)
def test_frightened_ghosts_turn_away_without_whim(heading: int, pacman: Place, chosen: int) -> None:
    assert headings_chosen((3, 3), heading, pacman, power=20, games=300) == {chosen: 1.0}


def test_diagonal_ties_go_to_the_first_direction() -> None:
    # pacman up to the right by as much: right (first) rather than up
    shares = headings_chosen((3, 3), HEADS_UP, pacman=(1, 5), games=300)
    assert max(shares, key=lambda heading: shares[heading]) == HEADS_RIGHT


def test_ghosts_at_corners_take_the_way_on() -> None:
    state = play(position(pacman=(13, 1), ghosts=[((1, 1), HEADS_UP)], level=SURE), STAY)[0]
    assert ghost_places(state) == [(1, 2)]
    state = play(position(pacman=(13, 1), ghosts=[((1, 1), HEADS_LEFT)], level=SURE), STAY)[0]
    assert ghost_places(state) == [(2, 1)]


def assert_new_level(state: dict[str, Any], level: int) -> None:
    assert (state["level"], state["timer"], state["power"], state["food_left"]) == (level, 0, 0, 138)
    assert state["num_ghosts"] == 1 + (level - 1) // 2
    assert (state["pills"] != GONE).all()
    np.testing.assert_array_equal(state["ground"], FULL_GROUND)


@pytest.mark.parametrize("task", list(TASKS))
def test_last_food_clears_the_level_in_regular_and_avoid(task: str) -> None:
    envs = position(task=task, food=[(1, 2)], pills=[(13, 1), (13, 1)], level=2, timer=7, frame=40, power=3)
    state, reward, terminated, truncated = play(envs, RIGHT)
    assert reward == pytest.approx(TASKS[task].step + TASKS[task].food)
    assert (terminated, truncated) == (False, False)
    assert state["frame"] == 41
    if task in ("regular", "avoid"):
        assert_new_level(state, 3)
    else:
        assert (state["level"], state["timer"], state["food_left"]) == (2, 8, 0)


@pytest.mark.parametrize("task", list(TASKS))
def test_last_pill_clears_the_level_in_rush(task: str) -> None:
    envs = position(task=task, pills=[(1, 2)], food=[(13, 1)], level=4)
    state, reward, terminated, _ = play(envs, RIGHT)
    assert reward == pytest.approx(TASKS[task].step + TASKS[task].pill)
    assert not terminated
    if task == "rush":
        assert_new_level(state, 5)
    else:
        assert (state["level"], state["power"]) == (4, POWER_STEPS)


@pytest.mark.parametrize("task", list(TASKS))
def test_last_ghost_clears_the_level_in_hunt_and_ambush(task: str) -> None:
    envs = position(task=task, ghosts=[((1, 2), HEADS_LEFT)], food=[(13, 1)], power=9, level=2)
    state, reward, terminated, _ = play(envs, RIGHT)
    assert reward == pytest.approx(TASKS[task].step + TASKS[task].ghost)
    assert not terminated
    if task in ("hunt", "ambush"):
        assert_new_level(state, 3)
    else:
        assert (state["level"], state["num_ghosts"], state["power"]) == (2, 0, 8)


def test_food_and_pill_of_one_cell_both_count_before_the_level_ends() -> None:
    _, reward, *_ = play(position(food=[(1, 2)], pills=[(1, 2)]), RIGHT)
    assert reward == 1 + 2


@pytest.mark.parametrize(
    ("task", "time_limit", "limit"), [("avoid", None, 128), ("hunt", 80, 80), ("ambush", 80, 80), ("avoid", 5, 5)]
)
def test_level_timer(task: str, time_limit: int | None, limit: int) -> None:
    envs = position(task=task, time_limit=time_limit, timer=limit - 2, ghosts=[FAR])
    state = play(envs, STAY)[0]
    assert (state["level"], state["timer"]) == (1, limit - 1)
    observation = envs.step([STAY])[0][0]
    state = {name: array[0] for name, array in envs.get_state().items()}
    assert_new_level(state, 2)
    # the picture is the new level's: food everywhere, but where pacman, a ghost or a pill lies on it
    assert (observation == (0, 0, 255)).all(axis=-1).sum() >= 138 - 4


@pytest.mark.parametrize("task", ["regular", "hunt", "ambush", "rush"])
def test_no_timer_without_a_limit(task: str) -> None:
    assert play(position(task=task, timer=10_000, max_steps=20_000), STAY)[0]["level"] == 1


def test_frame_cap_truncates() -> None:
    assert play(position(frame=2998), STAY)[2:] == (False, False)
    assert play(position(frame=2999), STAY)[2:] == (False, True)
    assert play(position(frame=6, max_steps=7), STAY)[2:] == (False, True)


def test_death_at_the_frame_cap_is_termination() -> None:
    envs = position(frame=2999, ghosts=[((1, 2), HEADS_LEFT)])
    assert play(envs, RIGHT)[2:] == (True, False)


def test_levels_start_as_the_rules_say() -> None:
    games = 3000
    envs = position(games, task="hunt", time_limit=1, level=8)
    envs.step(np.zeros(games, np.int64))
    state = envs.get_state()
    ghosts, headings = state["ghosts"][:, :5], state["ghost_headings"][:, :5]
    assert (state["level"] == 9).all()
    assert (state["num_ghosts"] == 5).all()
    rows = CELL_ROW[ghosts] - CELL_ROW[state["pacman"]][:, None]
    columns = CELL_COLUMN[ghosts] - CELL_COLUMN[state["pacman"]][:, None]
    near = (rows >= -5) & (rows < 5) & (columns >= -5) & (columns < 5)
    assert not near.any()
    assert ((rows == 5) & (np.abs(columns) < 5)).any()  # the box is open at its far side
    assert ((columns == 5) & (np.abs(rows) < 5)).any()
    assert EXITS[ghosts, headings].all()
    assert set(np.unique(ghosts)) == set(OPEN_CELLS)
    for cells in (state["pacman"], state["pills"][:, 0], state["pills"][:, 1]):
        counts = np.bincount(np.searchsorted(OPEN_CELLS, cells), minlength=138)
        expected = games / 138
        assert abs(((counts - expected) ** 2 / expected).sum() - 137) < 4 * np.sqrt(2 * 137)
    assert (state["pills"][:, 0] == state["pills"][:, 1]).any()


def test_ghosts_stop_growing_in_number_at_the_capacity() -> None:
    for level, ghosts in ((254, MAX_GHOSTS - 1), (255, MAX_GHOSTS), (999, MAX_GHOSTS)):
        state = play(position(task="hunt", time_limit=1, level=level - 1), STAY)[0]
        assert (state["level"], state["num_ghosts"]) == (level, ghosts)


def observation_of(envs: Any) -> np.ndarray:
    """What game 0 of two shows in a position nobody has stepped from: the row it keeps while game 1 is reset."""
    return envs.reset(options={"reset_mask": np.array([False, True])})[0][0]


def test_picture_priority_and_colours() -> None:
    envs = position(
        2,
        pacman=(3, 3),
        ghosts=[((3, 3), HEADS_LEFT), ((3, 5), HEADS_LEFT)],
        pills=[(3, 5), (3, 7)],
        food=[(3, 3), (3, 5), (3, 7), (3, 9)],
        power=10,
    )
    picture = observation_of(envs)
    assert picture[3, 3].tolist() == [0, 255, 0]
    assert picture[3, 5].tolist() == [255, 128, 0]
    assert picture[3, 7].tolist() == [0, 255, 255]
    assert picture[3, 9].tolist() == [0, 0, 255]
    assert picture[3, 11].tolist() == [0, 0, 0]
    assert picture[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize(("power", "green"), [(0, 0), (1, 13), (19, 242), (20, 255)])
def test_ghosts_fade_from_yellow_to_red(power: int, green: int) -> None:
    envs = position(2, ghosts=[((3, 5), HEADS_LEFT)], power=power)
    assert observation_of(envs)[3, 5].tolist() == [255, green, 0]
