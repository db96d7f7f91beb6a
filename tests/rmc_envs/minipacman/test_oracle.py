"""Whole games against an independent one: slow, in plain Python, with sets of places instead of tables and cells.

It draws from a copy of each game's random stream in the order in which the kernels draw, so every field of the state
must agree after every step.
"""

from collections import deque
from typing import Any

import gymnasium
import numpy as np
import pytest

from rmc_envs.minipacman.kernels import GONE
from rmc_envs.minipacman.maze import CELL_COLUMN, CELL_ROW, FOOD
from rmc_envs.random_stream import STREAM_WORDS, seed_stream

MAZE = [
    "###################",
    "#...#.........#...#",
    "#.#.#.#######.#.#.#",
    "#.................#",
    "#.#.#.#######.#.#.#",
    "#.#.............#.#",
    "#.####.#####.####.#",
    "#......#####......#",
    "#.####.#####.####.#",
    "#.#.............#.#",
    "#.#.#.#######.#.#.#",
    "#.................#",
    "#.#.#.#######.#.#.#",
    "#...#.........#...#",
    "###################",
]
OPEN = [(row, column) for row, line in enumerate(MAZE) for column, letter in enumerate(line) if letter == "."]
RIGHT, UP, LEFT, DOWN = (0, 1), (-1, 0), (0, -1), (1, 0)
MOVES = [RIGHT, UP, LEFT, DOWN]
#         step, food, pill, ghost, killed
REWARDS = {
    "regular": (0.0, 1.0, 2.0, 5.0, 0.0),
    "avoid": (0.1, -0.1, -5.0, -10.0, -20.0),
    "hunt": (0.0, 0.0, 1.0, 10.0, -20.0),
    "ambush": (0.0, -0.1, 0.0, 10.0, -20.0),
    "rush": (0.0, -0.1, 10.0, 0.0, 0.0),
}
Place = tuple[int, int]


def beside(place: Place, move: Place) -> Place:
    return place[0] + move[0], place[1] + move[1]


def ways(place: Place) -> list[Place]:
    """The moves from ``place`` that no wall blocks, in the order right, up, left, down."""
    return [move for move in MOVES if MAZE[place[0] + move[0]][place[1] + move[1]] == "."]


def reverse(move: Place) -> Place:
    return -move[0], -move[1]


class Stream:
    """xoshiro256++ in plain integers."""

    def __init__(self, words: list[int]) -> None:
        self.words = words

    def word(self) -> int:
        a, b, c, d = self.words
        mask = 2**64 - 1
        total = (a + d) & mask
        result = ((((total << 23) | (total >> 41)) & mask) + a) & mask
        c, d = c ^ a, d ^ b
        self.words = [a ^ d, b ^ c, c ^ ((b << 17) & mask), ((d << 45) | (d >> 19)) & mask]
        return result

    def uniform(self) -> float:
        return (self.word() >> 11) * 2.0**-53

    def choice(self, things: list[Any]) -> Any:
        return things[((self.word() >> 32) * len(things)) >> 32]


