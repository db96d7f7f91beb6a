"""The rules, one by one in positions set by hand, and all together against a slow game written from their description.

Positions are drawn with letters: a lower-case letter is the key of that colour, an upper-case one a lock on
the solution, ``*`` the gem, ``@`` the agent; a digit is a distractor's lock of colour ``a`` (0) and so on. Rows and
columns count from the wall's top left cell.
"""

import string
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest

from rmc_envs.boxworld.kernels import COLOURS, NO_KEY, PASTELS
from rmc_envs.boxworld.levels import DISTRACTOR_LOCKS, EMPTY, GEM, KEYS, LOCKS, NUM_COLOURS, WALL

UP, DOWN, LEFT, RIGHT = range(4)
A, B, C = range(3)

LETTERS = {" ": EMPTY, "@": EMPTY, "*": GEM}
LETTERS |= {letter: KEYS + colour for colour, letter in enumerate(string.ascii_lowercase[:NUM_COLOURS])}
LETTERS |= {letter: LOCKS + colour for colour, letter in enumerate(string.ascii_uppercase[:NUM_COLOURS])}
LETTERS |= {letter: DISTRACTOR_LOCKS + colour for colour, letter in enumerate(string.digits)}

Place = tuple[int, int]


def position(lines: list[str], games: int = 1, *, held: int = NO_KEY, frame: int = 0, **options: Any) -> Any:
    """A vector environment whose games all stand in one position: the room's first rows, the rest of it is empty."""
    envs: Any = gymnasium.make_vec("rmc/BoxWorld-v0", num_envs=games, **options)
    envs.reset(seed=0)
    state = envs.get_state()
    state["board"][:, 1:-1, 1:-1] = EMPTY
    for row, line in enumerate(lines, 1):
        for column, letter in enumerate(line, 1):
            state["board"][:, row, column] = LETTERS[letter]
            if letter == "@":
                state["agent_row"][:], state["agent_column"][:] = row, column
    state["held"][:] = held
    state["frame"][:] = frame
    state["solution_length"][:] = 4
    envs.set_state(state)
    return envs


def play(envs: Any, *actions: int) -> tuple[Place, int, list[float], bool, bool]:
    """The agent's place, the key held, the rewards of the actions, and how the last one left the episode."""
    rewards = []
    for action in actions:
        _, reward, terminated, truncated, _ = envs.step([action])
        rewards.append(float(reward[0]))
    state = envs.get_state()
    place = int(state["agent_row"][0]), int(state["agent_column"][0])
    return place, int(state["held"][0]), rewards, bool(terminated[0]), bool(truncated[0])


@pytest.mark.parametrize(("action", "place"), [(UP, (2, 3)), (DOWN, (4, 3)), (LEFT, (3, 2)), (RIGHT, (3, 4))])
def test_moves(action: int, place: Place) -> None:
    assert play(position(["", "", "  @"]), action) == (place, NO_KEY, [0], False, False)


@pytest.mark.parametrize(
    ("place", "action"), [((1, 5), UP), ((12, 5), DOWN), ((5, 1), LEFT), ((5, 12), RIGHT), ((1, 1), UP), ((1, 1), LEFT)]
)
def test_walls_block(place: Place, action: int) -> None:
    lines = [""] * (place[0] - 1) + [" " * (place[1] - 1) + "@"]
    assert play(position(lines), action) == (place, NO_KEY, [0], False, False)


def test_the_loose_key_pays_nothing() -> None:
    envs = position(["", " @a"])
    assert play(envs, RIGHT) == ((2, 3), A, [0], False, False)
    assert (envs.get_state()["board"][0, 1:-1, 1:-1] == EMPTY).all()


@pytest.mark.parametrize("held", [NO_KEY, B])
@pytest.mark.parametrize("lock", ["A", "0"])
def test_a_lock_blocks_without_its_key(held: int, lock: str) -> None:
    envs = position(["", " *A" if lock == "A" else " b0", "  @"], held=held)
    before = envs.get_state()["board"]
    assert play(envs, UP) == ((3, 3), held, [0], False, False)
    np.testing.assert_array_equal(envs.get_state()["board"], before)


