from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from rmc_rl.config import TRAIN, Config, make_config, read_config
from rmc_rl.errors import UserError
from rmc_rl.overrides import groups
from rmc_rl.paths import config_dir
from rmc_rl.schema import REQUIRED, changes, known_keys, to_yaml
from rmc_rl.supervised.config import SUPERVISED

SCHEMA = dict(TRAIN.describe())
FLOATS = [key for key, item in SCHEMA.items() if str(item.type).startswith("float")]
# Not every environment's file need say the first two; runs that were made before there were the others do not.
MAY_BE_ABSENT = (
    *("env.wrappers", "env.vectorization"),
    *("group", "log.wandb_checkpoints", "log.video_every_steps", "log.video_steps"),
)
LIMITED = [
    (key, name, limit)
    for key, item in SCHEMA.items()
    for name in ("minimum", "maximum", "above")
    if (limit := item.metadata[name]) is not None
]


@pytest.fixture(scope="module")
def shipped() -> Config:
    return make_config()


@pytest.fixture(scope="module")
def text(shipped: Config) -> str:
    return to_yaml(shipped)


def _write(folder: Path, content: str | bytes) -> Path:
    path = folder / "config.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _set(config: Config, key: str, value: object) -> Config:
    node = OmegaConf.structured(config)
    OmegaConf.set_struct(node, False)
    OmegaConf.update(node, key, value)
    return TRAIN.to_config(node)


# What is shipped


@pytest.mark.parametrize("option", [f"{group}={name}" for group, names in groups(TRAIN).items() for name in names])
def test_every_shipped_option_composes_and_is_valid(option: str) -> None:
    group, _, name = option.partition("=")
    config = make_config(option)
    if group in ("core", "engine", "env"):
        assert OmegaConf.structured(config)[group]["name"] == ("CartPole-v1" if name == "gym" else name)


def test_every_yaml_file_is_reached_by_a_group_or_is_the_start() -> None:
    files = {path.relative_to(config_dir()).as_posix() for path in config_dir().rglob("*.yaml")}
    reached = {
        (schema.folder(group) / f"{name}.yaml").relative_to(config_dir()).as_posix()
        for schema in (TRAIN, SUPERVISED)
        for group, names in groups(schema).items()
        for name in names
    }
    assert files == {"train.yaml", "supervised/supervised.yaml"} | reached


def test_every_key_has_a_value_in_yaml_and_a_meaning(shipped: Config) -> None:
    composed = TRAIN.compose([])
    for key, item in SCHEMA.items():
        assert item.default == REQUIRED or key in MAY_BE_ABSENT, f"{key} has its value in code"
        assert not OmegaConf.is_missing(
            OmegaConf.select(composed, key.rpartition(".")[0]) or composed, key.split(".")[-1]
        )
        assert len(item.metadata["meaning"]) > 5, key
    assert set(SCHEMA) <= set(known_keys(composed))


def test_every_key_can_be_overridden(shipped: Config) -> None:
    """With the value it has: which proves the key's name and that the shipped value is typed right."""
    words = []
    for key, item in SCHEMA.items():
        value = OmegaConf.select(OmegaConf.structured(shipped), key)
        if "dict" not in str(item.type):
            words.append(f"{key}={'null' if value is None else value}")
    assert make_config(*words) == shipped


@pytest.mark.parametrize(("env", "core"), list(product(groups(TRAIN)["env"], groups(TRAIN)["core"])))
def test_a_configuration_survives_being_written_and_read(env: str, core: str, tmp_path: Path) -> None:
    words = [f"env={env}", f"core={core}", "learner.rho_bar=inf", "learner.epsilon=1e-7", "+env.kwargs.note='a: #b \"'"]
    config = make_config(*words, "resume=null", "checkpoint.keep_every_steps=1e5", "runs_dir='é 北'")
    written = to_yaml(config)
    assert read_config(_write(tmp_path, written)) == config
    assert to_yaml(read_config(tmp_path / "config.yaml")) == written
    assert math.isinf(config.learner.rho_bar)


# Limits


@pytest.mark.parametrize(("key", "limit", "value"), LIMITED, ids=[f"{key}-{limit}" for key, limit, _ in LIMITED])
def test_every_limit_is_kept_and_names_its_key(key: str, limit: str, value: float, shipped: Config) -> None:
    whole = str(SCHEMA[key].type).startswith("int")
    step = 1 if whole else 1e-6
    outside = {"minimum": value - step, "maximum": value + step, "above": value}[limit]
    inside = {"minimum": value, "maximum": value, "above": value + step}[limit]
    with pytest.raises(UserError, match=rf"^{key}=.* is too (small|large): (at least|at most|above) "):
        _set(shipped, key, outside)
    assert OmegaConf.select(OmegaConf.structured(_set(shipped, key, inside)), key) == inside


