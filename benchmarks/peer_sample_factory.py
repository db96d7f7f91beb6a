"""The peer Sample Factory: its asynchronous PPO with batched sampling on the same game.

``rmc``: our torso as encoder and our core in the place of its recurrent core, which learns from packed sequences: the
parts of episodes, the longest first, each begun with zeros where an episode begins. ``lstm``: its own encoder for
vectors and its own core, with two layers of 256 and an LSTM of 256: half of its defaults' widths, the sizes that RLlib
has (its convolutions need larger images). The games are one environment of many agents around our native batch.

What was tried. Trained steps per second of CPU time, on two cores that others used, too (the order counts)::

    rmc    128 games x 20 steps               8,400     lstm   128 games x 20 steps               10,500
           256 x 20                           8,800            256 x 20                           11,900
           256 x 20, one group                8,800            256 x 32                            7,600
           256 x 20, one process             10,500            512 x 10                           13,900
           512 x 10                          11,200            512 x 20                            9,500
           512 x 20                          10,100            512 x 20, one process               8,000
           1024 x 10                         10,800

One process plays, one acts, one learns; two groups of games, so that one is played while the policy acts for the other.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import torch
from sample_factory.algo.runners.runner import AlgoObserver, Runner
from sample_factory.algo.utils.context import global_model_factory
from sample_factory.cfg.arguments import parse_full_cfg, parse_sf_args
from sample_factory.envs.env_utils import register_env
from sample_factory.model.core import ModelCore
from sample_factory.model.encoder import Encoder
from sample_factory.train import make_runner
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from benchmarks.peer_side import Answer, PlainCore, Request, chosen, serve
from rmc_agents import make_torso
from rmc_agents.observations import observation_from_json
from rmc_agents.tree import map_tree

SETTINGS: dict[str, dict[str, Any]] = {
    "rmc": {"workers": 1, "groups": 2, "games": 512, "rollout": 10, "rollouts_per_batch": 1, "serial": False},
    "lstm": {"workers": 1, "groups": 2, "games": 512, "rollout": 10, "rollouts_per_batch": 1, "serial": False},
}
"""``groups``: batches of ``games`` that each worker plays in turns; ``serial``: everything in one process."""
WIDTH = 256


def _attribute_of_wrapped(wrapper: Any, name: str) -> Any:
    """What an older Gymnasium's wrappers did with an attribute not their own; Sample Factory relies on it."""
    if name == "env" or name.startswith("_"):
        raise AttributeError(name)
    return getattr(wrapper.env, name)


# At import: Sample Factory's processes import this module, too.
setattr(gymnasium.Wrapper, "__getattr__", _attribute_of_wrapped)  # noqa: B010