def test_a_box_of_the_solution_uses_up_the_key_and_pays() -> None:
    envs = position(["", " bA", "  @", "", "   *B"], held=A)
    assert play(envs, UP) == ((2, 3), NO_KEY, [1], False, False)
    assert play(envs, LEFT) == ((2, 2), B, [0], False, False)


def test_a_distractor_costs_and_ends_the_episode() -> None:
    envs = position(["", " c0", "  @", "", "   *A"], held=A)
    assert play(envs, UP) == ((2, 3), NO_KEY, [-1], True, False)


def test_the_gem_pays_ten_and_ends_the_episode() -> None:
    envs = position(["", " *A@"], held=A)
    assert play(envs, LEFT, LEFT) == ((2, 2), NO_KEY, [1, 10], True, False)


@pytest.mark.parametrize("content", ["*", "b"])
@pytest.mark.parametrize(("agent", "action"), [((1, 2), DOWN), ((3, 2), UP), ((2, 1), RIGHT)])
@pytest.mark.parametrize("held", [NO_KEY, A, B])
def test_a_locked_content_is_out_of_reach(content: str, agent: Place, action: int, held: int) -> None:
    lines = [list("    ") for _ in range(5)]
    lines[1][1:3] = content, "A"
    if content == "b":
        lines[4][1:3] = "*", "B"
    lines[agent[0] - 1][agent[1] - 1] = "@"
    envs = position(["".join(line) for line in lines], held=held)
    assert play(envs, action) == (agent, held, [0], False, False)


@pytest.mark.parametrize(("agent", "action"), [((1, 2), DOWN), ((3, 2), UP), ((2, 1), RIGHT), ((2, 3), LEFT)])
def test_an_unlocked_content_is_taken_from_all_sides(agent: Place, action: int) -> None:
    lines = [list("   ") for _ in range(3)]
    lines[1][1] = "b"
    lines[agent[0] - 1][agent[1] - 1] = "@"
    assert play(position(["".join(line) for line in lines]), action) == ((2, 2), B, [0], False, False)


def test_another_key_replaces_the_one_held() -> None:
    envs = position(["", " @b", "", "  *A"], held=A)
    assert play(envs, RIGHT, DOWN, RIGHT) == ((3, 4), B, [0, 0, 0], False, False)
    assert play(envs, DOWN)[:3] == ((3, 4), B, [0])
    assert (envs.get_state()["board"][0] != KEYS + A).all()


@pytest.mark.parametrize("max_steps", [1, 7, 120])
def test_truncation_after_exactly_max_steps(max_steps: int) -> None:
    envs = position(["@"], 5, max_steps=max_steps)
    for step in range(1, max_steps + 1):
        _, _, terminated, truncated, _ = envs.step([UP, DOWN, LEFT, RIGHT, UP])
        assert not terminated.any()
        assert (truncated == (step == max_steps)).all()
    assert (envs.get_state()["frame"] == max_steps).all()


