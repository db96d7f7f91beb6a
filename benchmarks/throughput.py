"""How many steps a second the actor-learner trains, where the time goes, and how a peer does beside it.

    python -m benchmarks.throughput [--seconds 20] [--peer rllib|sample-factory|pufferlib|sb3] [--compare rmc|lstm]
                                    [--peer-settings '{"games": 256}'] [key=value …]

In one run, one after the other: the games alone, acting alone and learning alone (one thread each), the whole run end
to end with the default engine, the CPU time that everything outside core, torso and heads costs per trained step (that
of a run with the smallest agent there is, less what that agent takes by itself), and, where asked for, a peer on the
same game (`benchmarks.peers`), all on the processor and with the best settings known for two cores: ``--compare rmc``
with our torso and core in both, in the peer step by step; ``--compare lstm`` our LSTM against the peer's own recurrent
policy of the same sizes. A step counts once, when it was learnt from. Words of the form key=value change the
configuration of every part. The last line is one JSON object; ``ratio`` is ours over the peer's, end to end.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import torch

from benchmarks import peers
from rmc_agents.tree import map_tree
from rmc_rl.building import build_agent, prepare_process
from rmc_rl.config import Config, make_config
from rmc_rl.engines import make_engine
from rmc_rl.environment import Interface, interface, make_vector
from rmc_rl.errors import reports_user_errors
from rmc_rl.impala.actor import Actor
from rmc_rl.impala.learner import Learner

WARM_UP_UPDATES = 10
NEXT_TO_NOTHING = (
    *("core=lstm", "core.hidden_size=1", "agent.torso=mlp", "+agent.torso_options.hidden_sizes=[1]"),
    *("agent.use_last_action=false", "agent.use_last_reward=false"),
)
"""The smallest agent there is."""
OUR_SETTINGS: dict[str, tuple[str, ...]] = {
    "rmc": ("device=cpu", "actor.num_envs=512"),
    "lstm": ("device=cpu", "core=lstm", "actor.num_envs=1024"),
}
"""What ours runs with beside a peer: the best settings known for two cores; words on the command line come after."""


def rate(work: Callable[[], int], seconds: float) -> float:
    """Steps a second of `work`, which returns the steps of one call; the first call only warms up."""
    work()
    steps, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        steps += work()
    return steps / elapsed


def parts_alone(config: Config, found: Interface, seconds: float) -> dict[str, float]:
    """Games, acting and learning, each alone on one thread."""
    prepare_process(1)
    env = make_vector(config.env, config.actor.num_envs)
    rng = np.random.default_rng(0)
    actions = rng.integers(0, found.num_actions, (config.actor.unroll_length, env.num_envs))
    env.reset(seed=0)

    def play() -> int:
        for row in actions:
            env.step(row)
        return actions.size

    games = rate(play, seconds)
    actor = Actor(env, build_agent(config, found, seed=0), config.actor.unroll_length, seed=0)
    acting = rate(lambda: int(actor.unroll().valid.sum()), seconds)
    learner = Learner(build_agent(config, found, seed=0), config.learner, 10**12, "cpu")
    rollouts = [actor.unroll() for _ in range(config.learner.rollouts_per_batch)]
    learning = rate(lambda: int(learner.update(rollouts)["batch_steps"]), seconds)
    env.close()
    return {"games": games, "acting": acting, "learning": learning}


def agent_alone(config: Config, found: Interface, seconds: float) -> float:
    """Microseconds of CPU that the agent itself takes of each trained step: once acting, once learning."""
    prepare_process(1)
    agent = build_agent(config, found, seed=0)
    env = make_vector(config.env, config.actor.num_envs)
    rollout = Actor(env, agent, config.actor.unroll_length, seed=0).unroll()
    env.close()
    names = ("observation", "last_action", "last_reward", "reset")
    rows = [torch.from_numpy(getattr(rollout, name)) for name in names]
    state = map_tree(torch.from_numpy, rollout.core_state)
    steps = rollout.action.size

    def act() -> int:
        with torch.inference_mode():
            for t in range(config.actor.unroll_length):
                agent(*(row[t : t + 1] for row in rows), state)
        return steps

    def learn() -> int:
        output, _ = agent(*rows, state)
        torch.autograd.backward([output.logits, output.value], [output.logits, output.value])
        return steps

    return 1e6 / rate(act, seconds / 2) + 1e6 / rate(learn, seconds / 2)


def end_to_end(config: Config, found: Interface, seconds: float) -> dict[str, float]:
    """Trained steps a second of the whole run, and the CPU time of all its processes per trained step."""
    engine = make_engine(config, found, None)
    try:
        for _ in range(WARM_UP_UPDATES):
            engine.update()
        steps, busy, lag, updates = 0, 0.0, 0.0, 0
        cpu, started = _cpu_seconds(), time.perf_counter()
        while (elapsed := time.perf_counter() - started) < seconds:
            figures = engine.update()
            assert figures is not None
            steps += figures["batch_steps"]
            busy += figures["update_seconds"]
            lag += figures["policy_lag"]
            updates += 1
        cpu = _cpu_seconds() - cpu
    finally:
        engine.close()
    return {
        "steps_per_second": steps / elapsed,
        "cpu_microseconds_per_step": 1e6 * cpu / steps,
        "learner_busy": busy / elapsed,
        "policy_lag": lag / updates,
    }


def _cpu_seconds() -> float:
    """CPU time of this process and all below it."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


