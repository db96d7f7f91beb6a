"""What a run is made of: the typed schema of the configuration, and how a configuration comes to be.

The values live in ``configs/*.yaml``, which a person can read and edit; this module holds each key's type, meaning and
limits. A configuration is composed by Hydra from those files and the overrides typed (`make_config`), or read back from
a run folder (`read_config`), and in both cases ends as a validated `Config` of plain dataclasses.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from rmc_rl.errors import UserError, nearest
from rmc_rl.paths import config_dir

REQUIRED: Any = "???"  # OmegaConf's mark for "no value yet": every value comes from YAML


def _key(
    meaning: str,
    *,
    choices: Sequence[str] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    may_be_infinite: bool = False,
    default: Any = REQUIRED,
) -> Any:
    limits = {"choices": choices, "minimum": minimum, "maximum": maximum, "above": above}
    limits["may_be_infinite"] = may_be_infinite
    metadata = {"meaning": meaning, **limits}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class EnvConfig:
    """Which environment is played."""

    name: str = _key("short name, used for the run folder; empty: from the id")
    id: str = _key("Gymnasium id, optionally 'module:id'")
    kwargs: dict[str, Any] = _key("keyword arguments of the environment")
    # Not every environment's file need say these.
    wrappers: list[Any] = _key(
        "Gymnasium's wrappers, the innermost first: Name, or {name: Name, argument: …}; module:Name for others",
        default=[],
    )
    vectorization: str = _key(
        "how games become a batch: the environment's own way, in turn, or in processes of their own; auto: the first "
        "where there is one, else the second",
        choices=("auto", "native", "sync", "async"),
        default="auto",
    )


@dataclass
class AgentConfig:
    """What surrounds the memory core."""

    torso: str = _key("what turns an observation into features; auto chooses by the observation's shape")
    torso_options: dict[str, Any] = _key("keyword arguments of the torso")
    use_last_action: bool = _key("feed the last action into the core")
    use_last_reward: bool = _key("feed the last reward, squashed, into the core")
    normalise_output: bool = _key("the heads read the core's output through a LayerNorm")
    normalise_value: bool = _key("the value is learnt in units of the returns' running mean and spread (PopArt)")


@dataclass
class ActorConfig:
    """How experience is collected."""

    num_actors: int | None = _key(
        "actor processes (engine=ray); null: from the machine's cores, on a cluster from all its CPUs", minimum=1
    )
    num_envs: int = _key("games each actor plays side by side", minimum=1, maximum=1_000_000)
    groups: int = _key(
        "groups they are played in, in turn (inline): with 2 a GPU acts for one while the other is stepped", minimum=1
    )
    unroll_length: int = _key("T: steps of each game in one rollout", minimum=1, maximum=100_000)


@dataclass
class LearnerConfig:
    """How the agent learns from it (IMPALA; V-trace)."""

    count: int = _key(
        "learner processes that share each update, a GPU for each where there are GPUs (engine=ray)",
        minimum=1,
        maximum=1000,
    )
    rollouts_per_batch: int = _key("rollouts joined into one update, of each learner", minimum=1, maximum=10_000)
    games_at_once: int | None = _key(
        "games of one part of a batch, whose gradients are added up; null: 16 to 64 on a CPU, all on a GPU", minimum=1
    )
    optimizer: str = _key("optimiser", choices=("rmsprop", "adam"))
    learning_rate: float = _key("step size at the start", above=0)
    learning_rate_final: float = _key("step size when the budget is spent", minimum=0)
    learning_rate_schedule: str = _key("how it gets there", choices=("constant", "linear"))
    warmup_updates: int = _key("the step size rises from 0 over the first so many updates", minimum=0)
    rmsprop_decay: float = _key("RMSProp: decay of the squared gradient's average", minimum=0, maximum=1)
    rmsprop_momentum: float = _key("RMSProp: momentum", minimum=0)
    adam_beta1: float = _key("Adam: decay of the gradient's average", minimum=0, maximum=0.9999999)
    adam_beta2: float = _key("Adam: decay of the squared gradient's average", minimum=0, maximum=0.9999999)
    epsilon: float = _key("added to the optimiser's denominator", above=0)
    max_grad_norm: float | None = _key("clip the gradient's global norm to this; null: no clipping", above=0)
    discount: float = _key("discount per step", minimum=0, maximum=1)
    baseline_cost: float = _key("weight of the value loss", minimum=0)
    entropy_cost: float = _key("weight of the entropy bonus at the start", minimum=0)
    entropy_cost_final: float = _key("weight of the entropy bonus when the budget is spent", minimum=0)
    entropy_cost_schedule: str = _key("how it gets there", choices=("constant", "linear"))
    reward_clip: float | None = _key("rewards are cut to at most this, up and down, for learning; null: not", above=0)
    reward_scale: float = _key("rewards, cut or not, are multiplied by this for learning; 1: as they are", above=0)
    loss_reduction: str = _key("over the valid transitions of a batch", choices=("mean", "sum"))
    surrogate_clip: float | None = _key(
        "PPO's clipped surrogate instead of the policy gradient, the ratio cut to 1 ± this (APPO); null: IMPALA's",
        above=0,
        maximum=1,
    )
    burn_in: int = _key(
        "the first so many steps of each rollout only bring the memory to where today's weights have it", minimum=0
    )
    rho_bar: float = _key("V-trace: clip of the importance weight in the target", above=0, may_be_infinite=True)
    c_bar: float = _key("V-trace: clip of the trace-cutting weight", above=0, may_be_infinite=True)
    trace_lambda: float = _key("V-trace: extra factor on the trace", minimum=0, maximum=1)


@dataclass
class EngineConfig:
    """Who runs where."""

    name: str = _key("ray: actor processes and a learner process; inline: one process", choices=("ray", "inline"))
    address: str | None = _key(
        "a running Ray cluster to join (ray): host:port, or auto: the one this machine is a node of; null: none, a Ray "
        "of the run's own"
    )
    actor_threads: int = _key("torch threads of each actor process", minimum=1, maximum=1024)
    learner_threads: int | None = _key("threads that learn; null: from the machine's cores", minimum=1, maximum=1024)
    max_queued_batches: int = _key("batches waiting for the learner at which actors pause (ray)", minimum=1)
    max_policy_lag: int | None = _key(
        "rollouts whose weights are older than so many updates are dropped (ray); null: never", minimum=1
    )
    timeout: float = _key("an actor or learner without progress for so many seconds is replaced (ray)", above=0)
    object_store_mb: int = _key(
        "shared memory that a Ray of the run's own may use for rollouts and weights, in MB (ray)", minimum=80
    )


@dataclass
class CheckpointConfig:
    """What is kept of a run."""

    every_seconds: float = _key("time between checkpoints; one is always written at the end", above=0)
    keep_every_steps: int | None = _key(
        "keep one checkpoint for good each so many steps; null: latest and best only", minimum=1
    )


@dataclass
class LogConfig:
    """What is said about a run."""

    every_steps: int = _key("a line of metrics each so many steps", minimum=1)
    display: str = _key("live table, plain lines, or nothing on screen", choices=("auto", "rich", "plain", "none"))
    tensorboard: bool = _key("write TensorBoard events")
    wandb_project: str = _key("Weights & Biases project")


@dataclass
class Config:
    """A whole run."""

    env: EnvConfig = field(default_factory=EnvConfig)
    core: dict[str, Any] = _key("the memory core's name and arguments")
    agent: AgentConfig = field(default_factory=AgentConfig)
    actor: ActorConfig = field(default_factory=ActorConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    log: LogConfig = field(default_factory=LogConfig)
    seed: int = _key("seed of everything random", minimum=0)
    total_steps: int = _key("budget in environment steps", minimum=1)
    device: str = _key("where learning runs; auto: the GPU where there is one", choices=("auto", "cpu", "cuda"))
    runs_dir: str = _key("where run folders are made")
    resume: str | None = _key("a run folder, or 'latest': go on with that run")
    wandb: str | None = _key(
        "Weights & Biases; null: online where a key is configured, else disabled",
        choices=("online", "offline", "disabled"),
    )
    profile: bool = _key("write traces of acting and learning, by PyTorch's profiler, into the run folder")
    modules: list[str] = _key("modules of your own that register cores and torsos; imported with trust=true only")
    trust: bool = _key("allow what names modules (modules, an environment's id, wrappers) to have them imported")


ConfigStore.instance().store(name="schema", node=Config)


def describe(schema: type = Config, prefix: str = "") -> list[tuple[str, Field[Any]]]:
    """Every key of the schema in order, as (dotted name, dataclass field)."""
    rows: list[tuple[str, Field[Any]]] = []
    for item in fields(schema):
        nested = item.default_factory
        if nested is not MISSING and is_dataclass(nested):
            rows += describe(nested, f"{prefix}{item.name}.")
        else:
            rows.append((prefix + item.name, item))
    return rows


def compose_config(overrides: Sequence[str], extra_dir: str | None = None) -> DictConfig:
    """Compose ``train.yaml`` with Hydra; a wrong type or missing group becomes a `UserError`."""
    # Hydra's own search path override is the way a user's config folder joins ours.
    search = [f"hydra.searchpath=[{_quoted(f'file://{Path(extra_dir).resolve()}')}]"] if extra_dir else []
    # The caller may itself be a Hydra application (the train verb is): its state is set aside and put back.
    surrounding = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            return compose("train", overrides=[*overrides, *search])
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_explain(error)) from error
    except (YAMLError, OSError, ValueError) as error:  # of a file in the user's folder
        raise UserError(f"the configuration cannot be read: {' '.join(str(error).split())}") from error
    finally:
        GlobalHydra.instance().hydra = surrounding


def make_config(*overrides: str, extra_dir: str | None = None) -> Config:
    """A validated configuration from the defaults and overrides written as on the command line.

    ``make_config("env=minipacman-viewport", "total_steps=100000", "learner.learning_rate=1e-4")``

    Raises:
        UserError: an unknown key or value, a wrong type, or a value outside its limits.
    """
    from rmc_rl.overrides import check_overrides, whole_numbers  # which need compose_config

    overrides = tuple(whole_numbers(overrides))
    check_overrides(overrides, extra_dir)
    return to_config(compose_config(overrides, extra_dir))


def to_config(node: DictConfig | dict[str, Any]) -> Config:
    """Turn a composed or stored configuration into a validated `Config`."""
    try:
        _check_keys(OmegaConf.create(node) if isinstance(node, dict) else node)
        merged = OmegaConf.merge(OmegaConf.structured(Config), node)
        OmegaConf.resolve(merged)
        missing = sorted(OmegaConf.missing_keys(merged))
        if missing:
            raise UserError(f"the configuration lacks a value for {', '.join(missing)}")
        config = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise UserError(_explain(error)) from error
    assert isinstance(config, Config)
    if not config.env.name:
        config.env.name = re.sub(r"[^\w.-]+", "-", config.env.id.rpartition(":")[2])
    _validate(config)
    return config


def to_yaml(config: Config) -> str:
    """The configuration as YAML, every value resolved."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def read_config(path: Path) -> Config:
    """Read a stored configuration as plain data: nothing in it is imported or instantiated.

    Raises:
        UserError: the file is missing, is not YAML, or does not fit the schema.
    """
    try:
        text = path.read_text()
        _check_plain(text)
        node = OmegaConf.load(io.StringIO(text))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {path.parent} is not a run folder of rmc-rl") from None
    except UserError as error:
        raise UserError(f"{path} holds {error}; a stored configuration has plain values only") from None
    except Exception as error:
        what = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"{path} cannot be read as YAML: {what}") from error
    if not isinstance(node, DictConfig):
        raise UserError(f"{path} does not hold a configuration of rmc-rl")
    try:
        return to_config(node)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def changes(old: Config, new: Config) -> list[str]:
    """What differs, as ``key: old -> new`` lines."""
    before, after = _flat(OmegaConf.structured(old)), _flat(OmegaConf.structured(new))
    keys = list(dict.fromkeys([*before, *after]))
    return [
        f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}"
        for key in keys
        if before.get(key, MISSING) != after.get(key, MISSING)
    ]


