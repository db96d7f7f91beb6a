from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rmc_rl.config import TRAIN, EnvConfig, make_config
from rmc_rl.environment import find_spec, make_single, make_vector
from rmc_rl.errors import UserError
from rmc_rl.overrides import groups

REPEAT_FIRST = "rmc_envs:rmc/RepeatFirst-v0"


def _env(id: str, **kwargs: Any) -> EnvConfig:
    return EnvConfig(name="test", id=id, kwargs=kwargs)


class Strange(gymnasium.Env[Any, Any]):
    """An environment of whatever spaces; counts how many are open."""

    opened = 0

    def __init__(self, observation: Any = None, action: Any = None, render_mode: str | None = None) -> None:
        if observation == "raise":
            raise RuntimeError("no display\nwas found")
        self.observation_space = observation or spaces.Box(0, 1, (3,))
        self.action_space = action or spaces.Discrete(2)
        Strange.opened += 1

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, False, {}

    def close(self) -> None:
        Strange.opened -= 1


gymnasium.register("test/Shaky-v0", entry_point=f"{__name__}:Shaky")  # here: processes of their own import this


@pytest.fixture
def _strange() -> Iterator[None]:
    gymnasium.register("test/Strange-v0", entry_point=f"{__name__}:Strange")
    Strange.opened = 0
    yield
    del gymnasium.registry["test/Strange-v0"]


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of the user's that registers an environment and leaves a mark when it is run."""
    name = f"own_games_{uuid.uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(
        "import gymnasium\n"
        "from pathlib import Path\n"
        "Path(__file__).with_name('was-run').touch()\n"
        "from gymnasium.envs.classic_control import CartPoleEnv\n"
        "gymnasium.register('own/Pole-v0', entry_point=CartPoleEnv)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)
    gymnasium.registry.pop("own/Pole-v0", None)


# Finding


@pytest.mark.parametrize(
    ("id", "nearest"),
    [
        ("rmc_envs:rmc/MiniPackman-v0", "rmc/MiniPacman-v0"),
        ("rmc_envs:rmc/RepeatFirst-v9", "rmc/RepeatFirst-v0"),
        ("rmc_envs:RepeatFirst-v0", "rmc/RepeatFirst-v0"),
        ("CartPole", "CartPole-v1"),
        ("CartPole-v99", "CartPole-v1"),
        ("cartpole-v1", "CartPole-v1"),
    ],
)
def test_an_unknown_environment_is_named_with_its_neighbours(id: str, nearest: str) -> None:
    with pytest.raises(UserError, match=f"unknown environment '{id}': did you mean .*'{nearest}'"):
        find_spec(_env(id))


@pytest.mark.parametrize(
    "id", ["", ":", "rmc_envs:", "two words", "rmc/", "a/b/c-v0", "\0", "x" * 1000, "CartPole-v1 "]
)
def test_an_id_of_no_form_is_a_user_error(id: str) -> None:
    with pytest.raises(UserError, match="unknown environment"):
        find_spec(_env(id))


def test_an_id_without_a_module_needs_no_trust() -> None:
    assert find_spec(_env("CartPole-v1")).id == "CartPole-v1"
    assert find_spec(_env("rmc_envs:rmc/RepeatFirst-v0")).id == "rmc/RepeatFirst-v0"


def test_an_untrusted_module_is_refused_and_not_imported(own_module: str, tmp_path: Path) -> None:
    for make in (find_spec, make_vector_of_two, make_single):
        with pytest.raises(
            UserError, match=f"names the module '{own_module}', whose code would be run: add trust=true"
        ):
            make(_env(f"{own_module}:own/Pole-v0"))
    assert own_module not in sys.modules
    assert not (tmp_path / "was-run").exists()


def make_vector_of_two(config: EnvConfig) -> gymnasium.vector.VectorEnv:
    return make_vector(config, 2)


@pytest.mark.parametrize(
    "module", ["rmc_envs_evil", "rmc", "os", "evil.rmc_envs", "a:rmc_envs", ".rmc_envs", " rmc_envs"]
)
def test_a_name_like_a_trusted_one_is_not_trusted(module: str) -> None:
    with pytest.raises(UserError, match="trust=true"):
        find_spec(_env(f"{module}:CartPole-v1"))


