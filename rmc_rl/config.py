"""What a training run of an agent is made of: each key's type, meaning and limits.

The values live in ``configs/*.yaml``; `rmc_rl.schema` makes configurations of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rmc_rl.errors import UserError
from rmc_rl.schema import Schema, key


@dataclass
class EnvConfig:
    """Which environment is played."""

    name: str = key("short name, used for the run folder; empty: from the id")
    id: str = key("Gymnasium id, optionally 'module:id'")
    kwargs: dict[str, Any] = key("keyword arguments of the environment")
    # Not every environment's file need say these.
    wrappers: list[Any] = key(
        "Gymnasium's wrappers, the innermost first: Name, or {name: Name, argument: …}; module:Name for others",
        default=[],
    )
    vectorization: str = key(
        "how games become a batch: the environment's own way, in turn, or in processes of their own; auto: the first "
        "where there is one, else the second",
        choices=("auto", "native", "sync", "async"),
        default="auto",
    )


@dataclass
class AgentConfig:
    """What surrounds the memory core."""

    torso: str = key("what turns an observation into features; auto chooses by the observation's shape")
    torso_options: dict[str, Any] = key("keyword arguments of the torso")
    use_last_action: bool = key("feed the last action into the core")
    use_last_reward: bool = key("feed the last reward, squashed, into the core")
    normalise_output: bool = key("the heads read the core's output through a LayerNorm")
    normalise_value: bool = key("the value is learnt in units of the returns' running mean and spread (PopArt)")


@dataclass
class ActorConfig:
    """How experience is collected."""

    num_actors: int | None = key(
        "actor processes (engine=ray); null: from the machine's cores, on a cluster from all its CPUs", minimum=1
    )
    num_envs: int = key("games each actor plays side by side", minimum=1, maximum=1_000_000)
    groups: int = key(
        "groups they are played in, in turn (inline): with 2 a GPU acts for one while the other is stepped", minimum=1
    )
    unroll_length: int = key("T: steps of each game in one rollout", minimum=1, maximum=100_000)


@dataclass
class OptimizerConfig:
    """How gradients change the weights."""

    optimizer: str = key("optimiser", choices=("rmsprop", "adam"))
    learning_rate: float = key("step size at the start", above=0)
    learning_rate_final: float = key("step size when the budget is spent", minimum=0)
    learning_rate_schedule: str = key("how it gets there", choices=("constant", "linear"))
    warmup_updates: int = key("the step size rises from 0 over the first so many updates", minimum=0)
    rmsprop_decay: float = key("RMSProp: decay of the squared gradient's average", minimum=0, maximum=1)
    rmsprop_momentum: float = key("RMSProp: momentum", minimum=0)
    adam_beta1: float = key("Adam: decay of the gradient's average", minimum=0, maximum=0.9999999)
    adam_beta2: float = key("Adam: decay of the squared gradient's average", minimum=0, maximum=0.9999999)
    epsilon: float = key("added to the optimiser's denominator", above=0)
    max_grad_norm: float | None = key("clip the gradient's global norm to this; null: no clipping", above=0)


@dataclass
class LearnerConfig(OptimizerConfig):
    """How the agent learns from it (IMPALA; V-trace)."""

    count: int = key(
        "learner processes that share each update, a GPU for each where there are GPUs (engine=ray)",
        minimum=1,
        maximum=1000,
    )
    rollouts_per_batch: int = key("rollouts joined into one update, of each learner", minimum=1, maximum=10_000)
    games_at_once: int | None = key(
        "games of one part of a batch, whose gradients are added up; null: 16 to 64 on a CPU, all on a GPU", minimum=1
    )
    discount: float = key("discount per step", minimum=0, maximum=1)
    baseline_cost: float = key("weight of the value loss", minimum=0)
    entropy_cost: float = key("weight of the entropy bonus at the start", minimum=0)
    entropy_cost_final: float = key("weight of the entropy bonus when the budget is spent", minimum=0)
    entropy_cost_schedule: str = key("how it gets there", choices=("constant", "linear"))
    reward_clip: float | None = key("rewards are cut to at most this, up and down, for learning; null: not", above=0)
    reward_scale: float = key("rewards, cut or not, are multiplied by this for learning; 1: as they are", above=0)
    loss_reduction: str = key("over the valid transitions of a batch", choices=("mean", "sum"))
    surrogate_clip: float | None = key(
        "PPO's clipped surrogate instead of the policy gradient, the ratio cut to 1 ± this (APPO); null: IMPALA's",
        above=0,
        maximum=1,
    )
    burn_in: int = key(
        "the first so many steps of each rollout only bring the memory to where the current weights have it", minimum=0
    )
    rho_bar: float = key("V-trace: clip of the importance weight in the target", above=0, may_be_infinite=True)
    c_bar: float = key("V-trace: clip of the trace-cutting weight", above=0, may_be_infinite=True)
    trace_lambda: float = key("V-trace: extra factor on the trace", minimum=0, maximum=1)


@dataclass
class EngineConfig:
    """Who runs where."""

    name: str = key("ray: actor processes and a learner process; inline: one process", choices=("ray", "inline"))
    address: str | None = key(
        "a running Ray cluster to join (ray): host:port, or auto: the one this machine is a node of; null: none, a Ray "
        "of the run's own"
    )
    actor_threads: int = key("torch threads of each actor process", minimum=1, maximum=1024)
    learner_threads: int | None = key("threads that learn; null: from the machine's cores", minimum=1, maximum=1024)
    max_queued_batches: int = key("batches waiting for the learner at which actors pause (ray)", minimum=1)
    max_policy_lag: int | None = key(
        "rollouts whose weights are older than so many updates are dropped (ray); null: never", minimum=1
    )
    timeout: float = key("an actor or learner without progress for so many seconds is replaced (ray)", above=0)
    object_store_mb: int = key(
        "shared memory that a Ray of the run's own may use for rollouts and weights, in MB (ray)", minimum=80
    )


@dataclass
class CheckpointConfig:
    """What is kept of a run."""

    every_seconds: float = key("time between checkpoints; one is always written at the end", above=0)
    keep_every_steps: int | None = key(
        "keep one checkpoint for good each so many steps; null: latest and best only", minimum=1
    )


@dataclass
class LogConfig:
    """What is said about a run."""

    every_steps: int = key("a line of metrics each so many steps", minimum=1)
    display: str = key("live table, plain lines, or nothing on screen", choices=("auto", "rich", "plain", "none"))
    tensorboard: bool = key("write TensorBoard events")
    wandb_project: str = key("Weights & Biases project")
    # Runs that were made before there were these do not say them.
    wandb_checkpoints: bool = key("give Weights & Biases the last and the best checkpoint as artifacts", default=True)


@dataclass
class AgentLogConfig(LogConfig):
    """What is said about the training of an agent."""

    video_every_steps: int | None = key(
        "a short video of the agent each so many steps, made beside training; null: none", minimum=1, default=None
    )
    video_steps: int = key("steps that such a video shows, at most", minimum=1, maximum=100_000, default=300)


class RunConfig(Protocol):
    """What every kind of run has in its configuration."""

    @property
    def checkpoint(self) -> CheckpointConfig:
        """What is kept of it."""

    @property
    def log(self) -> LogConfig:
        """What is said about it."""

    @property
    def total_steps(self) -> int:
        """Its budget."""

    @property
    def seed(self) -> int:
        """Of everything random."""

    @property
    def device(self) -> str:
        """Where it learns."""

    @property
    def runs_dir(self) -> str:
        """Where its folder is made."""

    @property
    def group(self) -> str | None:
        """A name that it shares with runs which are drawn together."""

    @property
    def wandb(self) -> str | None:
        """Weights & Biases."""

    @property
    def title(self) -> tuple[str, str]:
        """What is learnt by what, in names that can be part of a folder's."""