def known_keys(node: DictConfig) -> list[str]:
    """Every dotted key of a composed configuration, sections included."""
    return list(_flat(node, sections=True))


def _flat(node: DictConfig, prefix: str = "", sections: bool = False) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name in map(str, node):
        key = f"{prefix}{name}"
        if OmegaConf.is_missing(node, name):
            flat[key] = REQUIRED
            continue
        value = node[name]
        if isinstance(value, DictConfig):
            if sections:
                flat[key] = value
            flat |= _flat(value, f"{key}.", sections)
        else:
            flat[key] = value
    return flat


def _check_keys(node: DictConfig) -> None:
    """An unknown key is named with its nearest neighbours (OmegaConf would only say that it is unknown)."""
    free = {"env.kwargs", "core", "agent.torso_options"}
    known = {key for key, _ in describe()} | {key.rsplit(".", 1)[0] for key, _ in describe() if "." in key}

    def walk(part: DictConfig, prefix: str) -> None:
        for name in map(str, part):
            key = f"{prefix}{name}"
            if key not in known:
                raise UserError(f"unknown key '{key}': {nearest(key, known)}")
            if key not in free and not OmegaConf.is_missing(part, name) and isinstance(part[name], DictConfig):
                walk(part[name], f"{key}.")

    walk(node, "")