def test_a_trusted_module_is_imported(own_module: str, tmp_path: Path) -> None:
    env = make_vector(_env(f"{own_module}:own/Pole-v0"), 2, trust=True)
    assert (tmp_path / "was-run").exists()
    assert env.single_observation_space.shape == (4,)
    env.close()
    make_single(_env(f"{own_module}:own/Pole-v0"), trust=True).close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("def", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
    ],
)
def test_a_module_that_fails_is_a_user_error(
    content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"broken_{uuid.uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match=f"'{name}:x-v0' cannot be imported: {message}"):
        find_spec(_env(f"{name}:x-v0"), trust=True)


@pytest.mark.parametrize("module", ["no_such_module_at_all", "rmc_envs.nope", "..relative", "rmc_envs.\0"])
def test_a_module_that_does_not_exist_is_a_user_error(module: str) -> None:
    with pytest.raises(UserError, match="cannot be imported"):
        find_spec(_env(f"{module}:x-v0"), trust=True)


# Making


@pytest.mark.parametrize("name", groups(TRAIN)["env"])
def test_every_shipped_environment_can_be_made(name: str) -> None:
    config = make_config(f"env={name}")
    vector = make_vector(config.env, 3)
    single = make_single(config.env)
    assert vector.single_observation_space == single.observation_space
    assert vector.single_action_space == single.action_space
    observation, _ = vector.reset(seed=1)
    assert single.observation_space.shape is not None
    assert observation.shape == (3, *single.observation_space.shape)
    vector.close()
    single.close()


@pytest.mark.parametrize("id", ["CartPole-v1", "MountainCar-v0"])  # one with a native batch, one without
def test_other_peoples_environments_train_the_same_way(id: str) -> None:
    env = make_vector(_env(id), 2)
    assert env.num_envs == 2
    env.reset(seed=1)
    observation, reward, terminated, truncated, _ = env.step(np.array([0, 1]))
    assert observation.shape == env.observation_space.shape
    assert reward.shape == terminated.shape == truncated.shape == (2,)
    env.close()


def test_keyword_arguments_reach_the_environment() -> None:
    env = make_vector(_env(REPEAT_FIRST, num_symbols=6, length=3), 2)
    assert env.single_action_space == spaces.Discrete(6)
    env.close()
    single = make_single(_env(REPEAT_FIRST, num_symbols=6), render_mode="rgb_array")
    assert single.action_space == spaces.Discrete(6)
    assert single.render_mode == "rgb_array"
    single.close()


def test_threads_reach_the_environments_that_take_them() -> None:
    for id, kwargs, threads in ((REPEAT_FIRST, {}, 2), (REPEAT_FIRST, {"num_threads": 3}, 3)):
        env: Any = make_vector(_env(id, **kwargs), 8, threads=2)
        assert env.unwrapped._batch.num_threads == threads
        env.close()
    for id, native in (("CartPole-v1", True), ("CartPole-v1", False), (REPEAT_FIRST, False)):
        make_vector(_env(id), 8, threads=2, native=native).close()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"nope": 1}, "unexpected keyword argument 'nope'"),
        ({"length": 0}, "length must be"),
        ({"length": "x"}, "length must be an integer"),
        ({"num_symbols": None}, "num_symbols must be an integer"),
        ({"num_envs": 3}, "num_envs"),
        ({"vectorization_mode": "async"}, "vectorization_mode"),
        ({"render_mode": "human"}, "render_mode"),
        ({"self": 1}, "self"),
        ({"two words": 1}, "two words"),
    ],
)
def test_arguments_the_environment_refuses(kwargs: dict[str, Any], message: str) -> None:
    for make in (make_vector_of_two, make_single):
        with pytest.raises(UserError, match=f"'{REPEAT_FIRST}' cannot be made: .*{message}") as caught:
            make(EnvConfig("test", REPEAT_FIRST, kwargs))
        assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("_strange")
