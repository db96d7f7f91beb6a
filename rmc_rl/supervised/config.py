"""What a supervised training run is made of: each key's type, meaning and limits; the values are in YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rmc_rl.config import CheckpointConfig, LogConfig, OptimizerConfig, check_group, check_named, check_seed
from rmc_rl.schema import Schema, key


@dataclass
class ModelConfig:
    """What surrounds the memory core."""

    embedding_size: int | None = key("width of the vectors that stand for symbols; null: they are one-hot", minimum=1)
    hidden_sizes: list[int] = key("widths of the MLP that reads the core's output")
    own_decoder: bool = key("answers are given by a core of its own, which starts from the first one's memory")
    feed_back: bool = key("each answer is shown the one before it, the likeliest symbol")
    dropout: float = key(
        "share of the numbers of embedded words that training sets to 0; of a language model", minimum=0.0, default=0.0
    )
    cutoffs: list[int] = key(
        "first word of each cluster of rarer words, by rank, for an adaptive softmax; of a language model", default=[]
    )


@dataclass
class LearnerConfig(OptimizerConfig):
    """How the model learns."""

    batch_size: int = key(
        "sequences of one update, of all processes together; of a text the pieces, read side by side",
        minimum=1,
        maximum=10_000_000,
    )
    sequences_at_once: int | None = key(
        "sequences of one part of a batch, whose gradients are added up; null: 16 to 64 on a CPU, all on a GPU",
        minimum=1,
    )
    compile: bool = key("have torch compile the model: minutes at first, worth it on a GPU", default=False)
    threads: int | None = key("threads that learn, on a CPU; null: from the machine's cores", minimum=1, maximum=1024)


@dataclass
class EvaluationConfig:
    """How the model is judged while it learns."""

    every_steps: int = key("an evaluation each so many updates; one is always made at the end", minimum=1)
    sequences: int = key(
        "new sequences that it is judged by, the same each time; of a text the pieces, read side by side",
        minimum=1,
        maximum=10_000_000,
    )


@dataclass
class SupervisedConfig:
    """A whole run."""

    task: dict[str, Any] = key("the task's name and arguments")
    core: dict[str, Any] = key("the memory core's name and arguments")
    model: ModelConfig = field(default_factory=ModelConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    log: LogConfig = field(default_factory=LogConfig)
    seed: int = key("seed of everything random", minimum=0)
    total_steps: int = key("budget in updates", minimum=1)
    device: str = key("where it learns; auto: the GPU where there is one", choices=("auto", "cpu", "cuda"))
    precision: str = key(
        "type of large products: bfloat16 by autocast (on a CPU core.matmul_dtype does so for the memory)",
        choices=("float32", "bfloat16"),
    )
    runs_dir: str = key("where run folders are made")
    resume: str | None = key("a run folder, or 'latest': go on with that run")
    group: str | None = key("a name that runs share which are drawn together; null: none, of a sweep its date")
    wandb: str | None = key(
        "Weights & Biases; null: online where a key is configured, else disabled",
        choices=("online", "offline", "disabled"),
    )
    modules: list[str] = key("modules of your own that register cores and tasks; imported with trust=true only")
    trust: bool = key("allow what names modules to have them imported")

    @property
    def title(self) -> tuple[str, str]:
        """Task and core."""
        return str(self.task["name"]), str(self.core["name"])


def _finish(config: SupervisedConfig) -> None:
    """What single keys cannot say."""
    check_named("core", config.core)
    check_named("task", config.task)
    check_group(config.group)
    check_seed(config.seed)


SUPERVISED = Schema(
    "supervised/supervised",
    SupervisedConfig,
    section="task",
    groups=("task", "core", "experiment"),
    free=("task",),
    finish=_finish,
)
