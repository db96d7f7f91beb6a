"""The actor: games and a copy of the agent, turned into rollouts.

On the CPU a rollout is arrays, in which the games' rows are written and the agent reads them. On a GPU it is tensors::

    games ── observation, reset, last action, last reward ──▶ pinned memory ──▶ row t of the rollout ──▶ agent
      ▲                                                                                                     │
      └───────────────────────────────── pinned memory ◀── actions ◀────────────────────────────────────────┘

Each observation is copied once, and the actions are all that the host waits for. Where there are several groups of
games it need not even wait: while it steps one of them the device acts for the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from rmc_agents.agent import Agent
from rmc_agents.core import State
from rmc_agents.fast.recorded import Record, cuda_graph
from rmc_agents.tree import leaves, map_tree
from rmc_rl.errors import UserError
from rmc_rl.impala.acting import Acting, Row
from rmc_rl.impala.games import Games, require_alike
from rmc_rl.impala.rollout import Rollout
from rmc_rl.weights import load_weights


class _Rows(NamedTuple):
    """What an unroll records of each row [T+1, B, …] and of each step [T, B], as in `Rollout`."""

    observation: Any
    last_action: Any
    last_reward: Any
    reset: Any
    action: Any
    log_prob: Any
    reward: Any
    terminated: Any


class Actor:
    """Plays B games side by side and records T steps of each per call of `unroll`.

    Args:
        env: a vector environment with next-step autoreset in the agent's language (`rmc_rl.environment`), or several:
            groups that are played in turn.
        agent: acts as it is now; `load_weights` brings newer weights.
        unroll_length: T.
        seed: of the games (game i of them all gets seed + i) and of the sampled actions.
        record: how acting is recorded (`Acting`) for rollouts that are tensors of their own beside what the games
            write; None: as CUDA graphs on a GPU, elsewhere rollouts are arrays and nothing is recorded.
    """

    def __init__(
        self,
        env: VectorEnv | Sequence[VectorEnv],
        agent: Agent,
        unroll_length: int,
        seed: int,
        record: Record | None = None,
    ) -> None:
        self.agent = agent
        self.unroll_length = unroll_length
        self.weights_version = 0
        self.device = next(agent.parameters()).device
        self.generator = torch.Generator(self.device).manual_seed(seed)
        if record is None and self.device.type == "cuda":
            record = cuda_graph
        self._groups: list[_Group] = []
        self._num_games = 0
        for each in [env] if isinstance(env, VectorEnv) else env:
            games = Games(each, seed + self._num_games)
            own = slice(self._num_games, self._num_games + each.num_envs)
            self._groups.append(_Group(games, own, Acting(agent, self.generator, record)))
            self._num_games = own.stop
        # Where the games write, if that is not the rollout itself.
        self._staging = None if record is None else self._new_rows("cpu", pin_memory=self.device.type == "cuda")

    @property
    def env_seconds(self) -> float:
        """Time that the games' steps have taken."""
        return sum(group.games.env_seconds for group in self._groups)

    def load_weights(self, weights: Mapping[str, np.ndarray], version: int) -> None:
        """Act with these weights from the next unroll on."""
        load_weights(self.agent, weights)
        self.weights_version = version

    def unroll(self) -> Rollout:
        """Play T steps of every game.

        Raises:
            UserError: the environment keeps raising; the message names its error.
        """
        rows = self._new_rows(self.device)  # not in inference mode, whose tensors autograd refuses
        core_state = self._joined_core_state()
        self._play(rows)
        records = [group.games.take_record() for group in self._groups]
        if self._staging is None:
            rows, core_state = map_tree(Tensor.numpy, (rows, core_state))
        return Rollout(
            observation=rows.observation,
            reset=rows.reset,
            last_action=rows.last_action,
            last_reward=rows.last_reward,
            action=rows.action,
            reward=rows.reward,
            terminated=rows.terminated,
            behaviour_log_prob=rows.log_prob,
            core_state=core_state,
            weights_version=self.weights_version,
            episode_return=np.asarray([each for returns, _, _ in records for each in returns], np.float64),
            episode_length=np.asarray([each for _, lengths, _ in records for each in lengths], np.int64),
            env_failures=sum(failures for _, _, failures in records),
        )

    @torch.inference_mode()
    def _play(self, rows: _Rows) -> None:
        """Fill the rows of an unroll."""
        for group in self._groups:
            group.begin(rows, self._staging)
            group.act(group.show_row())
        for t in range(1, self.unroll_length + 1):
            for group in self._groups:
                group.step()
                row = group.show_row()
                if t < self.unroll_length:  # the last row is the first of the next unroll, which acts
                    group.act(row)
        if self._staging is not None:
            rows.reward.copy_(self._staging.reward, non_blocking=True)
            rows.terminated.copy_(self._staging.terminated, non_blocking=True)

    def _new_rows(self, device: torch.device | str, pin_memory: bool = False) -> _Rows:
        def new(rows: int, dtype: torch.dtype, *shape: int) -> Tensor:
            return torch.empty(rows, self._num_games, *shape, dtype=dtype, device=device, pin_memory=pin_memory)

        def like(array: np.ndarray) -> Tensor:
            return new(steps + 1, torch.from_numpy(np.empty(0, array.dtype)).dtype, *array.shape[1:])

        steps, actions = self.unroll_length, self.agent.actions
        return _Rows(
            observation=map_tree(like, self._groups[0].games.observation),
            last_action=new(steps + 1, actions.dtype, *actions.shape),
            last_reward=new(steps + 1, torch.float32),
            reset=new(steps + 1, torch.bool),
            action=new(steps, actions.dtype, *actions.shape),
            log_prob=new(steps, torch.float32),
            reward=new(steps, torch.float32),
            terminated=new(steps, torch.bool),
        )

    def _joined_core_state(self) -> State:
        """A copy of the memory of all games, [B, …]."""
        return map_tree(lambda *parts: torch.cat(parts), *(group.core_state for group in self._groups))

    def get_state(self) -> dict[str, Any]:
        """Everything that makes the next unroll what it is, except the weights: a tree of arrays.

        Environments with ``get_state`` are part of it; without, their episodes start anew after `set_state`. It does
        not tell how the games are grouped: of several groups each array of an environment's state must count games.
        """
        states = [group.games.get_state() for group in self._groups]
        if len(states) == 1:
            joined = states[0]
        else:
            countable = all(
                _counts_games(state["env"], group.games.env.num_envs)
                for state, group in zip(states, self._groups, strict=True)
            )
            parts = [state if countable else state | {"env": {}} for state in states]
            joined = map_tree(lambda *arrays: np.concatenate(arrays), *parts)
        return joined | {
            "core_state": map_tree(lambda x: x.cpu().numpy(), self._joined_core_state()),
            "generator": self.generator.get_state().numpy(),
        }

    def set_state(self, state: Mapping[str, Any]) -> bool:
        """Go on from a state of `get_state`.

        Returns:
            False where that cannot be done (the environment cannot be restored, or the state is of another number of
            games or another device): then nothing has changed, and the new episodes go on.

        Raises:
            UserError: the state is damaged.
        """
        generator = state.get("generator")
        same_device = generator is not None and generator.shape == self.generator.get_state().shape
        same_batch = len(state.get("reset", ())) == self._num_games
        restorable = all(group.games.can_be_restored for group in self._groups) and bool(state.get("env"))
        if restorable and len(self._groups) > 1:
            restorable = _counts_games(state["env"], self._num_games)
        if not (restorable and same_device and same_batch):
            return False
        try:
            core_state = self._joined_core_state()
            map_tree(require_alike, map_tree(lambda x: x.cpu().numpy(), core_state), state["core_state"])
            of_games = {name: value for name, value in state.items() if name not in ("core_state", "generator")}
            for group in self._groups:
                own = group.own
                # The whole as it is: an environment's own state may be any tree.
                part = of_games if len(self._groups) == 1 else map_tree(lambda x, own=own: x[own], of_games)
                group.games.set_state(part)
                group.core_state = map_tree(
                    lambda x, own=own: torch.from_numpy(x[own].copy()).to(self.device), state["core_state"]
                )
            self.generator.set_state(torch.from_numpy(state["generator"].copy()))
        except (IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"the checkpoint's record of the games is damaged: {error}") from error
        return True