def test_blocked_moves_count_as_steps() -> None:
    envs = position(["@"], max_steps=3)
    assert [play(envs, UP)[-1] for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(("lines", "held"), [([" *@"], NO_KEY), ([" c0@", "", "", " *A"], A)])
def test_an_end_in_the_last_step_is_no_truncation(lines: list[str], held: int) -> None:
    assert play(position(["", *lines], held=held, frame=119), LEFT)[-2:] == (True, False)


def test_an_opened_box_in_the_last_step_is_truncated() -> None:
    assert play(position(["", " *A@"], held=A, frame=119), LEFT)[2:] == ([1], False, True)


def test_picture() -> None:
    envs = position(["", "  cA", "", " b", "", " *C  @"], 2, held=B)
    picture = envs.reset(options={"reset_mask": np.array([False, True])})[0][0]  # game 0 is not touched
    assert picture[6, 6].tolist() == [128, 128, 128]
    assert picture[6, 2].tolist() == [255, 255, 255]
    assert picture[5, 5].tolist() == [204, 204, 204]
    assert picture[0, 5].tolist() == picture[13, 13].tolist() == picture[7, 0].tolist() == [0, 0, 0]
    assert picture[2, 4].tolist() == [179, 89, 89]  # colour a
    assert picture[4, 2].tolist() == [179, 116, 89]  # colour b
    assert picture[2, 3].tolist() == picture[6, 3].tolist() == [179, 143, 89]  # colour c
    assert picture[0, 0].tolist() == [179, 116, 89]


def test_no_two_things_look_alike() -> None:
    looks = {tuple(colour) for colour in COLOURS.tolist()}
    assert len(looks) == NUM_COLOURS + 4
    assert len({tuple(colour) for colour in PASTELS.tolist()}) == NUM_COLOURS
    np.testing.assert_array_equal(COLOURS[KEYS:LOCKS], COLOURS[LOCKS:DISTRACTOR_LOCKS])
    np.testing.assert_array_equal(COLOURS[KEYS:LOCKS], COLOURS[DISTRACTOR_LOCKS : DISTRACTOR_LOCKS + NUM_COLOURS])


PUBLISHED = [
    *[(700, 350, 350), (700, 454, 350), (700, 559, 350), (700, 664, 350), (629, 700, 350), (524, 700, 350)],
    *[(420, 700, 350), (350, 700, 384), (350, 700, 490), (350, 700, 595), (350, 700, 700), (350, 594, 700)],
    *[(350, 490, 700), (350, 384, 700), (419, 350, 700), (524, 350, 700), (630, 350, 700), (700, 350, 665)],
    *[(700, 350, 559), (700, 350, 455)],
]
"""The authors' colours, out of 999."""


class SlowGame:
    """The rules for one game, with a dictionary for each kind of object and nothing shared with the kernels.

    ``things`` maps cells to ("key", colour), ("gem", None) or ("lock", colour, on the solution).
    """

    def __init__(self, size: int, things: dict[Place, tuple[Any, ...]], agent: Place, max_steps: int) -> None:
        self.size = size
        self.things = dict(things)
        self.agent = agent
        self.held: int | None = None
        self.steps = 0
        self.score = 0.0
        self.max_steps = max_steps
        self.events: Counter[str] = Counter()

    def step(self, action: int) -> tuple[float, bool, bool]:
        self.steps += 1
        down, right = {UP: (-1, 0), DOWN: (1, 0), LEFT: (0, -1), RIGHT: (0, 1)}[action]
        target = self.agent[0] + down, self.agent[1] + right
        reward, over = self._walk(target)
        self.score += reward
        return reward, over, self.steps >= self.max_steps and not over

    def _walk(self, target: Place) -> tuple[float, bool]:
        if not all(1 <= axis <= self.size for axis in target):
            self.events["wall"] += 1
            return 0.0, False
        thing = self.things.get(target)
        behind = self.things.get((target[0], target[1] + 1))
        if thing is not None and thing[0] == "lock" and thing[1] != self.held:
            self.events["closed lock"] += 1
            return 0.0, False
        if thing is not None and thing[0] != "lock" and behind is not None and behind[0] == "lock":
            self.events["locked content"] += 1
            return 0.0, False
        self.agent = target
        self.things.pop(target, None)
        if thing is None:
            return 0.0, False
        if thing[0] == "key":
            self.events["key"] += 1
            self.held = thing[1]
            return 0.0, False
        if thing[0] == "gem":
            self.events["gem"] += 1
            return 10.0, True
        self.held = None
        self.events["right box" if thing[2] else "wrong box"] += 1
        return (1.0, False) if thing[2] else (-1.0, True)

    def board(self) -> np.ndarray:
        """What the state must hold."""
        board = np.full((self.size + 2, self.size + 2), WALL, np.uint8)
        board[1:-1, 1:-1] = EMPTY
        for cell, (kind, *rest) in self.things.items():
            first = {"key": KEYS, "gem": GEM, "lock": LOCKS if rest[-1] is True else DISTRACTOR_LOCKS}[kind]
            board[cell] = first + (rest[0] or 0)
        return board

    def picture(self) -> np.ndarray:
        """What the agent must see, from the authors' colours."""
        colours = [[round(255 * share / 999) for share in colour] for colour in PUBLISHED]
        picture = np.zeros((self.size + 2, self.size + 2, 3), np.uint8)
        picture[1:-1, 1:-1] = round(0.8 * 255)
        for cell, (kind, colour, *_) in self.things.items():
            picture[cell] = 255 if kind == "gem" else colours[colour]
        if self.held is not None:
            picture[0, 0] = colours[self.held]
        picture[self.agent] = 128
        return picture


def slow_copy(state: dict[str, np.ndarray], game: int, max_steps: int) -> SlowGame:
    """A slow game that stands where a game has just begun."""
    things: dict[Place, tuple[Any, ...]] = {}
    board = state["board"][game]
    for row, column in np.argwhere(board >= GEM).tolist():
        value = int(board[row, column])
        if value >= LOCKS:
            things[row, column] = "lock", (value - LOCKS) % NUM_COLOURS, value < DISTRACTOR_LOCKS
        else:
            things[row, column] = ("gem", None) if value == GEM else ("key", value - KEYS)
    agent = int(state["agent_row"][game]), int(state["agent_column"][game])
    return SlowGame(board.shape[0] - 2, things, agent, max_steps)


def at_random(game: SlowGame, random: np.random.Generator) -> int:
    """Any action."""
    return int(random.integers(4))


def at_things(game: SlowGame, random: np.random.Generator) -> int:
    """Mostly the next step to the nearest thing that can be walked on, a wrong box as gladly as a right one."""
    if random.random() < 0.15:
        return at_random(game, random)
    before: dict[Place, tuple[Place, int]] = {}
    edge = deque([game.agent])
    while edge:
        cell = edge.popleft()
        for action in random.permutation(4).tolist():
            place = cell[0] + (-1, 1, 0, 0)[action], cell[1] + (0, 0, -1, 1)[action]
            if place in before or place == game.agent or not all(1 <= axis <= game.size for axis in place):
                continue
            before[place] = cell, action
            thing, behind = game.things.get(place), game.things.get((place[0], place[1] + 1))
            if thing is None:
                edge.append(place)
            elif thing[1] == game.held if thing[0] == "lock" else behind is None or behind[0] != "lock":
                while before[place][0] != game.agent:
                    place = before[place][0]
                return before[place][1]
    return at_random(game, random)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"solution_length": (1, 5), "num_distractors": (0, 5), "max_steps": 40},
        {"num_distractors": (0, 2), "num_backward_distractors": (0, 2), "distractor_length": 2},
        {"grid_size": 5, "solution_length": (1, 1), "num_distractors": (0, 0)},
    ],
)
@pytest.mark.parametrize("policy", [at_random, at_things])
def test_the_slow_game_agrees_state_for_state(
    policy: Callable[[SlowGame, np.random.Generator], int], options: dict[str, Any]
) -> None:
    games, steps = 8, 600
    max_steps = options.get("max_steps", 120)
    random = np.random.default_rng(1)
    envs: Any = gymnasium.make_vec("rmc/BoxWorld-v0", num_envs=games, **options)
    pictures = envs.reset(seed=31)[0]
    state = envs.get_state()
    slow = [slow_copy(state, game, max_steps) for game in range(games)]
    ended = np.zeros(games, np.bool_)
    events: Counter[str] = Counter()
    for _ in range(steps):
        actions = [policy(one, random) for one in slow]
        pictures, rewards, terminated, truncated, _ = envs.step(actions)
        state = envs.get_state()
        for game in range(games):
            if ended[game]:
                expected = 0.0, False, False
                slow[game] = slow_copy(state, game, max_steps)
                assert state["held"][game] == NO_KEY
            else:
                expected = slow[game].step(actions[game])
            one = slow[game]
            assert (rewards[game], terminated[game], truncated[game]) == expected
            assert (state["agent_row"][game], state["agent_column"][game]) == one.agent
            assert state["held"][game] == (NO_KEY if one.held is None else one.held)
            assert state["frame"][game] == one.steps
            assert state["score"][game] == one.score
            assert np.array_equal(state["board"][game], one.board())
            assert np.array_equal(pictures[game], one.picture())
            ended[game] = expected[1] or expected[2]
            if ended[game]:
                events += one.events
                events["time"] += expected[2]
        envs.set_state(state)  # no state of a real game is refused
    assert events["wall"] > 0
    assert events["time"] > 0 or policy is at_things
    if policy is at_things:
        wanted = {"key", "right box", "closed lock", "locked content", "gem"}
        if options.get("num_distractors") != (0, 0):
            wanted.add("wrong box")
        assert all(events[event] > 5 for event in wanted), events