@dataclass
class Config:
    """A whole run."""

    env: EnvConfig = field(default_factory=EnvConfig)
    core: dict[str, Any] = key("the memory core's name and arguments")
    agent: AgentConfig = field(default_factory=AgentConfig)
    actor: ActorConfig = field(default_factory=ActorConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    log: AgentLogConfig = field(default_factory=AgentLogConfig)
    seed: int = key("seed of everything random", minimum=0)
    total_steps: int = key("budget in environment steps", minimum=1)
    device: str = key("where learning runs; auto: the GPU where there is one", choices=("auto", "cpu", "cuda"))
    runs_dir: str = key("where run folders are made")
    resume: str | None = key("a run folder, or 'latest': go on with that run")
    group: str | None = key(
        "a name that runs share which are drawn together; null: none, of a sweep its date",
        default=None,  # runs of before have none
    )
    wandb: str | None = key(
        "Weights & Biases; null: online where a key is configured, else disabled",
        choices=("online", "offline", "disabled"),
    )
    profile: bool = key("write traces of acting and learning, by PyTorch's profiler, into the run folder")
    modules: list[str] = key("modules of your own that register cores and torsos; imported with trust=true only")
    trust: bool = key("allow what names modules (modules, an environment's id, wrappers) to have them imported")

    @property
    def title(self) -> tuple[str, str]:
        """Environment and core."""
        return self.env.name, str(self.core["name"])


def check_named(section: str, values: dict[str, Any]) -> None:
    """Raise `UserError` unless a section says by its ``name`` which of the registered things it is about."""
    if "name" not in values:
        raise UserError(f"{section}.name is missing: the {section}'s registered name")
    if not isinstance(values["name"], str):
        raise UserError(f"{section}.name={values['name']} is not a name: the {section}'s registered name is needed")


def check_group(group: str | None) -> None:
    """Raise `UserError` unless runs can be found by this group."""
    if group is not None and (group in ("", "latest", ".", "..") or re.search(r"[/\\\0]", group)):
        raise UserError(
            f"group={group} cannot be a group's name: without a slash, and not 'latest', which is the newest one"
        )


def check_seed(seed: int) -> None:
    """Raise `UserError` unless random streams can be made of the seed."""
    if seed >= 2**31:
        raise UserError(f"seed={seed} is too large: below 2^31")


def _finish(config: Config) -> None:
    """What single keys cannot say."""
    if not config.env.name:
        config.env.name = re.sub(r"[^\w.-]+", "-", config.env.id.rpartition(":")[2])
    check_named("core", config.core)
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
        for name, value, only in (
            ("learner.count", config.learner.count, 1),
            ("engine.address", config.engine.address, None),
        ):
            if value != only:
                raise UserError(f"{name}={value} needs engine=ray: engine=inline is one process")
    address = config.engine.address
    if address not in (None, "auto") and not re.fullmatch(r"[^\s:/]+:\d+", address):
        raise UserError(f"engine.address={address} is not known: auto or host:port, as `ray start` prints it")
    check_group(config.group)
    check_seed(config.seed)


TRAIN = Schema(
    "train",
    Config,
    section="env",
    groups=("env", "core", "engine", "experiment"),
    free=("env.kwargs", "agent.torso_options"),
    finish=_finish,
)


def make_config(*overrides: str, extra_dir: str | None = None) -> Config:
    """A validated configuration from the defaults and overrides written as on the command line.

    ``make_config("env=minipacman-viewport", "total_steps=100000", "learner.learning_rate=1e-4")``

    Raises:
        UserError: an unknown key or value, a wrong type, or a value outside its limits.
    """
    return TRAIN.make(*overrides, extra_dir=extra_dir)


def read_config(path: Path) -> Config:
    """The configuration that a run folder holds; see `rmc_rl.schema.Schema.read`."""
    return TRAIN.read(path)
