from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest

from rmc_rl.config import TRAIN, make_config
from rmc_rl.errors import UserError
from rmc_rl.overrides import check_overrides, groups, overridden, parse_overrides, whole_numbers
from rmc_rl.schema import changes


@pytest.fixture
def own(tmp_path: Path) -> str:
    """A config folder of the user's own."""
    for name, content in {
        "core/mine.yaml": "name: rmc\nmem_slots: 2\n",
        "env/my-game.yaml": "name: my-game\nid: my_games:Game-v0\nkwargs: {size: 3}\n",
        "experiment/quick.yaml": "# @package _global_\ndefaults: [override /core: lstm]\nseed: 7\ntotal_steps: 100\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    return str(tmp_path)


# Groups


def test_the_users_folder_adds_options_to_the_groups(own: str) -> None:
    assert groups(TRAIN, own)["core"] == sorted([*groups(TRAIN)["core"], "mine"])
    assert "quick" in groups(TRAIN, own)["experiment"]
    assert "mine" not in groups(TRAIN)["core"]


def test_the_users_options_compose(own: str) -> None:
    config = make_config("core=mine", "env=my-game", "env.kwargs.size=4", extra_dir=own)
    assert config.core == {"name": "rmc", "mem_slots": 2}
    assert config.env.kwargs == {"size": 4}
    experiment = make_config("experiment=quick", "total_steps=200", "core.hidden_size=8", extra_dir=own)
    assert (experiment.core["name"], experiment.seed, experiment.total_steps) == ("lstm", 7, 200)
    assert experiment.core["hidden_size"] == 8


def test_a_missing_config_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "nope", tmp_path / "file"):
        with pytest.raises(UserError, match=f"the config folder {path} does not exist"):
            make_config(extra_dir=str(path))


