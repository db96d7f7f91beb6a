import re
from typing import Any

import gymnasium
import pytest

import rmc_envs
from rmc_envs.catalogue import (
    SHORT_NAMES,
    check_option_names,
    environment_class,
    find_game,
    option_defaults,
    parse_options,
)

IDS = list(rmc_envs.ENVIRONMENTS)


def test_every_game_has_a_short_name() -> None:
    assert SHORT_NAMES == {
        "boxworld": "rmc/BoxWorld-v0",
        "boxworld-viewport": "rmc/BoxWorldViewport-v0",
        "minipacman": "rmc/MiniPacman-v0",
        "minipacman-viewport": "rmc/MiniPacmanViewport-v0",
        "repeat-first": "rmc/RepeatFirst-v0",
    }


@pytest.mark.parametrize(
    "name", ["minipacman-viewport", "rmc/MiniPacmanViewport-v0", "rmc_envs:rmc/MiniPacmanViewport-v0"]
)
def test_games_are_found_by_name_and_id(name: str) -> None:
    assert find_game(name) == "rmc/MiniPacmanViewport-v0"


@pytest.mark.parametrize("name", ["", "boxword", "MiniPacman", "rmc/BoxWorld-v1", "CartPole-v1"])
def test_other_names_are_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match=f"^game must be one of {', '.join(SHORT_NAMES)} or an id, got '{name}'"):
        find_game(name)


def test_a_misspelt_name_gets_its_neighbour() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'boxworld'\?"):
        find_game("boxword")


@pytest.mark.parametrize("env_id", IDS)
def test_options_are_those_of_the_class_docstring(env_id: str) -> None:
    arguments = environment_class(env_id).__doc__.split("## Arguments")[1].split("## Version")[0]
    leads = [line.split(":")[0] for line in arguments.splitlines() if line.strip().startswith("- ")]
    documented = {name for lead in leads for name in re.findall(r"``(\w+)``", lead)}
    documented |= set(re.findall(r"``(\w+)``", arguments)) & set(option_defaults(env_id))  # a list over two lines
    assert set(option_defaults(env_id)) == documented - {"render_mode"}


@pytest.mark.parametrize("env_id", IDS)
def test_defaults_are_those_of_the_game(env_id: str) -> None:
    plain, given = gymnasium.make(env_id), gymnasium.make(env_id, **option_defaults(env_id))
    assert given.observation_space == plain.observation_space
    assert given.action_space == plain.action_space
    states = []
    for env in (plain, given):
        env.reset(seed=5)
        states.append({name: array.tolist() for name, array in env.unwrapped.get_state().items()})
    assert states[0] == states[1]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("grid_size=14", 14),
        ("solution_length=1,4", (1, 4)),
        ("solution_length=(2, 3)", (2, 3)),
        ("solution_length=[2, 3]", [2, 3]),
        ("max_steps=None", None),
        ("max_steps=1e3", 1000.0),
        ("max_steps=many", "many"),
        ("max_steps=", ""),
        ("max_steps=__import__('os')", "__import__('os')"),
    ],
)
def test_values_are_read_as_python_writes_them(word: str, value: Any) -> None:
    assert parse_options("rmc/BoxWorld-v0", [word]) == {word.partition("=")[0]: value}


def test_a_text_needs_no_quotes_and_a_truth_no_capital() -> None:
    words = ["task=hunt", "outside=1", "fast_pacman=true", "time_limit=none"]
    options = parse_options("rmc/MiniPacmanViewport-v0", words)
    assert options == {"task": "hunt", "outside": "1", "fast_pacman": True, "time_limit": None}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["length"], "options must be key=value, got 'length'"),
        (["lenght=3"], r"must be one of num_symbols, length, got 'lenght' \(did you mean 'length'\?\)"),
        (["render_mode=human"], "must be one of num_symbols, length, got 'render_mode'"),
        (["length=3", "length=4"], "length must be given once, got 3 and '4'"),
    ],
)
def test_other_words_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_options("rmc/RepeatFirst-v0", words)


def test_names_alone_can_be_checked() -> None:
    check_option_names("rmc/RepeatFirst-v0", ["length", "num_symbols"])
    with pytest.raises(
        ValueError, match="an option of rmc/RepeatFirst-v0 must be one of num_symbols, length, got 'copy'"
    ):
        check_option_names("rmc/RepeatFirst-v0", ["length", "copy"])
