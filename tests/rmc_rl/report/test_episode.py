from __future__ import annotations

import base64
import sys
from pathlib import Path

import imageio.v3 as iio
import pytest

from rmc_rl.report import episode as module
from rmc_rl.report.episode import SIZE, SPEED, film
from rmc_rl.trainer import train
from rmc_rl.viewer.step import EPISODE_END_SECONDS
from tests.rmc_rl.recorded import write_run


@pytest.fixture(autouse=True)
def _no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    words = ["engine=inline", "engine.learner_threads=1", "core.head_size=8", "actor.num_envs=8", "total_steps=500"]
    return train([*words, "log.display=none", f"runs_dir={folder}"]).run


def test_an_episode_is_filmed(run: Path, tmp_path: Path) -> None:
    found = film(run, max_steps=6, trust=False)
    kind, _, data = found.video.partition(";base64,")
    assert kind == "data:video/mp4"
    (tmp_path / "episode.mp4").write_bytes(base64.b64decode(data))
    pictures = iio.imread(tmp_path / "episode.mp4")
    assert pictures.shape[1:] == (SIZE[1], SIZE[0], 3)
    assert len(pictures) >= 7 + round(EPISODE_END_SECONDS * SPEED) - 1
    assert found.run == run.name
    assert found.words.startswith(f"{run.name}, seed ")
    assert "in 6 steps, cut short" in found.words


def test_a_video_too_large_for_a_page_is_left_out(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 1000)
    found = film(run, max_steps=3, trust=False)
    assert found.video == ""
    assert "a smaller episode_steps makes it shorter" in found.words


def test_what_cannot_be_played_is_told(tmp_path: Path) -> None:
    found = film(write_run(tmp_path / "bare"), max_steps=3, trust=False)
    assert found.video == ""
    assert found.words.startswith("No episode of bare was recorded: ")
    assert "holds no checkpoint" in found.words
    assert "\n" not in found.words


def test_a_run_that_names_modules_is_not_played_without_trust(run: Path, tmp_path: Path) -> None:
    text = (run / "config.yaml").read_text().replace("modules: []", "modules: [antigravity]")
    (run / "config.yaml").write_text(text)
    try:
        found = film(run, max_steps=3, trust=False)
    finally:
        (run / "config.yaml").write_text(text.replace("modules: [antigravity]", "modules: []"))
    assert found.video == ""
    assert "trust=true" in found.words
    assert "antigravity" not in sys.modules


def test_without_pygame_there_is_no_film(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("rmc_rl.viewer.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pygame", None)
    found = film(run, max_steps=3, trust=False)
    assert found.video == ""
    assert "pygame" in found.words
