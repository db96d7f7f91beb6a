"""What an agent is made of: memory cores, torsos, heads. Knows PyTorch, and numba where it makes the CPU fast.

``Agent`` joins them; ``make_core`` and ``make_torso`` build parts by name; ``RelationalMemory`` is the core this is
all about.
"""

import importlib
import pkgutil

from rmc_agents.actions import Actions, Continuous, Discrete, MultiDiscrete
from rmc_agents.agent import Agent, AgentOutput, squash
from rmc_agents.conv_lstm import ConvLSTMCore
from rmc_agents.core import Core, State
from rmc_agents.dnc import DNCCore
from rmc_agents.gru import GRUCore
from rmc_agents.heads import PolicyHead, ValueHead, entropy, log_prob, mode, sample
from rmc_agents.lstm import LSTMCore
from rmc_agents.lstm_bank import LSTMBankCore
from rmc_agents.observations import Categories, Image, Observation, Vector
from rmc_agents.registry import Registry, core_names, make_core, register_core
from rmc_agents.rmc import RelationalMemory, padded_identity
from rmc_agents.torso import (
    GridTorso,
    ImpalaTorso,
    JoinedTorso,
    MLPTorso,
    OneHotTorso,
    Torso,
    ViewportTorso,
    make_torso,
    register_torso,
    torso_names,
)
from rmc_agents.trace import Trace, attention_maps
from rmc_agents.tree import leaves, map_tree, select

# A core or torso is registered by its file being here: every module is imported.
for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "Actions",
    "Agent",
    "AgentOutput",
    "Categories",
    "Continuous",
    "ConvLSTMCore",
    "Core",
    "DNCCore",
    "Discrete",
    "GRUCore",
    "GridTorso",
    "Image",
    "ImpalaTorso",
    "JoinedTorso",
    "LSTMBankCore",
    "LSTMCore",
    "MLPTorso",
    "MultiDiscrete",
    "Observation",
    "OneHotTorso",
    "PolicyHead",
    "Registry",
    "RelationalMemory",
    "State",
    "Torso",
    "Trace",
    "ValueHead",
    "Vector",
    "ViewportTorso",
    "attention_maps",
    "core_names",
    "entropy",
    "leaves",
    "log_prob",
    "make_core",
    "make_torso",
    "map_tree",
    "mode",
    "padded_identity",
    "register_core",
    "register_torso",
    "sample",
    "select",
    "squash",
    "torso_names",
]