def _check_plain(text: str) -> None:
    """Refuse what a written configuration never holds and a forged one could do harm with."""
    if "${" in text:
        raise UserError("an interpolation ('${…}')")  # it could read the environment
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > 50:
            raise UserError("more than 50 levels")
        if isinstance(event, yaml.AliasEvent):
            raise UserError(f"an alias ('*{event.anchor}')")  # a few of them unfold to more than memory holds
        if tag := getattr(event, "tag", None):
            raise UserError(f"a tag ('{tag}')")  # it asks for an object of some class


def _validate(config: Config) -> None:
    for key, item in describe():
        value: Any = config
        for part in key.split("."):
            value = getattr(value, part)
        limits = item.metadata
        if value is None:
            continue
        if isinstance(value, float) and not math.isfinite(value) and not (limits["may_be_infinite"] and value > 0):
            raise UserError(f"{key}={value} is not a finite number")
        if limits["choices"] and value not in limits["choices"]:
            raise UserError(f"{key}={value} is not known: {nearest(str(value), limits['choices'])}")
        if limits["minimum"] is not None and value < limits["minimum"]:
            raise UserError(f"{key}={value} is too small: at least {limits['minimum']}")
        if limits["maximum"] is not None and value > limits["maximum"]:
            raise UserError(f"{key}={value} is too large: at most {limits['maximum']}")
        if limits["above"] is not None and not value > limits["above"]:
            raise UserError(f"{key}={value} is too small: above {limits['above']}")
    if "name" not in config.core:
        raise UserError("core.name is missing: the core's registered name")
    if not isinstance(config.core["name"], str):
        raise UserError(f"core.name={config.core['name']} is not a name: the core's registered name is needed")
    if config.actor.groups > config.actor.num_envs:
        raise UserError(
            f"actor.groups={config.actor.groups} is too large: at most actor.num_envs={config.actor.num_envs}"
        )
    if config.learner.burn_in >= config.actor.unroll_length:
        raise UserError(
            f"learner.burn_in={config.learner.burn_in} is too large: below actor.unroll_length="
            f"{config.actor.unroll_length}, or nothing would be learnt"
        )
    if config.engine.name == "inline":
        for key, value, only in (
            ("learner.count", config.learner.count, 1),
            ("engine.address", config.engine.address, None),
        ):
            if value != only:
                raise UserError(f"{key}={value} needs engine=ray: engine=inline is one process")
    address = config.engine.address
    if address not in (None, "auto") and not re.fullmatch(r"[^\s:/]+:\d+", address):
        raise UserError(f"engine.address={address} is not known: auto or host:port, as `ray start` prints it")
    if config.seed >= 2**31:
        raise UserError(f"seed={config.seed} is too large: below 2^31")


def _quoted(text: str) -> str:
    """A string in Hydra's override grammar, whatever characters it holds."""
    # A backslash is literal there, except before the quote or as the last character.
    escaped = re.sub(r"(\\*)'", r"\1\1\'", text)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


def _explain(error: Exception) -> str:
    """Hydra and OmegaConf say what is wrong in the first lines of the innermost message."""
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    key = getattr(error, "full_key", None)
    lines = str(error).strip().splitlines() or [type(error).__name__]
    first = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return f"{key}: {first}" if key and key not in first else first