class _Group:
    """Games that take their steps together.

    Args:
        games: in play.
        own: their place among the games of the actor.
        acting: chooses their actions.
    """

    def __init__(self, games: Games, own: slice, acting: Acting) -> None:
        self.games = games
        self.own = own
        self.core_state = acting.agent.initial_state(games.env.num_envs)
        self._acting = acting
        on_gpu = next(acting.agent.parameters()).device.type == "cuda"
        self._acted = torch.cuda.Event() if on_gpu else None

    def begin(self, rows: _Rows, staging: _Rows | None) -> None:
        """An unroll begins: it is recorded in ``rows``, by way of ``staging`` where the games cannot write there."""
        self._t = 0
        # As arrays: where the games write and find their actions.
        self._host: _Rows = map_tree(lambda x: x.numpy()[:, self.own], rows if staging is None else staging)
        # Row by row, [1, B, …]: all views are made at once, which takes less time than to index.
        self._seen, self._chosen = self._rows_seen(rows), self._rows_of(rows.action, rows.log_prob)
        self._staged_seen = self._staged_action = None
        if staging is not None:
            self._staged_seen, self._staged_action = self._rows_seen(staging), self._rows_of(staging.action)

    def _rows_of(self, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
        return zip(*(x[:, self.own].unsqueeze(1).unbind(0) for x in tensors), strict=True)

    def _rows_seen(self, rows: _Rows) -> Iterator[Row]:
        observation = map_tree(self._rows_of, rows.observation)
        for others in self._rows_of(rows.last_action, rows.last_reward, rows.reset):
            yield map_tree(lambda x: next(x)[0], observation), *others

    def show_row(self) -> Row:
        """Record the current row; returns it as the agent sees it."""
        host, games, t = self._host, self.games, self._t
        map_tree(lambda rows, x: np.copyto(rows[t], x), host.observation, games.observation)
        host.reset[t], host.last_action[t], host.last_reward[t] = games.reset, games.last_action, games.last_reward
        row = next(self._seen)
        if self._staged_seen is not None:
            map_tree(lambda own, x: own.copy_(x, non_blocking=True), row, next(self._staged_seen))
        return row

    def act(self, row: Row) -> None:
        """Have the device choose and record actions for the row that was shown; on a GPU it need not be done yet."""
        action, log_prob, self.core_state = self._acting(row, self.core_state)
        own_action, own_log_prob = next(self._chosen)
        own_action.copy_(action)
        own_log_prob.copy_(log_prob)
        if self._staged_action is not None:
            next(self._staged_action)[0].copy_(own_action, non_blocking=True)
        if self._acted is not None:
            self._acted.record()

    def step(self) -> None:
        """Play the actions chosen, once the device has."""
        if self._acted is not None:
            self._acted.synchronize()
        self.games.step(self._host.action[self._t])
        self._host.reward[self._t], self._host.terminated[self._t] = self.games.reward, self.games.terminated
        self._t += 1


def _counts_games(state: Any, count: int) -> bool:
    """Whether the first axis of every array of an environment's state is that of its games."""
    return all(np.ndim(leaf) > 0 and len(leaf) == count for leaf in leaves(state))
