"""The page's games against the Python ones: the same seed and the same actions make the same game, bit for bit."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import rmc_envs
from rmc_envs import pixels
from rmc_envs.boxworld.kernels import COLOURS
from rmc_envs.catalogue import option_defaults
from rmc_envs.minipacman.maze import PICTURE
from rmc_envs.minipacman.tasks import NO_TIME_LIMIT, TASKS
from tests.rmc_rl.page.playing import (
    GAMES,
    Policy,
    Trajectory,
    at_random,
    evaluate,
    needs_node,
    opener,
    pacman,
    play,
    record,
)

pytestmark = needs_node

SEEDS = [0, 7, 2**31, 2**53 - 1, 2**53 + 1, 2**64 - 1]
PACMAN, VIEWPORT = "rmc/MiniPacman-v0", "rmc/MiniPacmanViewport-v0"
BOXES, BOXES_VIEWPORT = "rmc/BoxWorld-v0", "rmc/BoxWorldViewport-v0"
REPEAT = "rmc/RepeatFirst-v0"

PACMAN_CASES: list[tuple[str, dict[str, Any]]] = [
    *[(VIEWPORT, {"task": task}) for task in TASKS],
    *[(PACMAN, {"task": task, "observation": "planes", "max_steps": 300}) for task in TASKS],
    (PACMAN, {}),
    (PACMAN, {"task": "rush", "fast_pacman": True, "level": 4}),
    (PACMAN, {"task": "hunt", "time_limit": 80, "level": 9}),
    (VIEWPORT, {"fast_pacman": True, "outside": "empty", "max_steps": 200}),
    (VIEWPORT, {"observation": "planes", "outside": "empty", "task": "ambush", "time_limit": 20}),
    (VIEWPORT, {"observation": "planes", "outside": "wall", "level": 1000, "max_steps": 40}),
    (VIEWPORT, {"level": 255, "task": "rush", "fast_pacman": True}),
]
BOXES_CASES: list[tuple[str, dict[str, Any]]] = [
    (BOXES, {}),
    (BOXES_VIEWPORT, {}),
    (BOXES, {"num_backward_distractors": [0, 3], "distractor_length": 2, "num_distractors": [1, 3]}),
    (BOXES_VIEWPORT, {"grid_size": 20, "solution_length": [5, 5], "num_distractors": [5, 5], "max_steps": 400}),
    (BOXES, {"grid_size": 5, "solution_length": [1, 1], "num_distractors": [0, 0]}),
    (BOXES_VIEWPORT, {"num_distractors": [0, 0], "max_steps": 30}),
]


def assert_same(played: dict[str, Any], recorded: Trajectory) -> None:
    assert played["observations"].dtype == recorded.observations.dtype
    np.testing.assert_array_equal(played["observations"], recorded.observations)
    assert played["results"] == recorded.results
    python = {name: values[0].tolist() for name, values in recorded.state.items()}
    if "ghosts" in python:
        alive = slice(python.pop("num_ghosts"))
        python |= {name: python[name][alive] for name in ("ghosts", "ghost_headings")}
    if "board" in python:
        board = recorded.state["board"][0]
        python |= {"side": len(board), "board": board.ravel().tolist()}
    python["phase"] = {(True, False): "playing", (True, True): "over"}[python.pop("started"), python.pop("needs_reset")]
    python["stream"] = [str(word) for word in python["stream"]]
    assert {
        re.sub("[A-Z]", lambda m: "_" + m[0].lower(), name): value for name, value in played["state"].items()
    } == python


def named(case: tuple[str, dict[str, Any]]) -> str:
    env_id, options = case
    return "-".join([env_id.split("/")[1], *[f"{name}={value}" for name, value in options.items()]])


@pytest.mark.parametrize("policy", [pacman, at_random(5)], ids=["greedy", "random"])
@pytest.mark.parametrize("case", PACMAN_CASES, ids=named)
def test_minipacman_is_the_same_game(case: tuple[str, dict[str, Any]], policy: Policy) -> None:
    env_id, options = case
    recorded = record(env_id, options, policy, 2500, SEEDS)
    assert any(result["terminated"] or result["truncated"] for result in recorded.results)
    if policy is pacman and options.get("level", 1) < 10:  # the levels far up are survived for a few steps only
        assert recorded.highest_level > options.get("level", 1)
        paid = TASKS[options.get("task", "regular")]
        rewards = {
            round(result["reward"] - paid.step - food, 3) for result in recorded.results for food in (0, paid.food)
        }
        assert {paid.pill, paid.ghost, paid.death} <= rewards
    assert_same(play(env_id, options, recorded.commands), recorded)


@pytest.mark.parametrize("policy", [opener, at_random(4)], ids=["greedy", "random"])
@pytest.mark.parametrize("case", BOXES_CASES, ids=named)
def test_boxworld_is_the_same_game(case: tuple[str, dict[str, Any]], policy: Policy) -> None:
    env_id, options = case
    recorded = record(env_id, options, policy, 2500, SEEDS)
    if policy is opener:
        wrong = {-1.0} if options.get("num_distractors") != [0, 0] else set()
        assert {10.0, 1.0, 0.0} | wrong == {result["reward"] for result in recorded.results}
    else:
        assert any(result["truncated"] for result in recorded.results)
    assert_same(play(env_id, options, recorded.commands), recorded)


def test_boxworld_draws_levels_anew_as_often() -> None:
    options = {"solution_length": [9, 9], "num_distractors": [4, 4], "max_steps": 2}  # most layouts fail
    recorded = record(BOXES, options, at_random(4), 2000, SEEDS)
    assert_same(play(BOXES, options, recorded.commands), recorded)


@pytest.mark.parametrize("options", [{}, {"num_symbols": 2, "length": 3}, {"num_symbols": 64, "length": 1000}])
def test_repeat_first_is_the_same_game(options: dict[str, Any]) -> None:
    recorded = record(REPEAT, options, at_random(options.get("num_symbols", 4)), 3000, SEEDS)
    assert len({result["reward"] for result in recorded.results}) == 2
    assert_same(play(REPEAT, options, recorded.commands), recorded)


@pytest.mark.parametrize(
    ("env_id", "options", "policy"),
    [
        (PACMAN, {"task": "hunt", "max_steps": 200}, pacman),
        (VIEWPORT, {"task": "rush"}, pacman),
        (BOXES, {}, opener),
        (BOXES_VIEWPORT, {"max_steps": 30}, opener),
        (REPEAT, {}, at_random(4)),
    ],
)
def test_copies_and_snapshots_go_on_identically(env_id: str, options: dict[str, Any], policy: Policy) -> None:
    recorded = record(env_id, options, policy, 1000, SEEDS)
    commands: list[tuple[str, Any]] = []
    for number, command in enumerate(recorded.commands):  # episodes' ends and beginnings are among the places
        commands += [command] + [[("clone", None)], [("restore", None)], [], [], []][number % 5]
    assert_same(play(env_id, options, commands), recorded)


def test_one_can_look_back_and_go_on_from_there() -> None:
    found = evaluate(
        """
        const { makeGame } = await import(games + "index.js");
        const game = makeGame("rmc/MiniPacmanViewport-v0", { level: 3 });
        game.reset(5);
        const saved = [game.save()];
        const then = [];
        for (let step = 0; step < 30 && game.state.phase === "playing"; step++) {
          then.push(game.step(step % 5));
          saved.push(game.save());
        }
        const shuffled = [...then.keys()].map((step) => (step * 7) % then.length);
        const again = shuffled.map((step) => { game.load(saved[step]); return game.step(step % 5); });
        output = { then: shuffled.map((step) => then[step]), again };
        """
    )
    assert len(found["then"]) > 10
    assert found["again"] == found["then"]


def test_games_are_described_as_in_python() -> None:
    ids = evaluate('({ gameIds: output } = await import(games + "index.js")); output = output()')
    assert sorted(ids) == sorted(rmc_envs.ENVIRONMENTS)
    cases: list[tuple[str, dict[str, Any]]] = [(env_id, {}) for env_id in ids]
    for env_id, options in [*cases, (PACMAN, {"observation": "planes"}), (BOXES, {"grid_size": 20})]:
        env: Any = gymnasium.make(env_id, **options).unwrapped
        played = play(f"rmc_envs:{env_id}", options, [("reset", 0)])
        assert tuple(played["actionNames"]) == env.action_names
        assert tuple(played["observationShape"]) == env.observation_space.shape
        assert played["observationType"] == env.observation_space.dtype.name


def test_options_have_the_defaults_of_python() -> None:
    found = evaluate(
        """
        const classes = { ...await import(games + "boxworld.js"), ...await import(games + "minipacman.js"),
                          ...await import(games + "repeat_first.js") };
        output = Object.fromEntries(Object.entries(classes).map(([name, kind]) => [name, kind.defaults]));
        """
    )
    assert found == {
        name.split(":")[1]: {
            option: list(value) if isinstance(value, tuple) else value for option, value in options.items()
        }
        for name, options in ((name, option_defaults(env_id)) for env_id, name in rmc_envs.ENVIRONMENTS.items())
    }


def test_keys_mean_what_the_actions_are_called() -> None:
    played = play(VIEWPORT, {}, [("reset", 0)])
    names = played["actionNames"]
    arrows = {"ArrowUp": "up", "ArrowDown": "down", "ArrowLeft": "left", "ArrowRight": "right"}
    meant = {"w": "up", "s": "down", "a": "left", "d": "right"} | arrows
    assert {key: names[action] for key, action in played["keys"].items()} == meant | {"Enter": "stay"}
    assert names[played["restAction"]] == "stay"
    assert play(BOXES, {}, [("reset", 0)])["restAction"] is None
    played = play(REPEAT, {"num_symbols": 64}, [("reset", 0)])
    assert [played["keys"][digit] for digit in "0123456789"] == list(range(10))
    assert not {*"ghnp"} & {*played["keys"]}
    assert max(played["keys"].values()) < 64


def test_constants_are_those_of_python() -> None:
    found = evaluate(
        """
        const { PICTURE } = await import(games + "minipacman_maze.js");
        const { TASKS } = await import(games + "minipacman_rules.js");
        const { COLOURS, AGENT_COLOUR } = await import(games + "boxworld_rules.js");
        const { NIGHT, DULL, PALE, YELLOW, CYAN } = await import(games + "drawing.js");
        output = { PICTURE, TASKS, COLOURS: [...COLOURS, AGENT_COLOUR], palette: { NIGHT, DULL, PALE, YELLOW, CYAN } };
        """
    )
    assert found["PICTURE"] == PICTURE
    assert found["COLOURS"] == COLOURS.tolist()
    assert {name: tuple(bytes.fromhex(value[1:])) for name, value in found["palette"].items()} == {
        name: getattr(pixels, name) for name in found["palette"]
    }
    assert found["TASKS"].keys() == TASKS.keys()
    for name, task in TASKS.items():
        ways = ("food", "pills", "ghosts")
        (cleared_by,) = [way for way in ways if getattr(task, f"cleared_by_{way}")]
        paid = {event: getattr(task, event) for event in ("step", "food", "pill", "ghost", "death")}
        time_limit = None if task.time_limit == NO_TIME_LIMIT else task.time_limit
        assert found["TASKS"][name] == paid | {"clearedBy": cleared_by, "timeLimit": time_limit}


OPTIONS: list[tuple[str, str, Any]] = [
    *[(PACMAN, "task", task) for task in (*TASKS, "Regular", "", None, 1)],
    *[(PACMAN, "max_steps", count) for count in (1, 0, -1, 2**31 - 1, 2**31, 1.5, "10", True, None)],
    *[(PACMAN, "time_limit", count) for count in (None, 1, 0, 2.5, False)],
    *[(PACMAN, "level", level) for level in (1, 1000, 1001, 0, None)],
    *[(PACMAN, "fast_pacman", flag) for flag in (True, False, 1, 0, "yes", None)],
    *[(PACMAN, "observation", kind) for kind in ("rgb", "planes", "grey")],
    (PACMAN, "outside", "wall"),
    *[(VIEWPORT, "outside", colour) for colour in ("wall", "empty", "grass")],
    *[(BOXES, "grid_size", size) for size in (5, 12, 20, 4, 65, "12")],
    *[
        (BOXES, "solution_length", span)
        for span in ([1, 1], [3, 9], [10, 10], [1, 11], [1, 21], [0, 2], [3, 2], [1], 3, "12")
    ],
    *[(BOXES, "num_distractors", span) for span in ([0, 0], [10, 10], [0, 11], [-1, 2], [1.5, 2], [True, 2], None)],
    *[(BOXES, "num_backward_distractors", span) for span in ([0, 2], [2, 6], [2, 7])],
    *[(BOXES, "distractor_length", length) for length in (1, 2, 3, 0, [1, 2])],
    *[(REPEAT, "num_symbols", count) for count in (2, 64, 1, 65)],
    *[(REPEAT, "length", count) for count in (1, 0)],
    (REPEAT, "colour", "red"),
]


def test_options_are_refused_where_python_refuses_them() -> None:
    def refuses(env_id: str, options: dict[str, Any]) -> bool:
        try:
            gymnasium.make(env_id, **options)
        except (TypeError, ValueError):
            return True
        return False

    refused = [refuses(env_id, {name: value}) for env_id, name, value in OPTIONS]
    assert 40 < sum(refused) < len(OPTIONS) - 25
    requests = [[env_id, {name: value}] for env_id, name, value in OPTIONS]
    messages = evaluate(
        f"""
        const {{ makeGame }} = await import(games + "index.js");
        output = {json.dumps(requests)}.map(([id, options]) => {{
          try {{ makeGame(id, options); return null; }} catch (error) {{ return error.message; }}
        }});
        """
    )
    for (env_id, name, value), of_python, message in zip(OPTIONS, refused, messages, strict=True):
        assert (message is not None) == of_python, (env_id, name, value, message)
        assert message is None or name in message


def test_levels_that_hardly_fit_are_refused_alike() -> None:
    """Room enough by the count, but found by no random layout."""
    spans: list[dict[str, Any]]
    spans = [{"solution_length": [most, most], "num_distractors": [4, 4], "grid_size": 12} for most in range(6, 11)]
    spans += [{"solution_length": [1, most], "num_distractors": [0, 0], "grid_size": 20} for most in (17, 20)]
    spans += [
        {"solution_length": [17, 17], "num_distractors": [most, most], "grid_size": 20} for most in range(15, 30, 2)
    ]
    told: list[str | None] = []
    for options in spans:
        try:
            gymnasium.make(BOXES, **options)
            told.append(None)
        except ValueError as error:
            told.append(str(error))
    assert None in told
    assert any(words and "packed closely" in words for words in told)
    assert told == evaluate(
        f"""
        const {{ makeGame }} = await import(games + "index.js");
        output = {json.dumps(spans)}.map((options) => {{
          try {{ makeGame("rmc/BoxWorld-v0", options); return null; }} catch (error) {{ return error.message; }}
        }});
        """
    )


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        ('makeGame("rmc/Chess-v0")', "id must be one of rmc/BoxWorld-v0, .*, got rmc/Chess-v0"),
        ('makeGame("toString")', "id must be one of"),
        ('makeGame("rmc/RepeatFirst-v0", 4)', "the options of rmc/RepeatFirst-v0 must be an object .*, got 4"),
        ('makeGame("rmc/RepeatFirst-v0", { size: 4 })', "no option size; its options are num_symbols, length"),
        ("game.step(0)", r"call reset\(\) first"),
        ("game.draw(null, 1, 1)", r"call reset\(\) first"),
        ("game.reset(-1)", r"seed must be in 0 \.\. 18446744073709551615, got -1"),
        ("game.reset(2n ** 64n)", "seed must be in 0 .*, got 18446744073709551616"),
        ("game.reset(2 ** 53)", "seed must be a BigInt where it is above"),
        ("game.reset(0.5)", r"seed must be an integer, got 0\.5"),
        ('game.reset("7")', 'seed must be an integer, got "7"'),
        ("game.reset(0), game.step(4)", r"action must be in 0 \.\. 3, got 4"),
        ("game.reset(0), game.step(-1)", r"action must be in 0 \.\. 3, got -1"),
        ("game.reset(0), game.step(1.5)", r"action must be an integer, got 1\.5"),
        ("game.reset(0), game.step()", "action must be an integer, got undefined"),
        ("game.reset(0), game.step(0), game.step(0), game.step(0)", r"has ended: call reset\(\) before"),
        ("game.load({})", "saved must come from"),
        ("game.load()", "saved must come from"),
        ('game.load(makeGame("rmc/RepeatFirst-v0", { num_symbols: 64 }).save())', r"num_symbols.*4.*got.*64"),
    ],
)
def test_misuse_is_told(misuse: str, message: str) -> None:
    found = evaluate(
        f"""
        const {{ makeGame }} = await import(games + "index.js");
        const game = makeGame("rmc/RepeatFirst-v0", {{ length: 2 }});
        try {{ {misuse}; output = "nothing was wrong"; }} catch (error) {{ output = error.message; }}
        """
    )
    assert re.search(message, found), found


def test_without_a_seed_the_first_episode_is_a_random_one() -> None:
    script = """
        const { makeGame } = await import(games + "index.js");
        output = Array.from({ length: 8 }, () => Array.from(makeGame("rmc/MiniPacman-v0").reset()));
    """
    assert len({tuple(observation) for observation in evaluate(script)}) == 8


def test_the_game_in_the_introduction_can_be_added(tmp_path: Path) -> None:
    shutil.copytree(GAMES, tmp_path, dirs_exist_ok=True)
    index = (tmp_path / "index.js").read_text()
    example = re.search(r"\* ```js\n(.*?)\n \* ```", index, re.DOTALL)
    assert example is not None
    (tmp_path / "coin.js").write_text(re.sub(r"^ \* ?", "", example[1], flags=re.MULTILINE))
    added = index.replace(
        "const KINDS = new Map([", 'import { Coin } from "./coin.js";\nconst KINDS = new Map([["Coin", Coin],'
    )
    (tmp_path / "index.js").write_text(added)
    script = """
        const { makeGame } = await import(games + "index.js");
        const game = makeGame("Coin", { length: 50 });
        output = [{ observation: Array.from(game.reset(1)), reward: null }];
        for (let ended = false; !ended;) {
          const { observation, reward, terminated } = game.step(game.keys["0"]);
          output.push({ observation: Array.from(observation), reward });
          ended = terminated;
        }
    """
    moments = evaluate(script, tmp_path)
    assert len(moments) == 51
    assert {tuple(moment["observation"]) for moment in moments} == {(1, 0), (0, 1)}
    assert [moment["reward"] for moment in moments[1:]] == [moment["observation"][0] for moment in moments[:-1]]