class SlowGame:
    def __init__(self, task: str, stream: Stream, level: int, fast: bool, time_limit: int | None) -> None:
        self.task, self.stream, self.first_level, self.fast = task, stream, level, fast
        self.time_limit = time_limit if time_limit is not None else {"avoid": 128}.get(task)
        self.begin()

    def begin(self) -> None:
        self.frame, self.score = 0, 0.0
        self.begin_level(self.first_level)

    def begin_level(self, level: int) -> None:
        self.level, self.timer, self.power = level, 0, 0
        self.food = set(OPEN)
        self.pills: list[Place | None] = [self.stream.choice(OPEN) for _ in range(2)]
        self.pacman = self.stream.choice(OPEN)
        self.ghosts: list[list[Place]] = []
        for _ in range(1 + (level - 1) // 2):
            row, column = self.pacman
            while True:
                place = self.stream.choice(OPEN)
                if place[0] not in range(row - 5, row + 5) or place[1] not in range(column - 5, column + 5):
                    break
            self.ghosts.append([place, self.stream.choice(ways(place))])

    def step(self, action: int) -> tuple[float, bool]:
        per_step, _, _, for_ghost, for_death = REWARDS[self.task]
        self.frame += 1
        self.timer += 1
        self.power = max(0, self.power - 1)
        reward = per_step + self.move_pacman(action)
        dead = False
        probability = (0.5 + 0.1 * (self.level - 1)) * (0.5 if self.power > 0 else 1.0)
        for ghost in list(self.ghosts):
            # Met where it stands, and, if it moves on, where it comes to; power or none, that is decided before.
            for turn in ("before", "after"):
                if turn == "after":
                    if self.stream.uniform() >= probability:
                        break
                    ghost[1] = self.heading(ghost)
                    if ghost[1] in ways(ghost[0]):
                        ghost[0] = beside(ghost[0], ghost[1])
                if ghost[0] != self.pacman:
                    continue
                if self.power > 0:
                    self.ghosts = [other for other in self.ghosts if other is not ghost]
                    reward += for_ghost
                    break
                reward += for_death
                dead = True
            if all(other is not ghost for other in self.ghosts):
                if not self.ghosts and self.task in ("hunt", "ambush"):
                    self.begin_level(self.level + 1)
                break
        self.score += reward
        if not dead and self.timer == self.time_limit:
            self.begin_level(self.level + 1)
        return reward, dead

    def move_pacman(self, action: int) -> float:
        _, for_food, for_pill, _, _ = REWARDS[self.task]
        reward = 0.0
        level, start = self.level, self.pacman
        for number in range(2 if self.fast and self.power > 0 else 1):
            free = action > 0 and MOVES[action - 1] in ways(self.pacman)
            if number == 1 and (not free or self.level != level or self.pacman == start):
                break
            if free:
                self.pacman = beside(self.pacman, MOVES[action - 1])
            if self.pacman in self.food:
                self.food.remove(self.pacman)
                reward += for_food
            if self.pacman in self.pills:
                self.pills[self.pills.index(self.pacman)] = None
                self.power = 20
                reward += for_pill
            if (self.task in ("regular", "avoid") and not self.food) or (
                self.task == "rush" and self.pills == [None, None]
            ):
                self.begin_level(self.level + 1)
        return reward

    def heading(self, ghost: list[Place]) -> Place:
        place, old = ghost
        possible = ways(place)
        if len(possible) == 2:
            return old if old in possible else next(move for move in possible if move != reverse(old))
        if place == self.pacman:
            return old
        possible = [move for move in possible if move != reverse(old)]
        if self.power == 0 and self.stream.uniform() < 0.05:
            return self.stream.choice(possible)
        offset = np.array(self.pacman) - place
        towards = [float(offset @ move) for move in possible]
        return possible[towards.index(max(towards) if self.power == 0 else min(towards))]

    def picture(self) -> np.ndarray:
        """RGB; the first that applies of pacman, ghost, pill, food, wall, empty."""
        colours = {"#": (255, 255, 255), ".": (0, 0, 0)}
        picture = np.array([[colours[letter] for letter in line] for line in MAZE], np.uint8)
        for places, colour in (
            (self.food, (0, 0, 255)),
            ([pill for pill in self.pills if pill is not None], (0, 255, 255)),
            ([ghost[0] for ghost in self.ghosts], (255, round(255 * self.power / 20), 0)),
            ([self.pacman], (0, 255, 0)),
        ):
            for place in places:
                picture[place] = colour
        return picture

    def towards(self, goals: set[Place], shunned: set[Place]) -> int:
        """The first move of a shortest way to one of ``goals``; 0 where there is none."""
        seen, queue = {self.pacman}, deque([(self.pacman, 0)])
        while queue:
            place, first = queue.popleft()
            if place in goals and first:
                return first
            for move in ways(place):
                further = beside(place, move)
                if further not in seen and further not in shunned:
                    seen.add(further)
                    queue.append((further, first or MOVES.index(move) + 1))
        return 0


def cautious(game: SlowGame, rng: np.random.Generator) -> int:
    """Eats, keeps a step away from ghosts, hunts them with power: gets through levels."""
    places = {ghost[0] for ghost in game.ghosts}
    if game.power > 3 and places and game.task != "avoid":
        return game.towards(places, set())
    near = places | {beside(place, move) for place in places for move in ways(place)}
    pills = {pill for pill in game.pills if pill is not None}
    goals = pills if game.task in ("hunt", "ambush", "rush") and pills else game.food - pills or game.food
    return game.towards(goals, near) or int(rng.integers(5))


def at_random(game: SlowGame, rng: np.random.Generator) -> int:
    return int(rng.integers(5))


def assert_same(game: SlowGame, state: dict[str, np.ndarray]) -> None:
    def place(cell: Any) -> Place | None:
        return None if cell == GONE else (int(CELL_ROW[cell]), int(CELL_COLUMN[cell]))

    count = int(state["num_ghosts"][0])
    assert place(state["pacman"][0]) == game.pacman
    assert [place(cell) for cell in state["pills"][0]] == game.pills
    assert [place(cell) for cell in state["ghosts"][0, :count]] == [ghost[0] for ghost in game.ghosts]
    assert [MOVES[d] for d in state["ghost_headings"][0, :count]] == [ghost[1] for ghost in game.ghosts]
    assert {place(cell) for cell in np.flatnonzero(state["ground"][0] == FOOD)} == game.food
    numbers = {name: state[name].item() for name in ("power", "level", "timer", "frame", "food_left")}
    assert numbers == {
        "power": game.power,
        "level": game.level,
        "timer": game.timer,
        "frame": game.frame,
        "food_left": len(game.food),
    }
    assert state["score"].item() == pytest.approx(game.score)
    assert state["stream"][0].tolist() == game.stream.words


@pytest.mark.parametrize("policy", [cautious, at_random])
@pytest.mark.parametrize(
    "options",
    [
        *[{"task": task} for task in REWARDS],
        {"task": "regular", "fast_pacman": True},
        {"task": "rush", "fast_pacman": True, "level": 4},
        {"task": "hunt", "time_limit": 80},
        {"task": "avoid", "level": 7},
    ],
    ids=lambda options: "-".join(str(value) for value in options.values()),
)
def test_games_agree_state_for_state(options: dict[str, Any], policy: Any) -> None:
    env: Any = gymnasium.make("rmc/MiniPacman-v0", max_steps=600, **options).unwrapped
    rng = np.random.default_rng(0)
    episodes, highest = 0, 1
    game: SlowGame | None = None
    for _ in range(2500):
        if game is None:
            seed = int(rng.integers(2**31))
            words = np.zeros(STREAM_WORDS, np.uint64)
            seed_stream(words, np.uint64(seed))
            game = SlowGame(
                options["task"],
                Stream(words.tolist()),
                options.get("level", 1),
                options.get("fast_pacman", False),
                options.get("time_limit"),
            )
            env.reset(seed=seed)
            assert_same(game, env.get_state())
        action = policy(game, rng)
        observation, reward, terminated, truncated, _ = env.step(action)
        expected, dead = game.step(action)
        assert reward == pytest.approx(expected)
        assert (terminated, truncated) == (dead, not dead and game.frame == 600)
        assert_same(game, env.get_state())
        np.testing.assert_array_equal(observation, game.picture())
        highest = max(highest, game.level)
        if terminated or truncated:
            game, episodes = None, episodes + 1
    assert episodes > 3 or highest > 1
