"""The peer Stable-Baselines3 contrib: its RecurrentPPO, with one epoch, on the same game.

``rmc``: our torso as features extractor and our core in the place of its LSTM, whose states it sets to zeros where
episodes begin; it learns from whole episodes' parts, padded to one length. ``lstm``: its MlpLstmPolicy, 256 units
(its CnnLstmPolicy needs larger images). In both, policy and value share the recurrent core, as in ours: half the work
of its default, two of them. The games are its own kind of vector environment around our native batch.

What was tried. Trained steps per second of CPU time, on two cores that others used, too (the order counts)::

    rmc    256 games x 10 steps               5,300     lstm   128 games x 20 steps               18,000
           256 x 20                           5,700            256 x 20                           22,400
           256 x 20, one thread               8,100            256 x 20, one thread               23,300
           512 x 10                           7,300            256 x 20, 4 minibatches            18,900
           512 x 20                           5,500            256 x 64                           19,100
           512 x 20, 2 minibatches            4,800            512 x 20                           15,600
                                                               1024 x 16, 4 minibatches           19,600

One thread does more per core but leaves the other core idle: everything happens in one process.
"""

from __future__ import annotations

import time
from typing import Any

import gymnasium
import numpy as np
import torch
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from benchmarks.peer_side import Answer, PlainCore, Request, chosen, serve
from rmc_agents import make_torso
from rmc_agents.observations import Image, observation_from_json

SETTINGS: dict[str, dict[str, Any]] = {
    "rmc": {"games": 256, "horizon": 20, "minibatches": 1, "threads": 2},
    "lstm": {"games": 256, "horizon": 20, "minibatches": 1, "threads": 2},
}
ONE_CORE = {"shared_lstm": True, "enable_critic_lstm": False}


class Games(VecEnv):
    """The native batch of games as Stable-Baselines3's kind of vector environment."""

    def __init__(self, env: dict[str, Any], num_games: int) -> None:
        self.games = gymnasium.make_vec(env["id"], num_envs=num_games, autoreset_mode="SameStep", **env["kwargs"])
        super().__init__(num_games, self.games.single_observation_space, self.games.single_action_space)

    def reset(self) -> np.ndarray:
        """Begin an episode in every game."""
        return self.games.reset(seed=0)[0]

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions that `step_wait` plays."""
        self.actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Play one action of every game."""
        observation, reward, terminated, truncated, found = self.games.step(self.actions)
        ended = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for game in np.flatnonzero(ended):
            infos[game]["terminal_observation"] = found["final_obs"][game]
            infos[game]["TimeLimit.truncated"] = bool(truncated[game] and not terminated[game])
        return observation, reward, ended, infos

    def close(self) -> None:
        """End the games."""
        self.games.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The same of every game."""
        return [getattr(self.games, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """The games have nothing to set."""
        raise AttributeError(attr_name)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """The games have nothing to call."""
        raise AttributeError(method_name)

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """They are not."""
        return [False] * self.num_envs


class Torso(BaseFeaturesExtractor):
    """Our torso. An image comes with its channels in front and scaled to [0, 1]."""

    def __init__(self, observation_space: gymnasium.spaces.Box, request: Request) -> None:
        observation = observation_from_json(request["observation"])
        self.is_image = isinstance(observation, Image)
        torso = make_torso(request["torso"], observation, **request["torso_options"])
        super().__init__(observation_space, torso.output_size)
        self.torso = torso

    def forward(self, observation: Tensor) -> Tensor:
        """``[N, C, H, W]`` to the features."""
        return self.torso(observation.permute(0, 2, 3, 1) if self.is_image else observation)


class CoreAsLSTM(nn.Module):
    """What the policy needs of a ``torch.nn.LSTM``: h is the core's state, c is passed on."""

    num_layers = 1

    def __init__(self, core: PlainCore) -> None:
        super().__init__()
        self.core = core
        self.input_size = core.input_size
        self.hidden_size = core.state_size

    def forward(self, features: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """``[T, B, input_size]`` and two ``[1, B, hidden_size]``."""
        outputs, hidden = self.core(features, state[0][0])
        return outputs, (hidden.unsqueeze(0), state[1])


class RecurrentPolicy(RecurrentActorCriticPolicy):
    """Torso, core, policy and value heads."""

    def __init__(self, observation_space: Any, action_space: Any, lr_schedule: Any, request: Request, **options: Any):
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=[],
            features_extractor_class=Torso,
            features_extractor_kwargs={"request": request},
            lstm_hidden_size=PlainCore(request["core"], 1).output_size,  # what the heads read
            **ONE_CORE,
            **options,
        )
        self.lstm_actor = CoreAsLSTM(PlainCore(request["core"], self.features_dim))
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)


class Clock(BaseCallback):
    """Notes when which number of steps had been learnt from, and ends the run in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.notes: list[tuple[float, int]] = []

    def _on_rollout_start(self) -> None:
        self.notes.append((time.perf_counter(), self.num_timesteps))

    def _on_step(self) -> bool:
        return self.notes[-1][0] - self.notes[0][0] < self.seconds


def measure(request: Request) -> Answer:
    """Trained environment steps a second."""
    settings = chosen(SETTINGS, request)
    torch.set_num_threads(settings["threads"])
    own = request["compare"] == "lstm"
    algorithm = RecurrentPPO(
        "MlpLstmPolicy" if own else RecurrentPolicy,
        Games(request["env"], settings["games"]),
        n_steps=settings["horizon"],
        batch_size=settings["games"] * settings["horizon"] // settings["minibatches"],
        n_epochs=1,
        policy_kwargs=ONE_CORE if own else {"request": request},
        device="cpu",
        seed=0,
    )
    clock = Clock(request["warm_up"] + request["seconds"])
    algorithm.learn(10**12, callback=clock)
    (began, before) = next(note for note in clock.notes if note[0] - clock.notes[0][0] >= request["warm_up"])
    (ended, after) = clock.notes[-1]
    return {"steps_per_second": round((after - before) / (ended - began)), "settings": settings}


if __name__ == "__main__":
    serve(measure)