def test_an_error_in_the_constructor_is_a_user_error() -> None:
    for make in (make_vector_of_two, make_single):
        with pytest.raises(UserError, match="'test/Strange-v0' cannot be made: RuntimeError: no display was found"):
            make(_env("test/Strange-v0", observation="raise"))


@pytest.mark.usefixtures("_strange")
def test_spaces_no_agent_can_handle_are_refused() -> None:
    for make in (make_vector_of_two, make_single):
        with pytest.raises(UserError, match=r"the observation space Text.* is not supported"):
            make(_env("test/Strange-v0", observation=spaces.Text(4)))
        with pytest.raises(UserError, match=r"the action space Dict.* is not supported"):
            make(_env("test/Strange-v0", action=spaces.Dict(a=spaces.Discrete(2))))
    assert Strange.opened == 0  # what was opened to look at it is closed again


# Wrappers, batches, the agent's language


def test_wrappers_are_applied_innermost_first() -> None:
    config = _env("CartPole-v1")
    config.wrappers = [{"name": "TimeLimit", "max_episode_steps": 3}, "FlattenObservation", "NormalizeReward"]
    single = make_single(config)
    assert type(single).__name__ == "NormalizeReward"
    assert type(single.env).__name__ == "FlattenObservation"  # type: ignore[attr-defined]
    vector = make_vector(config, 2)
    assert isinstance(vector.unwrapped, SyncVectorEnv), "wrappers are for single ones"
    vector.reset(seed=0)
    ended = [vector.step(np.array([0, 1]))[3].all() for _ in range(3)]
    assert ended == [False, False, True]
    vector.close()
    single.close()


@pytest.mark.parametrize(
    ("wrapper", "message"),
    [
        ("FlatenObservation", "unknown wrapper 'FlatenObservation': did you mean 'FlattenObservation'"),
        ("__doc__", "unknown wrapper '__doc__'"),
        (3, "env.wrappers: 3 is no wrapper: a name"),
        ({"max_episode_steps": 3}, "is no wrapper: a name"),
        ({"name": "TimeLimit", "steps": 3}, "cannot be made: TypeError"),
        ("os:path", "the wrapper 'os:path' names the module 'os', whose code would be run: add trust=true"),
        ("gymnasium:Nope", "unknown wrapper 'gymnasium:Nope'"),
    ],
)
def test_wrappers_that_cannot_be_applied(wrapper: Any, message: str) -> None:
    config = _env("CartPole-v1")
    config.wrappers = [wrapper]
    for make in (make_vector_of_two, make_single):
        with pytest.raises(UserError) as caught:
            make(config)
        assert message in str(caught.value)


def test_a_wrapper_of_ones_own() -> None:
    config = _env("CartPole-v1")
    config.wrappers = ["tests.rmc_rl.hidden:PositionsOnly"]
    with pytest.raises(UserError, match="add trust=true"):
        make_vector(config, 2)
    env = make_vector(config, 2, trust=True)
    assert env.single_observation_space.shape == (2,)
    env.close()


def test_games_in_processes_of_their_own() -> None:
    config = _env("CartPole-v1")
    found = {}
    for kind in ("sync", "async"):
        config.vectorization = kind
        env = make_vector(config, 2)
        observation, _ = env.reset(seed=[3, 4])  # type: ignore[arg-type]
        rows = [observation.copy()] + [env.step(np.array([0, 1]))[0].copy() for _ in range(20)]
        found[kind] = np.stack(rows)
        if kind == "async":
            processes = env.unwrapped.processes  # type: ignore[attr-defined]
            assert len({process.pid for process in processes}) == 2
        env.close()
    np.testing.assert_array_equal(found["sync"], found["async"])
    assert not any(process.is_alive() for process in processes)


class Shaky(Strange):
    """Raises in the third step of an episode, or takes its process with it."""

    def __init__(self, dies: bool) -> None:
        super().__init__()
        self.dies = dies

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.left = 2
        return super().reset(seed=seed)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.left == 0 and self.dies:
            os._exit(1)
        if self.left == 0:
            raise RuntimeError("out of marbles")
        self.left -= 1
        return super().step(action)


