"""The peer RLlib: its IMPALA on the same game.

``rmc``: our torso, core and heads in an RLModule as its users would write it. The core runs step by step over padded
sequences, as RLlib hands them to it: it cuts sequences at episode ends instead of resetting inside them. ``lstm``: its
default module with an LSTM: two layers of 256 and an LSTM of 256 (its convolutions need larger images). One environment
runner and the learner in the driver: its fastest layout on two cores. Games, rollouts and batch are those of our
default configuration.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import gymnasium
import numpy as np
import ray
import torch
from ray.rllib.algorithms.impala import IMPALAConfig
from ray.rllib.core import ALL_MODULES
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.metrics import LEARNER_RESULTS, NUM_ENV_STEPS_TRAINED_LIFETIME
from ray.tune.registry import register_env

from benchmarks.peer_side import chosen
from rmc_agents import make_core, make_torso
from rmc_agents.heads import PolicyHead, ValueHead
from rmc_agents.observations import observation_from_json, observation_to_json
from rmc_agents.tree import leaves
from rmc_rl.config import Config
from rmc_rl.environment import make_single
from rmc_rl.spaces import Interface

WARM_UP_STEPS = 20_000
SETTINGS: dict[str, dict[str, Any]] = {
    "rmc": {"games": 64, "rollout": 20, "rollouts_per_batch": 1, "wait": 0.05},
    "lstm": {"games": 64, "rollout": 20, "rollouts_per_batch": 1, "wait": 0.05},
}
"""``wait``: seconds it waits for rollouts at a time. RLlib's own 0 asks without pause, on a core the learner needs."""


class RecurrentModule(TorchRLModule, ValueFunctionAPI):
    """Torso, core, policy and value heads; the core's state has one tensor per leaf."""

    observation_space: Any
    action_space: Any

    def setup(self) -> None:
        """Build the network; RLlib calls this."""
        given: Any = self.model_config
        options = dict(given["core"])
        if "fast" in options:
            options["fast"] = False  # the readable reference, step by step
        self.torso = make_torso(given["torso"], observation_from_json(given["observation"]), **given["torso_options"])
        self.core = make_core(options.pop("name"), self.torso.output_size, **options)
        self.policy_head = PolicyHead(self.core.output_size, self.action_space.n)
        self.value_head = ValueHead(self.core.output_size)

    def get_initial_state(self) -> dict[str, np.ndarray]:
        """The state of one environment, without a batch axis."""
        state = leaves(self.core.initial_state(1))
        return {str(number): leaf[0].numpy() for number, leaf in enumerate(state)}

    def _features(self, batch: dict[str, Any]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        observation = batch[Columns.OBS].transpose(0, 1)  # [T, B, …]
        rows = observation.shape[:2]
        features = self.torso(observation.flatten(0, 1)).unflatten(0, rows)
        parts = tuple(batch[Columns.STATE_IN][str(i)] for i in range(len(batch[Columns.STATE_IN])))
        never = torch.zeros(rows, dtype=torch.bool, device=features.device)
        outputs, state = self.core(features, parts[0] if len(parts) == 1 else parts, never)
        return outputs.transpose(0, 1), {str(i): leaf for i, leaf in enumerate(leaves(state))}

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features, state = self._features(batch)
        return {Columns.ACTION_DIST_INPUTS: self.policy_head(features), Columns.STATE_OUT: state}

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features, state = self._features(batch)
        logits = self.policy_head(features)
        return {Columns.ACTION_DIST_INPUTS: logits, Columns.STATE_OUT: state, Columns.EMBEDDINGS: features}

    def compute_values(self, batch: dict[str, Any], embeddings: torch.Tensor | None = None) -> torch.Tensor:
        """Values of every row."""
        if embeddings is None:
            embeddings, _ = self._features(batch)
        return self.value_head(embeddings)


def measure(config: Config, found: Interface, compare: str, settings: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Trained environment steps a second of RLlib's IMPALA; the arguments are those of `benchmarks.peers.measure`."""
    settings = chosen(SETTINGS, {"compare": compare, "settings": settings})

    def make(_: Any) -> gymnasium.Env[Any, Any]:
        env = make_single(config.env)
        return _flat(env) if compare == "lstm" else env

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    register_env("benchmark", make)
    learner = config.learner
    length = settings["rollout"]
    setup = (
        IMPALAConfig()
        .environment("benchmark")
        .env_runners(
            num_env_runners=1,
            num_envs_per_env_runner=settings["games"],
            rollout_fragment_length=length,
        )
        .learners(num_learners=0)
        .training(
            timeout_s_sampler_manager=settings["wait"],
            train_batch_size_per_learner=settings["games"] * length * settings["rollouts_per_batch"],
            lr=learner.learning_rate,
            gamma=learner.discount,
            entropy_coeff=learner.entropy_cost,
            vf_loss_coeff=learner.baseline_cost,
            grad_clip=learner.max_grad_norm,
        )
        .reporting(min_time_s_per_iteration=1)
    )
    if compare == "lstm":
        setup = setup.rl_module(model_config=DefaultModelConfig(use_lstm=True, max_seq_len=length))
    else:
        model_config = {
            "max_seq_len": length,
            "core": dict(config.core),
            "torso": config.agent.torso,
            "torso_options": dict(config.agent.torso_options),
            "observation": observation_to_json(found.observation),
        }
        setup = setup.rl_module(rl_module_spec=RLModuleSpec(module_class=RecurrentModule, model_config=model_config))
    algorithm = setup.build_algo()
    try:
        while _trained(algorithm.train()) < WARM_UP_STEPS:
            pass
        first = last = _trained(algorithm.train())
        started = time.perf_counter()
        while (elapsed := time.perf_counter() - started) < seconds:
            last = _trained(algorithm.train())
    finally:
        algorithm.stop()
        ray.shutdown()
    return {"version": ray.__version__, "steps_per_second": round((last - first) / elapsed), "settings": settings}


def _flat(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """The environment with its observations as vectors of numbers in [0, 1]."""
    flat: gymnasium.Env[Any, Any] = gymnasium.wrappers.FlattenObservation(env)
    space = flat.observation_space
    assert isinstance(space, gymnasium.spaces.Box)
    scale = 255 if space.dtype == np.uint8 else 1
    numbers = gymnasium.spaces.Box(space.low / scale, space.high / scale, dtype=np.float32)
    return gymnasium.wrappers.TransformObservation(flat, lambda row: (row / scale).astype(np.float32), numbers)


def _trained(result: dict[str, Any]) -> int:
    """Environment steps learnt from since the start."""
    learnt = result.get(LEARNER_RESULTS, {}).get(ALL_MODULES, {})  # absent before the first update
    return int(learnt.get(NUM_ENV_STEPS_TRAINED_LIFETIME, 0))