class Games(gymnasium.Env[np.ndarray, np.ndarray]):
    """The native batch of games as one environment of many agents."""

    is_multiagent = True
    observation_space: Any
    action_space: Any

    def __init__(self, env: dict[str, Any], num_games: int, flat: bool) -> None:
        self.games = gymnasium.make_vec(env["id"], num_envs=num_games, autoreset_mode="SameStep", **env["kwargs"])
        self.num_agents = num_games
        space: Any = self.games.single_observation_space
        self.observation_space = gymnasium.spaces.flatten_space(space) if flat else space
        self.action_space = self.games.single_action_space
        self.shape = (num_games, *self.observation_space.shape)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode in every game."""
        return self.games.reset(seed=seed)[0].reshape(self.shape), {}

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        """Play one action of every game."""
        observation, reward, terminated, truncated, _ = self.games.step(actions)
        return observation.reshape(self.shape), reward.astype(np.float32), terminated, truncated, {}

    def close(self) -> None:
        """End the games."""
        self.games.close()


class Torso(Encoder):
    """Our torso; bytes come scaled to [0, 1]."""

    def __init__(self, cfg: Any, obs_space: Any, *, request: Request) -> None:
        super().__init__(cfg)
        observation = observation_from_json(request["observation"])
        self.torso = make_torso(request["torso"], observation, **request["torso_options"])

    def get_out_size(self) -> int:
        """Number of features."""
        return self.torso.output_size

    def forward(self, observation: dict[str, Tensor]) -> Tensor:
        """``[N, …]`` to the features."""
        return self.torso(observation["obs"])


class RecurrentCore(ModelCore):
    """Our core."""

    def __init__(self, cfg: Any, input_size: int, *, request: Request) -> None:
        super().__init__(cfg)
        self.plain = PlainCore(request["core"], input_size)
        self.core_output_size = self.plain.output_size

    def forward(self, features: Tensor | PackedSequence, state: Tensor) -> tuple[Tensor | PackedSequence, Tensor]:
        """A step of acting, ``[B, features]``, or sequences to learn from; their last states are not asked for."""
        if isinstance(features, Tensor):
            outputs, state = self.plain(features.unsqueeze(0), state)
            return outputs[0], state
        assert features.sorted_indices is not None
        core = self.plain.core
        projected = core.project(features.data.unsqueeze(0))  # [1, all rows, …]
        memory = self.plain.memory(state.index_select(0, features.sorted_indices))
        rows: list[Tensor] = []
        start = 0
        for running in features.batch_sizes.tolist():  # sequences that are not over yet: the first so many
            here = slice(start, start + running)
            row, memory = core.step(
                map_tree(lambda leaf, here=here: leaf[0, here], projected),
                map_tree(lambda leaf, running=running: leaf[:running], memory),
            )
            rows.append(row)
            start += running
        return PackedSequence(torch.cat(rows), *features[1:]), state


class Clock(AlgoObserver):
    """Notes when which number of steps had been learnt from, and ends the run in time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.notes: list[tuple[float, int]] = []

    def on_training_step(self, runner: Runner, training_iteration_since_resume: int) -> None:
        """Called after each batch."""
        self.notes.append((time.perf_counter(), runner.env_steps.get(0, 0)))
        if self.notes[-1][0] - self.notes[0][0] >= self.seconds:
            runner.cfg.train_for_env_steps = 0


def _games(name: str, cfg: Any, env_config: Any, render_mode: Any = None, *, request: Request, num_games: int) -> Games:
    return Games(request["env"], num_games, flat=request["compare"] == "lstm")


def measure(request: Request) -> Answer:
    """Trained environment steps a second."""
    settings = chosen(SETTINGS, request)
    register_env("games", partial(_games, request=request, num_games=settings["games"]))
    words: dict[str, Any] = {"env": "games", "experiment": "benchmark", "train_dir": ".", "device": "cpu"}
    words |= {"save_every_sec": 10**6, "save_best_every_sec": 10**6, "log_to_file": False}
    words |= {"batched_sampling": True, "serial_mode": settings["serial"], "async_rl": not settings["serial"]}
    words |= {"num_workers": settings["workers"], "set_workers_cpu_affinity": False}
    words |= {"num_envs_per_worker": settings["groups"], "worker_num_splits": settings["groups"]}
    words |= {"rollout": settings["rollout"], "num_epochs": 1, "num_batches_per_epoch": 1}
    words |= {"batch_size": settings["games"] * settings["rollout"] * settings["rollouts_per_batch"]}
    # Bytes are only scaled: running means of every cell would cost time.
    words |= {"normalize_input": False, "obs_scale": 255.0}
    if request["compare"] == "lstm":
        words |= {"rnn_type": "lstm", "rnn_size": WIDTH}
    else:
        factory = global_model_factory()
        factory.register_encoder_factory(partial(Torso, request=request))
        factory.register_model_core_factory(partial(RecurrentCore, request=request))
        # Of a GRU's state it keeps one row of rnn_size numbers.
        words |= {"rnn_type": "gru", "rnn_size": PlainCore(request["core"], 1).state_size}
    arguments = [f"--{name}={value}" for name, value in words.items()]
    arguments += ["--encoder_mlp_layers", str(WIDTH), str(WIDTH)]
    parser, _ = parse_sf_args(arguments)
    _, runner = make_runner(parse_full_cfg(parser, arguments))
    clock = Clock(request["warm_up"] + request["seconds"])
    runner.register_observer(clock)
    runner.init()
    runner.run()
    (began, before) = next(note for note in clock.notes if note[0] - clock.notes[0][0] >= request["warm_up"])
    (ended, after) = clock.notes[-1]
    return {"steps_per_second": round((after - before) / (ended - began)), "settings": settings}


if __name__ == "__main__":
    serve(measure)
