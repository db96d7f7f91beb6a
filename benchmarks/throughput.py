"""How many steps a second the actor-learner trains, where the time goes, and how a peer does beside it.

    python -m benchmarks.throughput [--seconds 20] [--rounds 1] [--games 16,64,256] [key=value …]
                                    [--peer rllib|sample-factory|pufferlib|sb3] [--compare rmc|lstm]
                                    [--peer-settings '{"games": 256}']

In one run, one after the other: the games alone and acting alone (one thread each), learning alone (one thread, and
all that the learner is given), the whole run end to end with the default engine, and the CPU time that everything
outside core, torso and heads costs per trained step (that of a run with the smallest agent there is, less what that
agent takes by itself). A step counts once, when it was learnt from. Words of the form key=value change the
configuration of every part. The last line is one JSON object.

``--games`` also measures the whole run with other numbers of games per actor. ``--peer`` measures a peer on the same
game (`benchmarks.peers`), both on the processor and with the best settings known for two cores: ``--compare rmc`` with
our torso and core in both, in the peer step by step, ours with products in bfloat16 too; ``--compare lstm`` our LSTM
against the peer's own recurrent policy of the same sizes. ``ratio`` is ours over the peer's, end to end.

A machine that others use may change its speed from one minute to the next. With ``--rounds`` above 1 what is compared
takes turns, and the medians count, of ratios those within a round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import psutil
import torch

from benchmarks import peers
from rmc_agents.tree import map_tree
from rmc_rl.building import available_cores, build_agent, learner_device, prepare_process
from rmc_rl.config import Config, make_config
from rmc_rl.engines import make_engine
from rmc_rl.environment import make_vector
from rmc_rl.errors import reports_user_errors
from rmc_rl.impala.actor import Actor
from rmc_rl.impala.learner import Learner
from rmc_rl.spaces import Interface, interface

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
    """Games, acting and learning, each alone on one thread, and learning on all threads that the learner is given."""
    prepare_process(1)
    env = make_vector(config.env, config.actor.num_envs)
    quantiles = torch.rand(config.actor.unroll_length, env.num_envs, found.actions.num_quantiles)
    actions = found.actions.at_quantiles(torch.zeros(found.actions.num_parameters), quantiles).numpy()
    env.reset(seed=0)

    def play() -> int:
        for row in actions:
            env.step(row)
        return len(actions) * env.num_envs

    games = rate(play, seconds)
    actor = Actor(env, build_agent(config, found, seed=0), config.actor.unroll_length, seed=0)
    acting = rate(lambda: int(actor.unroll().valid.sum()), seconds)
    rollouts = [actor.unroll() for _ in range(config.learner.rollouts_per_batch)]
    env.close()

    def learning(device: str, threads: int) -> float:
        learner = Learner(build_agent(config, found, seed=0), config.learner, 10**12, device, threads)
        return rate(lambda: int(learner.update(rollouts)["batch_steps"]), seconds)

    one = learning("cpu", 1)
    whole = learning(learner_device(config), config.engine.learner_threads or available_cores())
    return {"games": games, "acting": acting, "learning": one, "whole_learner": whole}


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
    steps = rollout.reward.size

    def act() -> int:
        with torch.inference_mode():
            for t in range(config.actor.unroll_length):
                agent(*(row[t : t + 1] for row in rows), state)
        return steps

    def learn() -> int:
        output, _ = agent(*rows, state)
        torch.autograd.backward([output.policy, output.value], [output.policy, output.value])
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
    parser.add_argument("--rounds", type=int, default=1, help="how often what is compared is measured, in turns")
    parser.add_argument("--games", type=_whole_numbers, default=[], help="other numbers of games per actor: 16,64,256")
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
    if options.rounds < 1:
        parser.error("--rounds: 1 or more needed")
    if not isinstance(options.peer_settings, dict):
        parser.error('--peer-settings: a JSON object such as {"games": 256} needed')
    words = options.words
    if options.peer is not None:
        sizes = peers.SAME_SIZES[options.peer] if options.compare == "lstm" else ()
        words = [*OUR_SETTINGS[options.compare], *sizes, *words]
    config = make_config(*words)
    env = make_vector(config.env, 1)
    found = interface(env)
    env.close()

    alone = parts_alone(config, found, options.seconds / 4)
    print(", ".join(f"{name} alone {speed:,.0f} steps/s" for name, speed in alone.items()), flush=True)
    result: dict[str, Any] = {
        "env": config.env.id,
        "core": config.core,
        "cores": os.cpu_count(),
        **{f"{name}_alone": round(speed) for name, speed in alone.items()},
    }
    result |= in_turns(_runs(words, found, options), options.rounds)
    whole = result["end_to_end"]["steps_per_second"]
    result["share_of_whole_learner"] = round(whole / alone["whole_learner"], 3)

    smallest = make_config(*words, *NEXT_TO_NOTHING)
    own = agent_alone(smallest, found, options.seconds / 8)
    cost = end_to_end(smallest, found, options.seconds / 2)["cpu_microseconds_per_step"] - own
    print(f"everything around the agent: {cost:.1f} µs of CPU per trained step", flush=True)
    result["around_the_agent_cpu_microseconds_per_step"] = round(cost, 2)
    print(json.dumps(result))


def _runs(words: list[str], found: Interface, options: argparse.Namespace) -> dict[str, Callable[[], dict[str, Any]]]:
    """What is measured in turns, by its name in the result."""

    def ours(*more: str) -> Callable[[], dict[str, Any]]:
        config = make_config(*words, *more)
        return lambda: end_to_end(config, found, options.seconds)

    runs = {"end_to_end": ours()}
    runs |= {f"{games}_games": ours(f"actor.num_envs={games}") for games in options.games}
    if options.peer is not None:
        if options.compare == "rmc":
            runs["bfloat16"] = ours("core.matmul_dtype=bfloat16")
        config, settings = make_config(*words), options.peer_settings
        runs["peer"] = lambda: peers.measure(options.peer, config, found, options.compare, settings, options.seconds)
    return runs


def in_turns(runs: dict[str, Callable[[], dict[str, Any]]], rounds: int) -> dict[str, Any]:
    """Measure each in turn, so many times: medians of their numbers, and ratios to the peer's speed where it is one."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(run())
            figures = {key: value for key, value in found[name][-1].items() if isinstance(value, float | int)}
            print(f"{name}:", ", ".join(f"{key} {value:,.2f}" for key, value in figures.items()), flush=True)

    def median(values: list[Any]) -> Any:
        return round(statistics.median(values), 3) if isinstance(values[0], float | int) else values[0]

    result: dict[str, Any] = {
        name: {key: median([each[key] for each in all_of_it]) for key in all_of_it[0]}
        for name, all_of_it in found.items()
    }
    for name, ratio in (("end_to_end", "ratio"), ("bfloat16", "ratio_bfloat16")):
        if "peer" in found and name in found:
            speeds = [[each["steps_per_second"] for each in found[key]] for key in (name, "peer")]
            result[ratio] = median([own / others for own, others in zip(*speeds, strict=True)])
    return result


def _whole_numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    main()
