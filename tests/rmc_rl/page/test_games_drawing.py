"""What the page's games draw, beside the frames of the Python games."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import io
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from tests.rmc_rl.page.playing import GAMES, Policy, at_random, evaluate, needs_node, opener, pacman

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

SCENES: dict[str, tuple[str, dict[str, Any], Policy, int]] = {
    "frightened ghosts": ("rmc/MiniPacman-v0", {"level": 5, "task": "hunt"}, pacman, 60),
    "recovering ghosts": ("rmc/MiniPacman-v0", {"level": 5, "task": "hunt"}, pacman, 25),
    "hunting ghosts": ("rmc/MiniPacman-v0", {"level": 9}, at_random(5), 3),
    "maze through a viewport": ("rmc/MiniPacmanViewport-v0", {"level": 40, "task": "avoid"}, at_random(5), 2),
    "room": ("rmc/BoxWorld-v0", {"solution_length": [5, 5], "num_distractors": [5, 5]}, opener, 30),
    "room through a viewport": ("rmc/BoxWorldViewport-v0", {"solution_length": [5, 5]}, opener, 22),
    "symbols": ("rmc/RepeatFirst-v0", {"length": 5}, at_random(4), 2),
}
FIGURES = {"rmc/MiniPacman": slice(190, 290), "rmc/BoxWorld": slice(160, 220)}
"""Columns of the strip where the score stands, which the two write in different type."""

PAGE = """<!doctype html><body><script type="module">
import { makeGame } from "./games/index.js";
const pictures = REQUESTS.map(({ id, options, commands, width, height, ratio }) => {
  const game = makeGame(id, options);
  for (const [name, argument] of commands) game[name](argument);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width * ratio, height * ratio];
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  game.draw(context, width, height);
  return canvas.toDataURL();
});
document.body.textContent = JSON.stringify(pictures);
</script>"""


def act(name: str) -> tuple[dict[str, Any], np.ndarray]:
    """A scene: what JavaScript has to do for it, and the frame that Python draws."""
    env_id, options, policy, steps = SCENES[name]
    env: Any = gymnasium.make(env_id, render_mode="rgb_array", **options).unwrapped
    rng = np.random.default_rng(1)
    env.reset(seed=3)
    commands: list[tuple[str, int]] = [("reset", 3)]
    for _ in range(steps):
        action = policy(env.get_state(), rng)
        _, _, terminated, truncated, _ = env.step(action)
        commands.append(("step", action))
        if terminated or truncated:
            break
    return {"id": env_id, "options": options, "commands": commands}, env.render()


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder: modules are not loaded from files."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def draw(folder: Path, requests: list[dict[str, Any]]) -> list[np.ndarray]:
    """What the browser draws: uint8 [height, width, 4] each."""
    image = pytest.importorskip("PIL.Image")
    shutil.copytree(GAMES, folder / "games")
    (folder / "index.html").write_text(PAGE.replace("REQUESTS", json.dumps(requests)))
    with served(folder) as address:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile", "--dump-dom"]
        words = [str(BROWSER), *flags, "--virtual-time-budget=30000", f"{address}/index.html"]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    written = re.search(r"<body>(\[.*\])</body>", done.stdout)
    assert written is not None, done.stdout + done.stderr
    pictures = [base64.b64decode(address.split(",")[1]) for address in json.loads(written[1])]
    return [np.asarray(image.open(io.BytesIO(picture)).convert("RGBA")) for picture in pictures]


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium to draw with")
def test_pictures_are_those_of_python(tmp_path: Path) -> None:
    requests, frames = zip(*map(act, SCENES), strict=True)
    sizes = [{"width": frame.shape[1], "height": frame.shape[0], "ratio": 1} for frame in frames]
    pictures = draw(tmp_path, [request | size for request, size in zip(requests, sizes, strict=True)])
    for name, request, frame, picture in zip(SCENES, requests, frames, pictures, strict=True):
        assert (picture[..., 3] == 255).all()
        difference = np.abs(picture[..., :3].astype(float) - frame).mean(axis=-1)
        for game, columns in FIGURES.items():
            if request["id"].startswith(game):
                difference[-24:, columns] = 0
        blocks = difference.reshape(difference.shape[0] // 8, 8, difference.shape[1] // 8, 8).mean(axis=(1, 3))
        assert blocks.max() < 8, name  # smooth edges differ a little; a crumb of food, the smallest thing, makes 30
        assert difference.mean() < 0.25, name


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium to draw with")
@pytest.mark.parametrize(
    ("width", "height", "ratio"), [(700, 400, 1.5), (333, 520, 1.25), (900, 900, 1), (448, 480, 2)]
)
def test_cells_are_whole_pixels_at_any_size(width: int, height: int, ratio: float, tmp_path: Path) -> None:
    request, frame = act("room")
    (picture,) = draw(tmp_path, [request | {"width": width, "height": height, "ratio": ratio}])
    side = 14
    across, down = int(width * ratio), int(height * ratio)
    cell = min(across // side, down // (side + 1))
    opaque = picture[..., 3] == 255
    rows, columns = np.flatnonzero(opaque.any(axis=1)), np.flatnonzero(opaque.any(axis=0))
    assert (rows.size, columns.size) == ((side + 1) * cell, side * cell)
    assert opaque[np.ix_(rows, columns)].all()
    assert picture[..., 3].sum() == 255 * rows.size * columns.size  # nothing but the picture, no edge half covered
    for places, room in ((rows, down), (columns, across)):
        assert abs(places[0] - (room - places.size) / 2) <= 1
    corners = picture[rows[0] :: cell, columns[0] :: cell, :3][1 : side - 1, 1 : side - 1]
    cells = frame[:-32].reshape(side, 32, side, 32, 3)[1:-1, :, 1:-1]
    bare = (cells == cells[:, :1, :, :1]).all(axis=(1, 3, 4))
    assert bare.mean() > 0.7
    np.testing.assert_array_equal(corners[bare], cells[:, 0, :, 0][bare])  # a cell's first pixel is all its own


@needs_node
@pytest.mark.parametrize("name", SCENES)
def test_a_snapshot_holds_all_that_is_drawn(name: str) -> None:
    request, _ = act(name)
    found = evaluate(
        f"""
        const {{ makeGame }} = await import(games + "index.js");
        const {{ id, options, commands }} = {json.dumps(request)};
        const drawn = (game) => {{
          const calls = [];
          const context = new Proxy({{ getTransform: () => ({{ a: 1 }}) }}, {{
            get: (target, name) => target[name] ?? ((...words) => {{ calls.push([name, ...words]); }}),
            set: (_, name, value) => calls.push([name, value]) > 0,
          }});
          game.draw(context, 640, 480);
          return calls;
        }};
        const game = makeGame(id, options);
        game.reset(1);
        const before = drawn(game);
        for (const [name, argument] of commands) game[name](argument);
        const after = drawn(game);
        const other = makeGame(id, options);
        other.load(structuredClone(game.save()));
        output = {{ before, after, again: drawn(other) }};
        """
    )
    assert found["after"] == found["again"]
    assert found["after"] != found["before"]
    names = [name for name, *_ in found["after"]]
    assert names.count("save") == names.count("restore") > 0
    assert None not in [
        value for _, *values in found["after"] for value in values
    ]  # what is no number has none in JSON