@reports_user_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each measurement")
    parser.add_argument("--peer", choices=peers.NAMES, help="train the same with this framework, in the same run")
    parser.add_argument(
        "--compare", choices=("rmc", "lstm"), default="rmc", help="the same core in both, or each its own LSTM"
    )
    parser.add_argument(
        "--peer-settings", type=json.loads, default={}, help="a JSON object: what differs from the peer's best settings"
    )
    parser.add_argument("words", nargs="*", metavar="key=value", help="configuration, as for rmc_rl.train")
    options = parser.parse_args()
    if options.peer is None and (options.compare != "rmc" or options.peer_settings):
        parser.error("--compare and --peer-settings need --peer")
    if not isinstance(options.peer_settings, dict):
        parser.error('--peer-settings: a JSON object such as {"games": 256} needed')
    words = options.words
    if options.peer is not None:
        sizes = peers.SAME_SIZES[options.peer] if options.compare == "lstm" else ()
        words = [*OUR_SETTINGS[options.compare], *sizes, *words]
    config = make_config(*words)
    env = make_vector(config.env, 1)
    found = interface(env.single_observation_space, env.single_action_space)
    env.close()

    alone = parts_alone(config, found, options.seconds / 4)
    print(", ".join(f"{name} alone {speed:,.0f} steps/s" for name, speed in alone.items()), flush=True)
    whole = end_to_end(config, found, options.seconds)
    print(f"end to end {whole['steps_per_second']:,.0f} steps/s, learner busy {whole['learner_busy']:.0%}", flush=True)
    smallest = make_config(*words, *NEXT_TO_NOTHING)
    own = agent_alone(smallest, found, options.seconds / 8)
    cost = end_to_end(smallest, found, options.seconds / 2)["cpu_microseconds_per_step"] - own
    print(f"everything around the agent: {cost:.1f} µs of CPU per trained step", flush=True)
    result: dict[str, Any] = {
        "env": config.env.id,
        "core": config.core,
        "cores": os.cpu_count(),
        "games_alone": round(alone["games"]),
        "acting_alone": round(alone["acting"]),
        "learning_alone": round(alone["learning"]),
        "end_to_end": {name: round(value, 3) for name, value in whole.items()},
        "around_the_agent_cpu_microseconds_per_step": round(cost, 2),
    }
    if options.peer is not None:
        peer = peers.measure(options.peer, config, found, options.compare, options.peer_settings, options.seconds)
        print(f"{peer['name']} {peer['version']}: {peer['steps_per_second']:,} steps/s", flush=True)
        result["compare"] = options.compare
        result["peer"] = peer
        result["ratio"] = round(whole["steps_per_second"] / peer["steps_per_second"], 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