# Misspelt words


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("core=lstn", "core=lstn is not known: did you mean 'lstm'"),
        ("env=minipacmann", "env=minipacmann is not known: did you mean 'minipacman'"),
        ("engine=RAY", "engine=RAY is not known: known are: inline, ray"),
        ("core=choice(rmc,lstn)", "core=lstn is not known"),
        ("core=rmc,lstn", "core=lstn is not known"),
        ("core=[rmc,lstm]", "core=.* is not known"),
        ("core={name:lstm}", "core=.* is not known"),
        ("core=null", "core=None is not known"),
        ("~core", "core=None is not known"),
        ("totalsteps=5", "unknown key 'totalsteps': did you mean 'total_steps'"),
        ("learning_rate=1", "unknown key 'learning_rate': did you mean 'learner.learning_rate'"),
        ("learner.num_envs=1", "unknown key 'learner.num_envs': did you mean 'actor.num_envs'"),
        ("environment=minipacman", "unknown key 'environment'"),
        ("core.mem_slot=3", "unknown key 'core.mem_slot': did you mean 'core.mem_slots'"),
        ("~core.mem_slot", "unknown key 'core.mem_slot'"),
        ("+core.mem_slot=3", "unknown key 'core.mem_slot'"),
        ("+new.section=3", "unknown key 'new.section'"),
        ("schema=x", "unknown key 'schema'"),
        ("env.kwargs.size=7", r"unknown key 'env.kwargs.size': .*\(a new one is added with \+env.kwargs.size=…\)"),
        ("=5", "unknown key ''"),
    ],
)
def test_a_misspelt_word_is_named_with_its_neighbours(word: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_overrides([word], TRAIN)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("", "'' is not of the form key=value"),
        ("seed", "'seed' is not of the form key=value"),
        ("seed 1", "'seed 1' is not of the form key=value"),
        ("==", "cannot be read as key=value"),
        ("seed=1=2", "cannot be read as key=value"),
        ("seed='", "cannot be read as key=value"),
        ("seed=[1", "cannot be read as key=value"),
        ("seed=\N{FULLWIDTH DIGIT ONE}", "cannot be read as key=value"),
        ("seed=1\0", "cannot be read as key=value"),
        ("seed=" + "9" * 5000, "cannot be read as key=value"),
    ],
)
def test_what_is_not_key_equals_value_is_refused(word: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        parse_overrides(["seed=1", word])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("word", ["core@agent=lstm", "core@nowhere=lstm", "+core=lstm", "+env@x=minipacman", "hydra=x"])
def test_what_hydra_refuses_is_a_user_error_too(word: str) -> None:
    with pytest.raises(UserError):
        make_config(word)


@pytest.mark.parametrize(
    "word", ["seed=1,2", "core=rmc,lstm", "seed=range(1,5)", "core=choice(rmc,lstm)", "core=glob(*)"]
)
def test_a_sweep_passes_the_check_and_is_no_single_configuration(word: str) -> None:
    check_overrides([word], TRAIN)
    with pytest.raises(UserError):
        make_config(word)


def test_a_key_of_the_chosen_group_is_known_and_of_another_is_not() -> None:
    assert make_config("core=lstm", "core.hidden_size=8").core["hidden_size"] == 8
    with pytest.raises(UserError, match=r"unknown key 'core\.mem_slots'"):
        make_config("core=lstm", "core.mem_slots=8")


def test_free_sections_take_new_keys_with_a_plus() -> None:
    config = make_config("+env.kwargs.size=7", "+agent.torso_options.layers=[1,2]", "~env.kwargs.task")
    assert config.env.kwargs["size"] == 7
    assert "task" not in config.env.kwargs
    assert list(config.agent.torso_options["layers"]) == [1, 2]


@pytest.mark.parametrize(
    ("word", "unknown", "hint"),
    [
        ("env.kwargs.size=7", "env.kwargs.size", r"\+env\.kwargs\.size=…"),
        ("env.kwargs={size: 7}", "env.kwargs.size", r"\+env\.kwargs=\{…\}"),
        ("agent.torso_options={hidden_size: 7}", "agent.torso_options.hidden_size", r"\+agent\.torso_options=\{…\}"),
        ("learner={rho_ba: 1}", "learner.rho_ba", "did you mean 'learner.rho_bar'"),
    ],
)
def test_a_new_key_is_named_with_what_adds_it(word: str, unknown: str, hint: str) -> None:
    with pytest.raises(UserError, match=f"unknown key '{re.escape(unknown)}'.*{hint}"):
        check_overrides([word], TRAIN)
    with pytest.raises(UserError, match=f"unknown key '{re.escape(unknown)}'.*{hint}"):
        overridden(make_config(), [word], TRAIN)


def test_a_section_may_be_written_as_one_value() -> None:
    words = ["learner={rho_bar: 2, c_bar: 3}", "env.kwargs={task: hunt}", "+agent.torso_options={hidden_size: 7}"]
    check_overrides([*words, "group={}"], TRAIN)  # whose type is looked at later
    config = make_config(*words)
    assert (config.learner.rho_bar, config.learner.c_bar) == (2, 3)
    assert config.env.kwargs["task"] == "hunt"
    assert config.agent.torso_options == {"hidden_size": 7}


# Whole numbers


@pytest.mark.parametrize(
    ("word", "plain"),
    [
        ("total_steps=2e6", "total_steps=2000000"),
        ("total_steps=1.5E3", "total_steps=1500"),
        ("total_steps=1e+3", "total_steps=1000"),
        ("++total_steps=2e6", "++total_steps=2000000"),
        ("actor.num_actors=1e1", "actor.num_actors=10"),  # an integer or null
        ("total_steps=1e3,2e3,5", "total_steps=1000,2000,5"),
        ("total_steps=1.55e1", "total_steps=1.55e1"),  # no whole number
        ("total_steps=1e-3", "total_steps=1e-3"),
        ("total_steps=-2e6", "total_steps=-2e6"),
        ("total_steps=1e999", "total_steps=1e999"),
        ("learner.learning_rate=1e3", "learner.learning_rate=1e3"),  # a float as it is
        ("env.name=1e3", "env.name=1e3"),
        ("env.kwargs.size=1e3", "env.kwargs.size=1e3"),
        ("total_steps", "total_steps"),
    ],
)
def test_whole_numbers(word: str, plain: str) -> None:
    assert whole_numbers([word], TRAIN) == [plain]
    assert whole_numbers([plain], TRAIN) == [plain]


def test_a_budget_in_scientific_notation_is_an_integer() -> None:
    config = make_config("total_steps=2e6", "checkpoint.keep_every_steps=1e5")
    assert (config.total_steps, config.checkpoint.keep_every_steps) == (2_000_000, 100_000)
    assert isinstance(config.total_steps, int)


# Laid over a saved configuration


SAVED = (
    *("env=repeat-first", "env.kwargs.length=5", "core=rmc", "core.mem_slots=2", "core.gate_style=unit"),
    *("learner.learning_rate=0.5", "learner.epsilon=0.125", "learner.max_grad_norm=40", "seed=9", "total_steps=1000"),
)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], []),
        (["total_steps=2e6"], ["total_steps: 1000 -> 2000000"]),
        (["learner.epsilon=0.25"], ["learner.epsilon: 0.125 -> 0.25"]),
        (["learner.max_grad_norm=null"], ["learner.max_grad_norm: 40.0 -> None"]),
        (["seed=9"], []),
        (["env.kwargs.length=6"], ["env.kwargs.length: 5 -> 6"]),  # which the shipped env does not have
        (["env.kwargs={length:6}"], ["env.kwargs.length: 5 -> 6"]),
        (["+env.kwargs.size=6"], ["env.kwargs.size: absent -> 6"]),
        (["~env.kwargs.length"], ["env.kwargs.length: 5 -> absent"]),
        (["~core.gate_style"], ["core.gate_style: unit -> absent"]),
        (["core.mem_slots=3", "core=rmc", "core.gate_style=unit"], ["core.mem_slots: 2 -> 3"]),
        (["total_steps='${seed}'"], ["total_steps: 1000 -> 9"]),
        (["hydra.run.dir=elsewhere"], []),
    ],
)
def test_only_what_was_typed_changes(words: list[str], expected: list[str]) -> None:
    saved = make_config(*SAVED)
    before = copy.deepcopy(saved)
    assert changes(saved, overridden(saved, words, TRAIN)) == expected
    assert saved == before


