"""RLlib's algorithms, set up by our configuration: which of our keys mean what there.

RLlib's own settings apply where our configuration has no key, its optimiser (Adam) among them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.appo import APPOConfig
from ray.rllib.algorithms.impala import IMPALAConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from rmc_rl.building import learner_device
from rmc_rl.config import Config
from rmc_rl.engines.shares import share_cores
from rmc_rl.errors import UserError, nearest
from rmc_rl.rllib.games import Games
from rmc_rl.rllib.module import AGENT, AgentModule, BootstrapCutSequences
from rmc_rl.seeds import actor_seed
from rmc_rl.spaces import Interface

ALGORITHMS: dict[str, type[AlgorithmConfig]] = {"impala": IMPALAConfig, "appo": APPOConfig, "ppo": PPOConfig}
PPO_EPOCHS = PPO_MINIBATCHES = 4
"""As is usual where sequences are learnt from; RLlib's own suits single steps: 30 times, minibatches of 128 of them."""

RETURNS, LENGTHS = "episode_returns", "episode_lengths"
"""Of the episodes that ended in a call, among the figures of RLlib's environment runners."""
WAIT_SECONDS = 0.05
"""For rollouts, at most (IMPALA, APPO); RLlib's own is 0: it asks again and again, on a core that learning needs."""
_MEANINGFUL = (
    *("env", "core", "checkpoint", "log", "experiment"),
    *("agent.torso", "agent.use_last_action", "agent.use_last_reward", "agent.normalise_output"),
    *("seed", "total_steps", "device", "runs_dir", "wandb", "trust"),
    *("actor.num_actors", "actor.num_envs", "actor.unroll_length"),
    *("engine.actor_threads", "engine.learner_threads", "engine.object_store_mb"),
    *("learner.rollouts_per_batch", "learner.learning_rate", "learner.max_grad_norm", "learner.discount"),
    *("learner.baseline_cost", "learner.entropy_cost"),
)


def meaningful(algorithm: str) -> tuple[str, ...]:
    """How the keys of our configuration begin that mean something to an algorithm of RLlib's."""
    return (*_MEANINGFUL, *(() if algorithm == "ppo" else ("learner.rho_bar",)))


