"""Tables and bars of what the benchmarks measured: ``results/throughput`` and ``results/scaling``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[2] / "results"
TITLES = {
    "rllib": "RLlib IMPALA",
    "sb3": "SB3-contrib RecurrentPPO",
    "pufferlib": "PufferLib",
    "sample-factory": "Sample Factory",
}
AXES = {
    "games": "Games per actor",
    "actors": "Actor processes",
    "unroll": "Steps of an unroll",
    "slots": "Memory slots",
}
"""What `benchmarks.scaling` varies."""
DEFAULT_GAMES = 64
"""Of a measurement that names no number of games."""


def against_peers(core: str) -> str:
    """Ours beside each peer, the largest ratio first."""
    measured = [json.loads(path.read_text()) for path in sorted((RESULTS / "throughput").glob(f"*-{core}.json"))]
    measured = sorted((one for one in measured if "peer" in one), key=lambda one: -one["ratio"])
    rows = []
    for one in measured:
        peer, ours = one["peer"], one["end_to_end"]["steps_per_second"]
        pair = _bars([("rmc-rl", ours), (TITLES[peer["name"]], peer["steps_per_second"])])
        settings = ", ".join(f"{name} {value}" for name, value in peer["settings"].items())
        rows.append(
            f"<tr><td>{TITLES[peer['name']]} {peer['version']}<br><small>{settings}</small></td><td>{pair}</td>"
            f"<td class=ratio>{one['ratio']:.2f}</td></tr>"
        )
    head = "<tr><th>peer, its settings</th><th>trained steps a second</th><th>ratio</th></tr>"
    return _table(head, rows)


def by_games() -> str:
    """Speed and cost by games per actor."""
    found = json.loads((RESULTS / "throughput" / "ours-games.json").read_text())
    measured = {int(name.removesuffix("_games")): found[name] for name in found if name.endswith("_games")}
    measured[DEFAULT_GAMES] = found["end_to_end"]
    core = found["core"]
    sizes = f"{core['mem_slots']} slots x {core['num_heads'] * core['head_size']}"
    return f"The core is `{core['name']}`, {sizes}.\n\n{_scale(AXES['games'], sorted(measured.items()))}"


def scaling() -> str:
    """Speed along each axis of every machine on which it was measured."""
    parts = []
    for path in sorted((RESULTS / "scaling").glob("*.json")):
        found = json.loads(path.read_text())
        versions = found["versions"]
        packages = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "ray", "numpy", "numba"))
        gpu = f", {versions['gpu']}" if versions["gpu"] else ""
        parts.append(f"### {versions['processor']}, {versions['cores']} cores{gpu}")
        parts.append(f"`{versions['command']}`: commit `{versions['commit'][:7]}`, {packages}.")
        for axis, measured in found["axes"].items():
            lines = [(point["value"], point) for point in measured["points"]]
            parts.append(f"#### {AXES[axis]} (`{measured['key']}`)\n\n{_scale(AXES[axis], lines)}")
    return "\n\n".join(parts) if parts else "No machine's figures are kept yet."


def _scale(title: str, lines: Sequence[tuple[Any, Mapping[str, float]]]) -> str:
    most = max(figures["steps_per_second"] for _, figures in lines)
    rows = []
    for value, figures in lines:
        bar = _bar(figures["steps_per_second"], most)
        rows.append(f"<tr><td>{value}</td><td>{bar}</td><td>{figures['cpu_microseconds_per_step']:.0f} µs</td></tr>")
    return _table(f"<tr><th>{title}</th><th>trained steps a second</th><th>CPU time of a step</th></tr>", rows)


def _bars(pairs: Sequence[tuple[str, float]]) -> str:
    most = max(value for _, value in pairs)
    return "".join(
        f"<div class='bar-name'>{name}</div>{_bar(value, most, 'ours' if name == 'rmc-rl' else 'theirs')}"
        for name, value in pairs
    )


def _bar(value: float, most: float, kind: str = "ours") -> str:
    """A bar as long as the value's share of the most, and the value."""
    return (
        f"<div class='bar'><span class='{kind}' style='width: {100 * value / most:.1f}%'></span>"
        f"<b>{value:,.0f}</b></div>"
    )


def _table(head: str, rows: Sequence[str]) -> str:
    return "\n".join(["<table class='speeds'>", f"<thead>{head}</thead>", "<tbody>", *rows, "</tbody>", "</table>"])


MAKERS: Mapping[str, Callable[[], str]] = {
    "rmc against peers": partial(against_peers, "rmc"),
    "lstm against peers": partial(against_peers, "lstm"),
    "speed by games": by_games,
    "scaling": scaling,
}
"""What is made, by its name in pages."""