def test_a_typed_group_replaces_its_section_without_leftovers() -> None:
    saved = make_config(*SAVED)
    config = overridden(saved, ["core=lstm", "engine=inline", "env=minipacman", "engine.learner_threads=2"], TRAIN)
    assert config.core == make_config("core=lstm").core
    assert config.env == make_config("env=minipacman").env
    assert (config.engine.name, config.engine.learner_threads) == ("inline", 2)
    assert config.learner == saved.learner
    assert overridden(saved, ["core=rmc"], TRAIN).core == make_config("core=rmc").core


def test_a_group_from_the_users_folder(own: str) -> None:
    assert overridden(make_config(*SAVED), ["core=mine"], TRAIN, own).core == {"name": "rmc", "mem_slots": 2}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("seed=1,2", "'seed=1,2' is a sweep: resume goes on with one run"),
        ("core=rmc,lstm", "is a sweep"),
        ("experiment=quick", "experiment=… starts a run of its own"),
        ("experiment=null", "experiment=… starts a run of its own"),
        ("sead=1", "unknown key 'sead': did you mean 'seed'"),
        ("env.kwargs.task=x", "unknown key 'env.kwargs.task'"),
        ("core=lstn", "lstn"),
        ("learner.discount=2", "learner.discount=2.0 is too large"),
        ("~seed", "lacks a value for seed"),
        ("learner={wrong:1}", "unknown key 'learner.wrong'"),
        ("total_steps=abc", "total_steps"),
    ],
)
def test_what_cannot_be_laid_over_is_refused(word: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        overridden(make_config(*SAVED), [word], TRAIN)