@pytest.mark.parametrize("key", [key for key, item in SCHEMA.items() if item.metadata["choices"]])
def test_every_choice_is_taken_and_nothing_else(key: str, shipped: Config) -> None:
    for choice in SCHEMA[key].metadata["choices"]:
        assert OmegaConf.select(OmegaConf.structured(_set(shipped, key, choice)), key) == choice
        with pytest.raises(UserError, match=rf"^{key}={choice.upper()} is not known: .*{choice}"):
            _set(shipped, key, choice.upper())


@pytest.mark.parametrize("key", FLOATS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_refused(key: str, value: float, shipped: Config) -> None:
    """Only V-trace's clips may be infinite: no clipping."""
    if value == math.inf and key in ("learner.rho_bar", "learner.c_bar"):
        assert OmegaConf.select(OmegaConf.structured(_set(shipped, key, value)), key) == math.inf
        return
    with pytest.raises(UserError, match=rf"^{key}=.*is not a finite number"):
        _set(shipped, key, value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("total_steps=true", "total_steps: .*Integer"),
        ("total_steps=1.5", "total_steps: .*Integer"),
        ("total_steps=many", "total_steps: .*Integer"),
        ("seed=null", "'seed' is not Optional"),
        ("seed=2147483648", "seed=2147483648 is too large"),
        ("actor.groups=65", "actor.groups=65 is too large: at most actor.num_envs=64"),
        ("seed=-1", "seed=-1 is too small"),
        ("learner.learning_rate=abc", "learner.learning_rate: .*Float"),
        ("learner.learning_rate=null", "'learner.learning_rate' is not Optional"),
        ("trust=maybe", "trust: .*bool"),
        ("env.id=null", "'env.id' is not Optional"),
        ("env.kwargs=5", "env.kwargs"),
        ("env.kwargs=null", "'env.kwargs' is not Optional"),
        ("learner=5", "learner: "),
        ("core.name=null", "core.name=None is not a name"),
        ("core.name=[rmc]", "core.name=.*rmc.* is not a name"),
        ("~core.name", "core.name is missing"),
        ("~seed", "lacks a value for seed"),
        ("seed=???", "lacks a value for seed"),
        ("~learner", "lacks a value for learner.adam_beta1"),
        ("seed=${oc.env:NO_SUCH_VARIABLE_AT_ALL}", "NO_SUCH_VARIABLE_AT_ALL"),
        ("seed=${seed}", "Recursive interpolation"),
        ("seed=${no.such.key}", "no.such.key"),
        ("wandb=false", "wandb=False is not known: known are: disabled, offline, online"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(word: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        make_config(word)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["''", "latest", "a/b", "..", "'a\\\\b'"])
def test_a_group_is_a_name_that_can_be_asked_for(name: str) -> None:
    with pytest.raises(UserError, match=r"^group=.* cannot be a group's name"):
        make_config(f"group={name}")
    assert make_config("group=2026").group == "2026"
    assert make_config().group is None


def test_an_interpolation_typed_by_the_user_is_resolved() -> None:
    assert make_config("total_steps=500", "seed=${total_steps}").seed == 500


# The folder of the user's own files


@pytest.mark.parametrize(
    "name",
    ["plain", "two words", "a=b", "a,b", "a[b]", "it's", 'say"x', "ünï", "a{b}", "$x", "#h", "(x)", "a:b", "back\\'s"],
)
def test_a_config_folder_may_have_any_name(name: str, tmp_path: Path) -> None:
    file = tmp_path / name / "core" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("name: rmc\nmem_slots: 2\n")
    assert make_config("core=mine", extra_dir=str(tmp_path / name)).core == {"name": "rmc", "mem_slots": 2}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [", "core/mine.yaml"),
        (b"name: a\nname: b", "duplicate key name"),
        (b"name: \xe9", "utf-8"),
        (b"5", "cannot be read"),
        (b"- 1", "list is not a subclass"),
        (b"", "core.name is missing"),
        (b"name: !!python/object/apply:os.system ['exit 1']", "os.system"),
        (b"defaults:\n  - nope\nname: x", "core/nope"),
        (b"# @package _global_\nfoo: 1\n", "'foo'"),
    ],
)
def test_a_broken_file_in_the_users_folder_is_reported(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "mine.yaml").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        make_config("core=mine", extra_dir=str(tmp_path))
    assert "\n" not in str(caught.value)


def test_composing_leaves_a_surrounding_hydra_application_alone(tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text("answer: 42\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        make_config()
        with pytest.raises(UserError):
            make_config("seed=-1")
        with pytest.raises(UserError):
            TRAIN.compose(["core=nope"])
        assert compose("theirs").answer == 42


# A stored configuration, perhaps a stranger's


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.config\.yaml is missing: .*nowhere is not a run folder"):
        read_config(tmp_path / "nowhere" / "config.yaml")


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read as YAML: .*directory"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "lacks a value for actor.groups"),
        ("- 1\n- 2", "does not hold a configuration"),
        ("5", "cannot be read as YAML"),
        ("a: [", "cannot be read as YAML"),
        ("\tx: 1", "cannot be read as YAML"),
        (bytes(range(256)), "cannot be read as YAML"),
        ("seed: 1".encode("utf-16"), "cannot be read as YAML"),
        ("a: " + "[" * 20000, "holds more than 50 levels"),
        ("a: " + "{b: " * 3000 + "1" + "}" * 3000, "holds more than 50 levels"),
        ("seed: 1\n---\nseed: 2\n", "cannot be read as YAML"),
        ("seed: 1\nseed: 2\n", "cannot be read as YAML"),
        ("? [a]\n: 1\n", "cannot be read as YAML"),
        ("seed: " + "9" * 5000, "cannot be read as YAML"),
        ("version: 3\nservices:\n  web:\n    image: nginx\n", "unknown key 'version'"),
        ("env: 5\n", "int is not a subclass of EnvConfig"),
        ("env: null\n", "'env' is not Optional"),
        ("env: [1]\n", "list is not a subclass of EnvConfig"),
        ("'': 1\n", "unknown key ''"),
        ("1: 2\n", "unknown key '1'"),
    ],
)
def test_what_is_not_a_configuration_is_refused(content: str | bytes, message: str, tmp_path: Path) -> None:
    path = _write(tmp_path, content)
    with pytest.raises(UserError, match=message) as caught:
        read_config(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_an_unknown_key_is_named_with_its_neighbours(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown key 'learner\.learningrate': did you mean 'learner\.learning_rate'"):
        read_config(_write(tmp_path, text.replace("learning_rate:", "learningrate:")))
    with pytest.raises(UserError, match=r"unknown key 'env\.kwargs\.size'"):
        read_config(_write(tmp_path, text + "env.kwargs.size: 1\n"))


def test_limits_hold_for_a_stored_configuration_too(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.yaml: learner\.discount=1\.5 is too large: at most 1"):
        read_config(_write(tmp_path, text.replace("discount: 0.99", "discount: 1.5")))


@pytest.mark.parametrize("reference", ["${oc.env:HOME}", "${total_steps}", "${"])
def test_interpolations_are_refused(reference: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="interpolation"):
        read_config(_write(tmp_path, text.replace("runs_dir: runs", f"runs_dir: '{reference}'")))


def test_python_objects_are_not_made(text: str, tmp_path: Path) -> None:
    mark = tmp_path / "was-run"
    for tag in (
        f"!!python/object/apply:os.system ['touch {mark}']",
        f"!!python/object/apply:pathlib.Path ['{mark}']",
        f"!!python/object/new:pathlib.PosixPath ['{mark}']",
        "!!python/name:os.system",
        "!!python/module:os",
        "!!binary aGVsbG8=",
        "!!set {a, b}",
        "!mine x",
    ):
        with pytest.raises(UserError, match="holds a tag"):
            read_config(_write(tmp_path, text.replace("time_limit: null", f"time_limit: {tag}")))
    assert not mark.exists()


def test_a_target_in_the_core_section_is_only_data(text: str, tmp_path: Path) -> None:
    config = read_config(_write(tmp_path, text.replace("core:\n", "core:\n  _target_: os.system\n")))
    assert config.core["_target_"] == "os.system"


def test_aliases_are_refused_before_they_unfold(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 12)]
    with pytest.raises(UserError, match="holds an alias"):
        read_config(_write(tmp_path, "\n".join(lines)))
    with pytest.raises(UserError, match="holds an alias"):
        read_config(_write(tmp_path, "env: &e\n  kwargs: *e\n"))


# What differs


def test_changes_name_each_key_that_differs() -> None:
    old = make_config("core=rmc", "core.mem_slots=4", "env.kwargs.max_steps=5", "learner.max_grad_norm=40")
    new = make_config("core=lstm", "core.hidden_size=256", "env.kwargs.max_steps=6", "learner.max_grad_norm=null")
    new.env.kwargs["size"] = 7
    lines = changes(old, new)
    assert "core.name: rmc -> lstm" in lines
    assert "core.mem_slots: 4 -> absent" in lines
    assert "core.hidden_size: absent -> 256" in lines
    assert "env.kwargs.max_steps: 5 -> 6" in lines
    assert "env.kwargs.size: absent -> 7" in lines
    assert "learner.max_grad_norm: 40.0 -> None" in lines
    assert not any(line.startswith(("seed", "env.name", "core.forget_bias")) for line in lines)


def test_the_same_configuration_has_no_changes(shipped: Config) -> None:
    assert changes(shipped, make_config()) == []
