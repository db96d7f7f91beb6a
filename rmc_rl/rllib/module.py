"""Our agent as an RLModule of RLlib.

    RLlib's batch [B, T, …] ─▶ observation, last action, last reward, first ─▶ agent [T, B, …] ─▶ policy, value, state

Sampling is the same with T = 1. RLlib cuts experience into sequences that lie within one episode, stores the state that
the runner had at the start of each, and pads them with zeros; what the module says of padding is masked by its losses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import (
    TorchCategorical,
    TorchDiagGaussian,
    TorchMultiCategorical,
)
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import (
    TARGET_NETWORK_ACTION_DIST_INPUTS,
    InferenceOnlyAPI,
    TargetNetworkAPI,
    ValueFunctionAPI,
)
from ray.rllib.core.rl_module.torch import TorchRLModule

from rmc_agents import Agent
from rmc_agents.actions import Continuous, Discrete, MultiDiscrete
from rmc_agents.agent import AgentOutput
from rmc_agents.tree import leaves, map_tree
from rmc_rl.building import build_agent
from rmc_rl.config import Config
from rmc_rl.rllib.games import FIRST, LAST_ACTION, LAST_REWARD, OBSERVATION
from rmc_rl.spaces import Interface
from rmc_rl.weights import load_weights

AGENT, TARGET = "agent", "target"
"""Names of the module's parts: the agent, and APPO's older copy of it."""


class AgentModule(TorchRLModule, ValueFunctionAPI, TargetNetworkAPI, InferenceOnlyAPI):
    """The agent of a configuration, over observations of `rmc_rl.rllib.games`.

    Its ``model_config`` holds ``config`` (`Config`), ``interface`` (`Interface`), ``weights`` to begin with (as
    `rmc_rl.weights.get_weights` gives them; None: initial ones, from the seed alone) and ``max_seq_len``, for
    RLlib.
    """

    agent: Agent
    target: Agent

    def setup(self) -> None:
        """Build the agent; RLlib calls this, in every process."""
        given: Any = self.model_config
        config: Config = given["config"]
        found: Interface = given["interface"]
        self.agent = build_agent(config, found, seed=config.seed)
        if given["weights"] is not None:
            load_weights(self.agent, given["weights"])
        actions = self.agent.actions
        if isinstance(actions, Discrete):
            self.action_dist_cls = TorchCategorical
        elif isinstance(actions, MultiDiscrete):
            several: Any = TorchMultiCategorical
            self.action_dist_cls = several.get_partial_dist_cls(input_lens=list(actions.sizes))
        else:
            self.action_dist_cls = TorchDiagGaussian

    def get_initial_state(self) -> dict[str, np.ndarray]:
        """The core's, of one environment without a batch axis: a leaf's number to the leaf."""
        state = leaves(self.agent.initial_state(1))
        return {str(number): leaf[0].cpu().numpy() for number, leaf in enumerate(state)}

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        output, state = _run(self.agent, batch)
        return {Columns.ACTION_DIST_INPUTS: _inputs(self.agent, output), Columns.STATE_OUT: state}

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        output, state = _run(self.agent, batch)
        return {
            Columns.ACTION_DIST_INPUTS: _inputs(self.agent, output),
            Columns.STATE_OUT: state,
            Columns.EMBEDDINGS: output.value.transpose(0, 1),  # which RLlib hands to compute_values
        }

    def compute_values(self, batch: dict[str, Any], embeddings: torch.Tensor | None = None) -> torch.Tensor:
        """Values of every row, [B, T]; `embeddings` are what the forward pass gave as such: these values."""
        if embeddings is not None:
            return embeddings
        return _run(self.agent, batch)[0].value.transpose(0, 1)

    # What APPO asks for

    def make_target_networks(self) -> None:
        """Copy the agent."""
        target: Any = make_target_network(self.agent)
        self.target = target

    def get_target_network_pairs(self) -> list[tuple[torch.nn.Module, torch.nn.Module]]:
        """The agent and its older copy."""
        return [(self.agent, self.target)]

    def forward_target(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The older copy's policy."""
        output, _ = _run(self.target, batch)
        return {TARGET_NETWORK_ACTION_DIST_INPUTS: _inputs(self.target, output)}

    def get_non_inference_attributes(self) -> list[str]:
        """Who acts needs no older copy."""
        return [TARGET]


def _run(agent: Agent, batch: Mapping[str, Any]) -> tuple[AgentOutput, dict[str, torch.Tensor]]:
    """The agent over RLlib's batch [B, T, …]; its output is [T, B, …], the state as `get_initial_state` has it."""
    seen = map_tree(lambda rows: rows.transpose(0, 1), batch[Columns.OBS])  # [T, B, …]
    given = batch[Columns.STATE_IN]
    numbers = iter(range(len(given)))
    state = map_tree(lambda _: given[str(next(numbers))], agent.initial_state(1))
    output, state = agent(seen[OBSERVATION], seen[LAST_ACTION], seen[LAST_REWARD], seen[FIRST].bool(), state)
    return output, {str(number): leaf for number, leaf in enumerate(leaves(state))}


def _inputs(agent: Agent, output: AgentOutput) -> torch.Tensor:
    """What RLlib's distribution is made of, [B, T, P]."""
    policy = output.policy.transpose(0, 1)
    if isinstance(agent.actions, Continuous):
        return torch.cat(agent.actions.mean_and_log_std(policy), dim=-1)
    return policy


class BootstrapCutSequences(ConnectorV2):
    """V-trace's target at the end of a sequence that was cut off takes the value of what came next.

    RLlib appends a row to every sequence for that value, then counts the row as a transition of reward 0 after which
    nothing comes, and its importance-weighted error takes the value away again: every cut looks like an end. Without
    weight the row has no error. Goes before RLlib's own learner connectors.
    """

    NEVER_TAKEN = 1e3
    """As log-probability of the behaviour policy it makes a weight of exp(-1000) = 0."""

    def __call__(self, *, batch: dict[str, Any], episodes: list[Any], **kwargs: Any) -> dict[str, Any]:
        """Change the appended rows; RLlib calls this."""
        for episode in self.single_agent_episode_iterator(episodes, agents_that_stepped_only=False):
            episode.set_extra_model_outputs(
                key=Columns.ACTION_LOGP, new_data=np.float32(self.NEVER_TAKEN), at_indices=-1
            )
        return batch