def algorithm_config(
    algorithm: str,
    config: Config,
    interface: Interface,
    *,
    weights: Mapping[str, np.ndarray] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> AlgorithmConfig:
    """A configuration of RLlib's that trains our agent; ``build_algo()`` makes the algorithm.

    Args:
        algorithm: a name of `ALGORITHMS`.
        config: environment, core, agent, and those keys that have a meaning for RLlib (`docs/rllib.md`).
        interface: the environment's, from `rmc_rl.spaces.interface`.
        weights: of an agent of the same kind to begin with; None: initial ones.
        settings: RLlib's own, as its ``training()`` takes them; they win over the configuration.

    Raises:
        UserError: an unknown algorithm or setting, or a value that RLlib refuses.
    """
    if algorithm not in ALGORITHMS:
        raise UserError(f"algorithm={algorithm} is not known: {nearest(algorithm, ALGORITHMS)}")
    device = learner_device(config)
    runners, _ = share_cores(config, device)
    length, learner = config.actor.unroll_length, config.learner
    rollouts = learner.rollouts_per_batch * (runners if algorithm == "ppo" else 1)  # where all runners play at a time
    batch_steps = rollouts * config.actor.num_envs * length
    training: dict[str, Any] = {
        "train_batch_size_per_learner": batch_steps,
        "lr": _scheduled(
            learner.learning_rate, learner.learning_rate_final, learner.learning_rate_schedule, config.total_steps
        ),
        "entropy_coeff": _scheduled(
            learner.entropy_cost, learner.entropy_cost_final, learner.entropy_cost_schedule, config.total_steps
        ),
        "gamma": learner.discount,
        "grad_clip": learner.max_grad_norm,
        "grad_clip_by": "global_norm",
        "vf_loss_coeff": learner.baseline_cost,
    }
    if algorithm == "ppo":
        training["vf_loss_coeff"] = 0.5 * learner.baseline_cost  # of the whole squared error
        # RLlib counts the row it appends to a sequence; of less than a whole sequence it would make no minibatch.
        minibatch = max(batch_steps // length * (length + 1) // PPO_MINIBATCHES, length + 1)
        training |= {"num_epochs": PPO_EPOCHS, "minibatch_size": minibatch if minibatch < batch_steps else None}
    else:
        training["vtrace_clip_rho_threshold"] = training["vtrace_clip_pg_rho_threshold"] = learner.rho_bar
        training["timeout_s_sampler_manager"] = WAIT_SECONDS
    # One row more: RLlib appends the row after a sequence, and would else make a second sequence of that row alone.
    model = {"config": config, "interface": interface, "weights": weights, "max_seq_len": length + 1}
    setup = (
        ALGORITHMS[algorithm]()
        .environment(Games, env_config={"config": config})
        .env_runners(
            num_env_runners=runners,
            num_cpus_per_env_runner=config.engine.actor_threads,
            use_env_runner_state_server=False,  # a process that takes longer to start than all others together
            num_envs_per_env_runner=config.actor.num_envs,
            gym_env_vectorize_mode=gymnasium.VectorizeMode.VECTOR_ENTRY_POINT,
            rollout_fragment_length=length,
        )
        .learners(num_learners=0, num_gpus_per_learner=int(device == "cuda"))
        .rl_module(rl_module_spec=RLModuleSpec(module_class=AgentModule, model_config=model))
        .reporting(min_time_s_per_iteration=0, min_sample_timesteps_per_iteration=batch_steps)
        .callbacks(on_environment_created=functools.partial(_seed, config.seed), on_episode_end=_count)
        .fault_tolerance(restart_failed_env_runners=False)
    )
    if algorithm != "ppo":  # whose advantages are right as they are
        setup = setup.learners(learner_connector=BootstrapCutSequences)
    known = {name for kind in type(setup).__mro__ for name in _arguments(getattr(kind, "training", None))}
    for name in settings or {}:
        if name not in known:
            raise UserError(f"rllib.{name} is not a setting of RLlib's {algorithm}: {nearest(name, known)}")
    try:
        setup = setup.training(**training | dict(settings or {}))
        setup.validate()
    except (TypeError, ValueError, AssertionError) as error:
        raise UserError(f"RLlib's {algorithm} refuses its settings: {' '.join(str(error).split())}") from error
    return setup


def _arguments(function: Any) -> list[str]:
    """Names of the arguments that are given by name."""
    parameters = inspect.signature(function).parameters.values() if function is not None else []
    return [item.name for item in parameters if item.kind is inspect.Parameter.KEYWORD_ONLY]


def _seed(seed: int, *, env_runner: Any, env_context: Any, **_: Any) -> None:
    """Start a runner's random streams from seeds of its own.

    RLlib seeds the games of runner w by seed + w + i, so they would overlap; and it draws actions from torch's own
    generator, which starts alike in every process.
    """
    own = actor_seed(seed, env_context.worker_index or 0, 0)
    torch.manual_seed(own)
    env_runner.env.reset(seed=own)  # RLlib resets it without a seed, and the games' streams go on


def _count(*, episode: Any, prev_episode_chunks: Any, metrics_logger: Any, **_: Any) -> None:
    """Have an episode's return and length come back one by one: RLlib's means are over the last call alone."""
    parts = [*prev_episode_chunks, episode]
    metrics_logger.log_value(RETURNS, float(sum(part.get_return() for part in parts)), reduce="item_series")
    metrics_logger.log_value(LENGTHS, sum(map(len, parts)), reduce="item_series")


def _scheduled(start: float, final: float, schedule: str, total_steps: int) -> float | list[list[float]]:
    """A constant, or RLlib's way to write a line from `start` to `final`."""
    return start if schedule == "constant" else [[0, start], [total_steps, final]]


def agent_weights(algorithm: Algorithm) -> dict[str, np.ndarray]:
    """A copy of the weights that have been learnt, as `rmc_rl.weights.get_weights` gives them.

    APPO's learner may be at work meanwhile: then some are one update newer than others.
    """
    assert algorithm.learner_group is not None
    state = algorithm.learner_group.get_weights()[DEFAULT_MODULE_ID]
    start = f"{AGENT}."
    return {name.removeprefix(start): np.array(value) for name, value in state.items() if name.startswith(start)}
