"""The peer PufferLib 3.0.0, its newest release: its PPO on the same game.

``rmc``: our torso, core and heads as a policy of its users' own kind. PufferLib carries a recurrent state in ``lstm_h``
and begins every segment that it learns from with zeros. ``lstm``: its default policy in its LSTM wrapper, 128 units.
The games are its own kind of environment around our native batch, its fastest way: no process in between.

What was tried. Trained steps per second of CPU time, on two cores that others used, too (the order counts)::

    rmc    512 games x 20 steps    8,000        lstm   512 games x 64 steps   63,500
           1024 x 20               9,600               1024 x 16              68,600
           1024 x 10               9,100               2048 x 16              72,700
           2048 x 10               8,200               4096 x 16              66,500

All with two threads and one minibatch. Processes that play (``workers``) only took time: the games need next to none,
and such a process keeps its core busy while it waits. The release's own games are left out of the installation: they
need a graphics library from elsewhere (2.0.6 cannot be built without it).
"""

from __future__ import annotations

import time
from typing import Any

import gymnasium
import numpy as np
import pufferlib
import pufferlib.models
import pufferlib.vector
import torch
from pufferlib import pufferl
from torch import Tensor, nn

from benchmarks.peer_side import Answer, PlainCore, Request, chosen, serve
from rmc_agents import make_torso
from rmc_agents.heads import PolicyHead, ValueHead
from rmc_agents.observations import observation_from_json

SETTINGS: dict[str, dict[str, Any]] = {
    "rmc": {"games": 1024, "horizon": 20, "minibatches": 1, "threads": 2, "workers": 0},
    "lstm": {"games": 2048, "horizon": 16, "minibatches": 1, "threads": 2, "workers": 0},
}
"""``workers``: processes that play; 0: the games are played in the process that acts and learns."""


class Games(pufferlib.PufferEnv):
    """The native batch of games as PufferLib's own kind of environment, which fills PufferLib's arrays."""

    def __init__(self, env: dict[str, Any], num_games: int, buf: Any = None, seed: int = 0) -> None:
        self.games = gymnasium.make_vec(
            env["id"], num_envs=num_games, copy=False, autoreset_mode="SameStep", **env["kwargs"]
        )
        self.single_observation_space = self.games.single_observation_space
        self.single_action_space = self.games.single_action_space
        self.num_agents = self.agents_per_batch = num_games
        super().__init__(buf)

    def reset(self, seed: int | None = None) -> tuple[np.ndarray, list[Any]]:
        """Begin an episode in every game."""
        self.observations[:], _ = self.games.reset(seed=seed)
        return self.observations, []

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        """Play one action of every game."""
        self.observations[:], self.rewards[:], self.terminals[:], self.truncations[:], _ = self.games.step(actions)
        return self.observations, self.rewards, self.terminals, self.truncations, []

    def close(self) -> None:
        """End the games."""
        self.games.close()


class RecurrentPolicy(nn.Module):
    """Torso, core, policy and value heads."""

    def __init__(self, env: Any, request: Request) -> None:
        super().__init__()
        observation = observation_from_json(request["observation"])
        self.torso = make_torso(request["torso"], observation, **request["torso_options"])
        self.core = PlainCore(request["core"], self.torso.output_size)
        self.policy_head = PolicyHead(self.core.output_size, int(env.single_action_space.n))
        self.value_head = ValueHead(self.core.output_size)
        self.hidden_size = self.core.state_size

    def forward_eval(self, observations: Tensor, state: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """A step of acting: ``[B, …]`` to logits ``[B, A]`` and values ``[B]``."""
        outputs, state["lstm_h"] = self.core(self.torso(observations).unsqueeze(0), state["lstm_h"])
        return self.policy_head(outputs[0]), self.value_head(outputs[0])

    def forward(self, observations: Tensor, state: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Segments to learn from: ``[B, T, …]`` to logits ``[B * T, A]`` and values ``[B, T]``."""
        rows = observations.shape[:2]
        features = self.torso(observations.flatten(0, 1)).unflatten(0, rows)
        outputs, _ = self.core(features.transpose(0, 1), torch.zeros(rows[0], self.hidden_size))
        outputs = outputs.transpose(0, 1)
        return self.policy_head(outputs.flatten(0, 1)), self.value_head(outputs)


def measure(request: Request) -> Answer:
    """Trained environment steps a second."""
    settings = chosen(SETTINGS, request)
    torch.set_num_threads(settings["threads"])
    workers = settings["workers"]
    env_options = {"env": request["env"], "num_games": settings["games"] // max(1, workers)}
    vectorisation: dict[str, Any] = {}
    if workers:
        # The processes are served half by half: one half plays while the policy acts for the other.
        vectorisation = {"backend": pufferlib.vector.Multiprocessing, "overwork": True}
        vectorisation |= {"num_envs": workers, "num_workers": workers, "batch_size": max(1, workers // 2)}
    env = pufferlib.vector.make(Games, env_kwargs=env_options, **vectorisation)
    policy: nn.Module
    if request["compare"] == "lstm":
        policy = pufferlib.models.LSTMWrapper(env, pufferlib.models.Default(env))
    else:
        policy = RecurrentPolicy(env, request)
    batch = settings["games"] * settings["horizon"]
    never = 10**12
    config: dict[str, Any] = {"env": request["env"]["id"], "seed": 0, "device": "cpu", "precision": "float32"}
    config |= {"torch_deterministic": False, "cpu_offload": False, "compile": False, "use_rnn": True}
    config |= {"total_timesteps": never, "checkpoint_interval": never, "data_dir": ".", "update_epochs": 1}
    config |= {"batch_size": batch, "bptt_horizon": settings["horizon"]}
    config |= {"minibatch_size": batch // settings["minibatches"], "max_minibatch_size": batch}
    # PufferLib's defaults, but for Adam instead of an optimiser from another package.
    config |= {"optimizer": "adam", "anneal_lr": False, "learning_rate": 6e-4, "max_grad_norm": 1.5}
    config |= {"adam_beta1": 0.95, "adam_beta2": 0.999, "adam_eps": 1e-12, "gamma": 0.995, "gae_lambda": 0.9}
    config |= {"clip_coef": 0.2, "vf_coef": 2.0, "vf_clip_coef": 0.2, "ent_coef": 0.001}
    config |= {"vtrace_rho_clip": 1.0, "vtrace_c_clip": 1.0, "prio_alpha": 0.8, "prio_beta0": 0.2}
    pufferl.ADVANTAGE_CUDA = False  # it takes a CUDA compiler on the machine for a GPU
    trainer = pufferl.PuffeRL(config, env, policy)
    trainer.print_dashboard = lambda *_, **__: None  # nobody watches
    try:
        _train(trainer, request["warm_up"])
        updates, elapsed = _train(trainer, request["seconds"])
    finally:
        trainer.utilization.stop()
        env.close()
    return {"steps_per_second": round(updates * batch / elapsed), "settings": settings}


def _train(trainer: Any, seconds: float) -> tuple[int, float]:
    """Play and learn for so long: the number of updates and the seconds they took."""
    updates, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        trainer.evaluate()
        trainer.train()
        updates += 1
    return updates, elapsed


if __name__ == "__main__":
    serve(measure)
