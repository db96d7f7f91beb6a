"""The pages say what the code says; that their code runs is tested in `tests/docs`."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import xml.etree.ElementTree
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from rmc_agents import core_names
from rmc_envs import ENVIRONMENTS
from rmc_envs.catalogue import SHORT_NAMES, environment_class
from rmc_rl.config import make_config
from rmc_rl.metrics import GLOSSARY
from rmc_rl.overrides import check_overrides, groups
from rmc_rl.schema import known_keys
from rmc_rl.supervised.config import SUPERVISED

ROOT = Path(__file__).parent.parent
PAGES, IMAGES = ROOT / "docs" / "games", ROOT / "docs" / "images"
MEMORY = (ROOT / "docs" / "relational-memory.md").read_text()
MEMORY_BLOCKS = re.findall(r"```python\n(.*?)```", MEMORY, re.DOTALL)


@pytest.fixture(scope="module")
def make_games() -> Any:
    """The script."""
    return script("make_games")


@pytest.fixture(scope="module")
def make_memory() -> Any:
    """The script."""
    return script("make_memory")


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def frames(name: str) -> Iterator[np.ndarray]:
    with Image.open(IMAGES / f"{name}.gif") as picture:
        for number in range(picture.n_frames):
            picture.seek(number)
            yield np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_pages_are_what_the_docstrings_give_now(name: str, make_games: Any) -> None:
    written = (PAGES / f"{name}.md").read_text()
    assert written == make_games.page(name), "run: python docs/make_games.py --no-pictures"


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_pages_hold_the_whole_docstring(name: str) -> None:
    lines = (PAGES / f"{name}.md").read_text().splitlines()
    plain = [re.sub(r"\[(``\w+``)\]\([\w-]+\.md\)", r"\1", line) for line in lines]
    documented = environment_class(SHORT_NAMES[name]).__doc__.splitlines()
    assert set(map(str.strip, documented)) <= set(map(str.strip, plain))
    assert next(line for line in lines if line.startswith("## ")) == "## Description"


def test_every_game_has_one_page_and_no_page_is_left_over() -> None:
    assert {path.stem for path in PAGES.iterdir()} == {"index", *SHORT_NAMES}
    overview = (PAGES / "index.md").read_text()
    assert set(re.findall(r"\]\((?!index)([a-z-]+)\.md\)", overview)) == set(SHORT_NAMES)
    assert set(re.findall(r"images/([a-z-]+)\.gif\)", overview)) == set(SHORT_NAMES)


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_links_lead_somewhere(name: str) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", (PAGES / f"{name}.md").read_text())
    assert f"../images/{name}.gif" in targets
    for target in targets:
        assert (PAGES / target).exists(), target


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_pictures_move_and_are_small(name: str) -> None:
    assert (IMAGES / f"{name}.gif").stat().st_size < 300_000
    assert len({frame.tobytes() for frame in frames(name)}) > 10


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_pictures_show_what_the_script_plays(name: str, make_games: Any) -> None:
    moments = [frame for frame, _, _ in make_games.play(name)]
    played = [moments[0], *(after for before, after in pairwise(moments) if (before != after).any())]
    shown = list(frames(name))
    assert len(shown) == len(played), "run: python docs/make_games.py"
    for was, now in zip(shown, played, strict=True):
        assert abs(was.astype(int) - now).max() < 60, "run: python docs/make_games.py"  # a GIF has few colours


def test_the_scripted_players_are_worth_watching(make_games: Any) -> None:
    rewards = {name: [reward for _, reward, _ in make_games.play(name)] for name in SHORT_NAMES}
    for name in ("boxworld", "boxworld-viewport"):
        assert sum(rewards[name]) == 2 * (4 + 10)  # two levels solved
        assert min(rewards[name]) == 0
    for name in ("minipacman", "minipacman-viewport"):
        eaten = rewards[name]
        assert len(eaten) == 81  # alive to the end
        assert sum(reward >= 5 for reward in eaten) >= 2  # ghosts
        assert sum(reward > 0 for reward in eaten) > 50
    assert sum(rewards["repeat-first"]) == pytest.approx(3)


def test_the_readme_lists_every_game_with_its_page() -> None:
    readme = (ROOT / "envs" / "README.md").read_text()
    table = dict(re.findall(r"^\| \[`(rmc/[\w-]+)`\]\(\.\./docs/games/([\w-]+)\.md\) \|", readme, re.MULTILINE))
    assert table == {env_id: name for name, env_id in SHORT_NAMES.items()}
    assert set(table) == set(ENVIRONMENTS)


def test_the_page_of_the_memory_has_its_examples() -> None:
    words = ("core.initial_state", "torch.testing.assert_close(new", "attention_maps(", "onnxruntime.InferenceSession")
    assert all(any(word in block for block in MEMORY_BLOCKS) for word in words)


def test_the_page_of_the_memory_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", MEMORY):
        assert target.startswith("https://") or (ROOT / "docs" / target).exists(), target
    assert "](docs/relational-memory.md)" in (ROOT / "README.md").read_text()


def test_the_page_of_the_memory_lists_every_core() -> None:
    assert re.findall(r"^\| \[`core=(\w+)`\]", MEMORY, re.MULTILINE)[0] == "rmc"
    assert sorted(re.findall(r"^\| \[`core=(\w+)`\]", MEMORY, re.MULTILINE)) == core_names()


def test_the_drawing_is_whole_and_stays_within_its_frame() -> None:
    root = xml.etree.ElementTree.parse(IMAGES / "relational-memory.svg").getroot()
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    rectangles = [item.attrib for item in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert len(rectangles) > 15
    for box in rectangles:
        assert float(box.get("x", 0)) + float(box["width"]) <= width
        assert float(box.get("y", 0)) + float(box["height"]) <= height
    words = " ".join(item.text or "" for item in root.iter("{http://www.w3.org/2000/svg}text"))
    assert all(word in words for word in ("attention", "MLP", "gates i and f", "old memory", "new memory", "input x"))


def test_the_picture_of_attention_shows_what_was_traced(make_memory: Any, tmp_path: Path) -> None:
    """Of a run of two seconds; the shipped picture has the same layout."""
    from rmc_rl.environment import make_single
    from rmc_rl.policy import load
    from rmc_rl.trainer import train

    words = ["env=repeat-first", "engine=inline", "engine.learner_threads=1", "total_steps=2000", "log.display=none"]
    policy = load(train([*words, f"runs_dir={tmp_path}"]).run)
    env = make_single(policy.config.env)
    seen, trace = make_memory.play(policy, env)
    env.close()
    assert len(seen) == 8
    assert trace.attention.shape == (8, 1, 1, 4, 4, 5)
    columns = make_memory.panels(seen, trace)
    picture = make_memory.draw(columns)
    with Image.open(make_memory.PICTURE) as shipped:
        assert shipped.size == picture.size
    weights = dict(columns)["slots read from"]
    np.testing.assert_allclose(np.sum(weights, axis=-1), 1.0, rtol=1e-5)
    top = make_memory.TOP + make_memory.CELL + make_memory.GAP
    left, cell = make_memory.LEFT, make_memory.CELL
    for slot, column in np.ndindex(4, 5):
        red, _, _ = picture.getpixel((left + column * cell + cell // 2, top + slot * cell + cell // 2))
        assert red == round(255 + (make_memory.STRONG[0] - 255) * float(weights[0][slot, column]))


def test_the_page_of_metrics_is_the_glossary() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    assert dict(rows) == GLOSSARY
    assert len(rows) == len(GLOSSARY)


# Sweeps


def test_the_sweep_file_names_keys_that_exist() -> None:
    page = (ROOT / "docs" / "sweeps.md").read_text()
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    sweep = yaml.safe_load(text)
    assert sweep["metric"]["name"] in GLOSSARY
    for choose in (min, max):
        words = []
        for name, given in sweep["parameters"].items():
            values = given.get("values", [given.get("value"), given.get("min"), given.get("max")])
            words.append(f"{name}={choose(value for value in values if value is not None)}")
        make_config(*words)


# Supervised tasks

SUPERVISED_PAGE = (ROOT / "docs" / "supervised.md").read_text()


def test_the_commands_of_the_supervised_page_compose() -> None:
    commands = re.findall(r"^python -m rmc_rl\.supervised ([^#\n]+)", SUPERVISED_PAGE, re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        words = [word for word in command.split() if not word.startswith(("--", "resume="))]
        check_overrides(words, SUPERVISED)
    for name in re.findall(r"`(\w+\.\w+)`", SUPERVISED_PAGE):
        section = name.partition(".")[0]
        known = {key for task in groups(SUPERVISED)["task"] for key in known_keys(SUPERVISED.compose([f"task={task}"]))}
        assert section not in ("task", "model") or name in known, name
    (listed,) = re.findall(r"\| `task=` \|.*?\n((?:\|.*\n)+)", SUPERVISED_PAGE)
    named = set(re.findall(r"`([a-z-]+)`", listed))
    assert named == set(groups(SUPERVISED)["task"])


@pytest.mark.slow
def test_the_supervised_page_runs_when_pasted(tmp_path: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", SUPERVISED_PAGE, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\d+ \d*", done.stdout.splitlines()[-1])
