"""Draw how experience flows between actors and learner.

    python docs/make_flow.py

writes ``docs/images/actor-learner.svg``, which follows the reader's choice of light or dark and brings its own ground:
it is legible on a page of either kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from rmc_rl import palette
from rmc_rl.palette import css

PICTURE = Path(__file__).parent / "images" / "actor-learner.svg"
TOP, WIDTH, HEIGHT = 46, 960, 424
LIGHT = {"ground": "#ffffff", "card": "#f6f7fa", "line": "#8a91a6", "text": "#1c1f2a", "quiet": "#5e6578"}
DARK = {
    name: css(colour)
    for name, colour in (
        ("ground", palette.GROUND),
        ("card", palette.CARD),
        ("line", (110, 118, 145)),
        ("text", palette.TEXT),
        ("quiet", palette.QUIET),
    )
}
ROLLOUTS, WEIGHTS = css(palette.PAPER_SERIES[1]), css(palette.PAPER_SERIES[0])
"""The hues of what flows: legible on either ground."""
LINE_HEIGHT = 19


def style() -> str:
    """Colours by the reader's scheme."""
    names = "\n".join(
        f"    .{name} {{ {'stroke' if name == 'line' else 'fill'}: {{{name}}}; }}"
        for name in ("ground", "card", "line", "text", "quiet")
    )
    light, dark = names.replace("{{", "{").replace("}}", "}"), names
    for name in LIGHT:
        light, dark = light.replace(f"{{{name}}}", LIGHT[name]), dark.replace(f"{{{name}}}", DARK[name])
    return (
        f"  <style>\n{light}\n    @media (prefers-color-scheme: dark) {{\n{dark}\n    }}\n"
        "    .line { fill: none; stroke-width: 1.5; }\n"
        f"    .rollouts {{ stroke: {ROLLOUTS}; fill: none; stroke-width: 4; }}\n"
        f"    .weights {{ stroke: {WEIGHTS}; fill: none; stroke-width: 4; }}\n"
        f"    .rollout {{ fill: {ROLLOUTS}; }}\n    .version {{ fill: {WEIGHTS}; }}\n"
        "    .small { font-size: 13px; }\n    .head { font-weight: bold; }\n  </style>"
    )


def box(x: float, y: float, width: float, height: float, kind: str = "card") -> str:
    """A card with a border."""
    place = f'x="{x}" y="{y}" width="{width}" height="{height}" rx="8"'
    return f'  <rect {place} class="{kind}"/><rect {place} class="line"/>'


def words(x: float, y: float, lines: Sequence[str], kind: str = "text small", anchor: str = "middle") -> str:
    """Lines of text below one another."""
    return "\n".join(
        f'  <text x="{x}" y="{y + LINE_HEIGHT * number}" class="{kind}" text-anchor="{anchor}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )


def arrow(path: str, kind: str = "line") -> str:
    """A line with a tip."""
    return f'  <path d="{path}" class="{kind}" marker-end="url(#{kind})"/>'


def tip(kind: str, colour: str, size: float) -> str:
    """The end of an arrow; a marker knows no class of the line that it ends."""
    return (
        f'    <marker id="{kind}" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="{size}" markerHeight="{size}" '
        f'orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="{colour}"/></marker>'
    )


def actors() -> list[str]:
    """The actors: games and a copy of the agent that act in turn."""
    parts = [box(40 + offset, 90 - offset, 290, 250) for offset in (20, 10, 0)]
    parts += [
        words(185, 116, ["Actor"], "text head"),
        words(185, 134, ["a process each, on CPU cores"], "quiet small"),
        box(60, 152, 100, 110, "ground"),
        words(110, 196, ["B games,", "side by side"]),
        box(210, 152, 100, 110, "ground"),
        words(260, 188, ["copy of", "the agent,", "its memory"]),
        arrow("M160 180 H205"),
        arrow("M210 234 H165"),
        words(185, 172, ["sees"], "quiet small"),
        words(185, 252, ["acts"], "quiet small"),
        words(
            185, 288, ["T steps of each game make a rollout;", "an episode that ends begins anew", "within it (reset)"]
        ),
    ]
    return parts


def rollouts() -> list[str]:
    """What waits, on its way to the learner."""
    parts = [arrow("M352 180 H398", "rollouts"), arrow("M562 180 H612", "rollouts")]
    for column in range(3):
        left = 408 + 50 * column
        for row, cell in ((row, cell) for row in range(5) for cell in range(4)):
            parts.append(f'  <rect x="{left + 11 * cell}" y="{152 + 11 * row}" width="9" height="9" class="rollout"/>')
    parts += [
        words(481, 134, ["rollouts that wait"], "text head"),
        words(
            481,
            228,
            [
                "observations, actions, rewards,",
                "log-probabilities, resets;",
                "memory before row 0, sent once;",
                "which weights acted",
            ],
        ),
    ]
    return parts


def learner() -> list[str]:
    """The learner: a whole unroll at once, targets, a step."""
    steps = (
        ("the agent, from the stored memory", "over the whole unroll, with gradients"),
        ("V-trace: targets and advantages", "corrected for the weights that acted"),
        ("loss, gradients, one step", "of the optimiser"),
    )
    parts = [
        box(620, 70, 300, 270),
        words(770, 96, ["Learner"], "text head"),
        words(770, 114, ["on the GPU, where there is one"], "quiet small"),
    ]
    for number, (first, second) in enumerate(steps):
        top = 130 + 68 * number
        parts += [
            box(640, top, 260, 52, "ground"),
            words(770, top + 22, [first]),
            words(770, top + 40, [second], "quiet small"),
        ]
        if number:
            parts.append(arrow(f"M770 {top - 16} V{top - 4}"))
    return parts


def weights() -> list[str]:
    """What comes back, and who looks on."""
    return [
        arrow("M770 340 V390 H185 V348", "weights"),
        words(481, 382, ["new weights, after every update; an actor takes the newest before each unroll"]),
        words(481, 412, ["policy lag: updates between the weights that acted and those that learn"], "quiet small"),
        words(
            481,
            448,
            ["The driver passes references, never arrays: it counts steps, logs, and writes checkpoints."],
            "quiet small",
        ),
    ]


def drawing() -> str:
    """The picture."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 {TOP} {WIDTH} {HEIGHT}" '
            'font-family="Helvetica, Arial, sans-serif" font-size="16">',
            "  <title>Actors send rollouts, the learner sends weights</title>",
            style(),
            "  <defs>",
            tip("line", "#8a91a6", 7),
            tip("rollouts", ROLLOUTS, 3.4),
            tip("weights", WEIGHTS, 3.4),
            "  </defs>",
            f'  <rect y="{TOP}" width="{WIDTH}" height="{HEIGHT}" rx="10" class="ground"/>',
            *actors(),
            *rollouts(),
            *learner(),
            *weights(),
            "</svg>",
            "",
        ]
    )


def main() -> None:
    """Write it."""
    PICTURE.write_text(drawing())
    print(PICTURE)


if __name__ == "__main__":
    main()