@pytest.mark.filterwarnings("ignore:.*ERROR")
@pytest.mark.parametrize(("dies", "message"), [(False, "out of marbles"), (True, "a game's process died")])
def test_processes_are_started_anew_after_one_of_them_failed(dies: bool, message: str) -> None:
    config = _env(f"{__name__}:test/Shaky-v0", dies=dies)
    config.vectorization = "async"
    env = make_vector(config, 2, trust=True)
    processes = []
    for _ in range(2):
        observation, _ = env.reset(seed=0)
        processes += env.unwrapped.processes  # type: ignore[attr-defined]
        assert observation.shape == (2, 3)
        for _ in range(2):
            env.step(np.array([0, 1]))
        with pytest.raises(RuntimeError, match=message):
            env.step(np.array([0, 1]))
    env.close()
    assert len({process.pid for process in processes}) == 4
    assert not any(process.is_alive() for process in processes)


def test_a_batch_of_its_own_can_be_asked_for() -> None:
    config = _env("MountainCar-v0")
    config.vectorization = "native"
    with pytest.raises(UserError, match=r"'MountainCar-v0' cannot be made a batch \(it has none of its own\)"):
        make_vector(config, 2)
    config = _env("CartPole-v1")
    config.vectorization = "native"
    make_vector(config, 2).close()
    config.wrappers = ["FlattenObservation"]
    with pytest.raises(UserError, match="wrappers are for single ones"):
        make_vector(config, 2)


class SameStep(SyncVectorEnv):
    """A batch that resets itself in the step that ends an episode."""

    def __init__(self, num_envs: int = 1, **kwargs: Any) -> None:
        super().__init__([Strange] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)


def test_a_batch_that_resets_itself_otherwise_is_replaced_or_refused() -> None:
    gymnasium.register("test/Both-v0", entry_point=Strange, vector_entry_point=SameStep)
    gymnasium.register("test/Batch-v0", vector_entry_point=SameStep)
    try:
        env = make_vector(_env("test/Both-v0"), 2)
        assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
        env.close()
        with pytest.raises(UserError, match=r"'test/Batch-v0' resets itself in mode .*SAME_STEP"):
            make_vector(_env("test/Batch-v0"), 2)
    finally:
        del gymnasium.registry["test/Both-v0"], gymnasium.registry["test/Batch-v0"]


def test_a_known_package_is_imported_by_the_id_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "minigrid.py").write_text(
        "import gymnasium\n"
        "from gymnasium.envs.classic_control import CartPoleEnv\n"
        "gymnasium.register('MiniGrid-Test-v0', entry_point=CartPoleEnv)\n"
    )
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "minigrid", None)  # as where it is not installed
        with pytest.raises(UserError, match="the environment 'MiniGrid-Test-v0' cannot be imported"):
            find_spec(_env("MiniGrid-Test-v0"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "minigrid", raising=False)
    assert find_spec(_env("MiniGrid-Test-v0")).id == "MiniGrid-Test-v0"
    del gymnasium.registry["MiniGrid-Test-v0"], sys.modules["minigrid"]


@pytest.mark.usefixtures("_strange")
def test_environments_speak_the_agents_language() -> None:
    config = _env("test/Strange-v0", observation=spaces.Discrete(4, start=3), action=spaces.Box(-2, 2, (1, 2)))
    env = make_vector(config, 3)
    observation, _ = env.reset(seed=0)
    assert observation.dtype == np.int64
    assert ((observation >= 0) & (observation < 4)).all()
    env.step(np.zeros((3, 2), np.float32))
    env.close()
    single = make_single(config)
    single.reset(seed=0)
    observation, *_ = single.step(np.zeros(2, np.float32))
    assert 0 <= observation < 4
    single.close()


def test_importing_the_framework_imports_no_games() -> None:
    script = "import sys, rmc_rl.environment; print('rmc_envs' in sys.modules, 'pygame' in sys.modules)"
    asked = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert asked.stdout == "False False\n", asked.stderr
