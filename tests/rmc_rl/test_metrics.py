from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rmc_rl import metrics
from rmc_rl.checkpoint import latest_checkpoint, load_checkpoint
from rmc_rl.config import Config, make_config
from rmc_rl.errors import UserError
from rmc_rl.metrics import (
    GLOSSARY,
    TIMING,
    CsvWriter,
    Episodes,
    Interval,
    TensorBoardWriter,
    Video,
    WandbWriter,
    make_writers,
    memory_mb,
    wandb_mode,
)
from tests.rmc_rl import offline_wandb

NAN = float("nan")


def _row(steps: int, **values: float) -> dict[str, float]:
    return {**dict.fromkeys(GLOSSARY, 0.5), "steps": steps, **values}


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# Figures


def test_the_glossary_explains_every_name() -> None:
    assert all(len(line) > 8 and "\n" not in line for line in GLOSSARY.values())
    assert set(GLOSSARY) > TIMING


def _figures(**values: float) -> dict[str, float]:
    summed = ("batch_steps", "update_seconds", "acted_steps", "acting_seconds", "env_seconds", "acting_idle_seconds")
    return {**dict.fromkeys((*Interval().figures(0), *summed), 0.0), "actors": 1, **values}


def test_an_interval_takes_means_and_the_greatest_lag() -> None:
    interval = Interval(start_steps=100)
    for loss, lag, seconds in ((1.0, 3.0, 0.25), (2.0, 7.0, 0.5), (6.0, 5.0, 0.25)):
        interval.add(_figures(loss=loss, policy_lag=lag, policy_lag_max=lag, update_seconds=seconds))
    means = interval.figures(400)
    assert (means["loss"], means["policy_lag"], means["policy_lag_max"]) == (3.0, 5.0, 7.0)
    assert interval.updates == 3
    assert means["steps_per_second"] > 300, "it began less than a second ago"
    assert means["learner_busy"] == 1.0, "a share, whatever the clocks say"
    assert set(means) <= set(GLOSSARY)


def test_the_speed_of_a_stage_leaves_out_its_waiting() -> None:
    interval = Interval()
    for _ in range(2):
        acted = {"acted_steps": 100, "acting_seconds": 2.0, "env_seconds": 0.5}
        acted |= {"acting_idle_seconds": 6.0, "actors": 3}
        interval.add(_figures(**acted, batch_steps=50, update_seconds=0.5))
    figures = interval.figures(100)
    assert figures["env_speed"] == 600.0
    assert (figures["acting_speed"], figures["actor_busy"], figures["learning_speed"]) == (150.0, 0.25, 100.0)


def test_memory_is_that_of_all_processes() -> None:
    before = memory_mb()
    code = "import time; held = bytes(range(256)) * 2**19; print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        grown = memory_mb() - before
        child.kill()
    assert 128 <= grown < 200


def test_memory_is_not_known_without_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert math.isnan(memory_mb())


def test_an_interval_without_updates_has_means() -> None:
    assert set(Interval().figures(0).values()) == {0.0}


def test_an_interval_goes_on_from_its_state() -> None:
    whole, first, second = Interval(10), Interval(10), Interval()
    for loss in (0.1, 0.2, 0.7):
        whole.add(_figures(loss=loss, policy_lag_max=loss))
    first.add(_figures(loss=0.1, policy_lag_max=0.1))
    second.set_state(json.loads(json.dumps(first.get_state())))
    for loss in (0.2, 0.7):
        second.add(_figures(loss=loss, policy_lag_max=loss))
    assert (second.updates, second.start_steps) == (3, 10)
    assert second.figures(50)["loss"] == whole.figures(50)["loss"]
    assert second.figures(50)["policy_lag_max"] == 0.7


def test_a_nan_is_not_hidden_by_the_mean() -> None:
    interval = Interval()
    interval.add(_figures(loss=1.0))
    interval.add(_figures(loss=NAN))
    assert math.isnan(interval.figures(0)["loss"])


def test_episodes_keep_a_window() -> None:
    episodes = Episodes(window=3)
    assert math.isnan(episodes.return_mean)
    assert math.isnan(episodes.length_mean)
    episodes.add([1.0, 2.0], [10, 20])
    assert (episodes.count, episodes.full, episodes.return_mean, episodes.length_mean) == (2, False, 1.5, 15.0)
    episodes.add([3.0, 7.0], [30, 40])
    assert (episodes.count, episodes.full, episodes.return_mean, episodes.length_mean) == (4, True, 4.0, 30.0)
    episodes.add([], [])
    assert episodes.count == 4
    with pytest.raises(ValueError, match="zip"):
        episodes.add([1.0], [])


def test_episodes_go_on_from_a_saved_state() -> None:
    episodes = Episodes(window=3)
    episodes.add([1.0, 2.0, 3.0, 4.0], [1, 2, 3, 4])
    state = json.loads(json.dumps(episodes.get_state()))
    other = Episodes(window=3)
    other.add([9.0], [9])
    other.set_state(state)
    assert other.get_state() == episodes.get_state()
    for each in (episodes, other):
        each.add([8.0], [8])
    assert (other.count, other.return_mean, other.full) == (5, 5.0, True)
    assert other.get_state() == episodes.get_state()


# CSV


def test_the_csv_has_the_glossarys_columns_and_each_line_at_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    writer = CsvWriter(path, 0)
    assert path.read_text().strip() == ",".join(GLOSSARY)
    writer.write(_row(10, return_mean=NAN, loss=-0.25, grad_norm=math.inf))
    row = _read(path)[0]  # before it is closed
    assert (row["steps"], row["return_mean"], row["loss"], row["grad_norm"]) == ("10", "", "-0.25", "inf")
    writer.write({"steps": 20, "unknown": 1.0})
    writer.close()
    assert _read(path)[1] == {**dict.fromkeys(GLOSSARY, ""), "steps": "20"}
    assert os.listdir(tmp_path) == ["metrics.csv"]


def test_a_resumed_csv_goes_on_behind_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    writer = CsvWriter(path, 0)
    for steps in (10, 20, 30):
        writer.write(_row(steps, loss=steps / 8))
    writer.close()
    before = path.read_bytes()
    writer = CsvWriter(path, 30)
    writer.close()
    assert path.read_bytes() == before
    writer = CsvWriter(path, 20)
    writer.write(_row(25))
    writer.close()
    assert [(row["steps"], row["loss"]) for row in _read(path)] == [("10", "1.25"), ("20", "2.5"), ("25", "0.5")]


def test_a_half_written_last_line_is_dropped_wherever_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    writer = CsvWriter(path, 0)
    writer.write(_row(10))
    whole = path.stat().st_size
    writer.write(_row(234567))
    writer.close()
    content = path.read_bytes()
    for length in range(whole, len(content) - 2):
        path.write_bytes(content[:length])
        CsvWriter(path, 10**9).close()
        assert [row["steps"] for row in _read(path)] == ["10"], length
    path.write_bytes(content)
    CsvWriter(path, 10**9).close()
    assert [row["steps"] for row in _read(path)] == ["10", "234567"]


def test_a_csv_of_other_columns_keeps_what_it_shares(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("old,steps,loss\n1,10,0.5\n2,x,0.5\n3,,\n\n4,²,0\n5,20\n6,30,0.25,7\n")
    CsvWriter(path, 100).close()
    rows = _read(path)
    assert [(row["steps"], row["loss"], row["entropy"]) for row in rows] == [("10", "0.5", ""), ("30", "0.25", "")]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"a,b\n1,2\n", b"steps"])
def test_a_csv_without_rows_of_ours_starts_again(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    CsvWriter(path, 100).close()
    assert path.read_text().strip() == ",".join(GLOSSARY)


@pytest.mark.parametrize(
    "content", [bytes(range(256)), b"steps,loss\n" + b"9" * 5000 + b",1\n", b'steps\n"' + b"x" * 200_000]
)
def test_what_is_no_csv_is_refused_and_left_alone(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    content += b"\n"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"metrics\.csv is not a metrics file of rmc-rl .*move it away"):
        CsvWriter(path, 100)
    assert path.read_bytes() == content


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere/metrics\.csv cannot be written: No such file"):
        CsvWriter(tmp_path / "nowhere" / "metrics.csv", 0)
    (tmp_path / "metrics.csv").mkdir()
    with pytest.raises(UserError, match=r"metrics\.csv cannot be written: Is a directory"):
        CsvWriter(tmp_path / "metrics.csv", 0)


def test_a_link_in_a_strangers_folder_is_not_written_through(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine\n")
    (tmp_path / "metrics.csv").symlink_to(precious)
    (tmp_path / "metrics.csv.new").symlink_to(precious)
    CsvWriter(tmp_path / "metrics.csv", 0).close()
    assert precious.read_text() == "mine\n"
    assert not (tmp_path / "metrics.csv").is_symlink()


def test_a_full_disk_costs_one_warning_and_not_the_run(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk."""
    script = (
        "import resource, sys, warnings\n"
        "from pathlib import Path\n"
        "from rmc_rl.metrics import GLOSSARY, CsvWriter\n"
        "warnings.simplefilter('always')\n"
        "writer = CsvWriter(Path(sys.argv[1]), 0)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "for steps in range(100):\n"
        "    writer.write({**dict.fromkeys(GLOSSARY, 0.125), 'steps': steps})\n"
        "writer.close()\n"
        "print('went on')\n"
    )
    path = tmp_path / "metrics.csv"
    asked = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, timeout=120)
    assert asked.stdout == "went on\n", asked.stderr
    assert asked.stderr.count(f"{path} cannot be written") == 1
    CsvWriter(path, 100).close()
    assert [int(row["steps"]) for row in _read(path)] == list(range(len(_read(path))))


# TensorBoard


def _events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def test_tensorboard_events_can_be_read_back(tmp_path: Path) -> None:
    writer = TensorBoardWriter(tmp_path, 0)
    writer.write(_row(10, loss=0.25, return_mean=NAN))
    writer.write(_row(20, loss=0.125, return_mean=3.0))
    writer.close()
    events = _events(tmp_path)
    assert set(events.Tags()["scalars"]) == set(GLOSSARY) - {"steps"}
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(10, 0.25), (20, 0.125)]
    assert [(event.step, event.value) for event in events.Scalars("return_mean")] == [(20, 3.0)]


def test_a_resumed_run_hides_the_points_that_were_lost(tmp_path: Path) -> None:
    for checkpoint, points in ((0, (10, 20, 30)), (20, (25, 40))):
        writer = TensorBoardWriter(tmp_path, checkpoint)
        for steps in points:
            writer.write(_row(steps, loss=steps + checkpoint))
        writer.close()
    found = [(event.step, event.value) for event in _events(tmp_path).Scalars("loss")]
    assert found == [(10, 10.0), (20, 20.0), (25, 45.0), (40, 60.0)]


def test_tensorboard_shows_a_video_as_an_animation(tmp_path: Path) -> None:
    writer = TensorBoardWriter(tmp_path, 0)
    writer.write(_row(30))
    writer.video(Video(tmp_path / "a.mp4", 20, b"GIF89a animated", (480, 270)))  # later than its step
    writer.video(Video(tmp_path / "b.mp4", 40, None, (480, 270)))
    writer.close()
    (image,) = _events(tmp_path).Images("video")
    assert (image.step, image.width, image.height) == (20, 480, 270)
    assert image.encoded_image_string == b"GIF89a animated"


def test_a_full_disk_does_not_stop_tensorboards_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = TensorBoardWriter(tmp_path, 0)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writer._writer, "add_scalar", full)
        with pytest.warns(UserWarning, match="No space left"):
            writer.write(_row(1))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            writer.write(_row(2))  # said once
    writer.close()


# Weights & Biases


@pytest.fixture
def _no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("_no_key")
class TestWandbMode:
    """What ``wandb=null`` comes to."""

    def test_without_a_key(self) -> None:
        assert wandb_mode(None) == "disabled"

    @pytest.mark.parametrize("mode", ["online", "offline", "disabled"])
    def test_what_was_chosen_wins(self, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WANDB_API_KEY", "key")
        monkeypatch.setenv("WANDB_MODE", "offline")
        assert wandb_mode(mode) == mode

    @pytest.mark.parametrize(
        ("variable", "mode"),
        [
            ("online", "online"),
            ("offline", "offline"),
            ("disabled", "disabled"),
            ("dryrun", "disabled"),
            ("", "online"),
        ],
    )
    def test_the_environments_mode(self, variable: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WANDB_API_KEY", "key")
        monkeypatch.setenv("WANDB_MODE", variable)
        assert wandb_mode(None) == mode

    def test_a_key_in_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WANDB_API_KEY", "key")
        assert wandb_mode(None) == "online"
        monkeypatch.setenv("WANDB_API_KEY", "")
        assert wandb_mode(None) == "disabled"

    def test_a_key_in_netrc(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        netrc = tmp_path / ".netrc"
        netrc.write_text("machine api.wandb.ai\n  login user\n  password key\n")
        netrc.chmod(0o600)
        assert wandb_mode(None) == "online"
        monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org/path")
        assert wandb_mode(None) == "disabled"
        netrc.write_text("machine wandb.example.org login user password key\n")
        assert wandb_mode(None) == "online"

    @pytest.mark.parametrize(
        "content", [b"machine", b"machine other.org login a password b\n", b"\xff\xfe\x00", b"nonsense"]
    )
    def test_a_netrc_without_a_key(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / ".netrc").write_bytes(content)
        assert wandb_mode(None) == "disabled"


def test_nobody_imports_wandb_where_it_is_disabled(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from rmc_rl.config import make_config\n"
        "from rmc_rl.metrics import make_writers\n"
        "writers = make_writers(make_config('log.tensorboard=false'), Path(sys.argv[1]), 0)\n"
        "print([type(writer).__name__ for writer in writers], 'wandb' in sys.modules, 'tensorboard' in sys.modules)\n"
    )
    environment = {**os.environ, "WANDB_MODE": "disabled"}
    asked = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, timeout=120, env=environment
    )
    assert asked.stdout == "['CsvWriter'] False False\n", asked.stderr


def test_wandb_offline_keeps_its_files_in_the_run_folder(tmp_path: Path) -> None:
    home, run, temporary = tmp_path / "home", tmp_path / "run", tmp_path / "tmp"
    for folder in (home, run, temporary):
        folder.mkdir()
    script = (
        "import socket, sys\n"
        "def refuse(self, address):\n"
        "    if self.family != socket.AF_UNIX and address[0] not in ('127.0.0.1', 'localhost', '::1'):\n"
        "        raise AssertionError(f'connects to {address}')\n"
        "    return connect(self, address)\n"
        "connect, socket.socket.connect = socket.socket.connect, refuse\n"
        "from pathlib import Path\n"
        "from rmc_rl.config import make_config\n"
        "from rmc_rl.metrics import GLOSSARY, make_writers\n"
        "writers = make_writers(make_config('wandb=offline', 'log.tensorboard=false'), Path(sys.argv[1]), 0)\n"
        "for writer in writers:\n"
        "    writer.write({**dict.fromkeys(GLOSSARY, 0.5), 'steps': 10, 'return_mean': float('nan')})\n"
        "    writer.close()\n"
        "print([type(writer).__name__ for writer in writers])\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "XDG_"))}
    environment |= {"HOME": str(home), "TMPDIR": str(temporary)}
    asked = subprocess.run(
        [sys.executable, "-c", script, run], capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path
    )
    assert "['CsvWriter', 'WandbWriter']" in asked.stdout, asked.stderr
    (record,) = run.glob("wandb/offline-run-*/*.wandb")
    assert record.stat().st_size > 500
    assert list(home.rglob("*")) == []
    assert sorted(os.listdir(tmp_path)) == ["home", "run", "tmp"]


@pytest.mark.slow
def test_wandb_offline_keeps_everything_of_a_run(tmp_path: Path) -> None:
    """Configuration, figures, the machine's, videos, and checkpoints that can be watched."""
    script = (
        "import sys, time\n"
        "from rmc_rl import metrics, videos\n"
        "from rmc_rl.trainer import train\n"
        "videos.REST_SECONDS, videos.LAST_VIDEO_SECONDS = 0.0, 600.0\n"
        "train(sys.argv[1:])\n"
    )
    words = [
        *("engine=inline", "engine.learner_threads=1", "env=repeat-first", "core.head_size=4", "actor.num_envs=8"),
        *("actor.unroll_length=10", "total_steps=3000", "log.every_steps=500", "log.display=none", "seed=3"),
        *("log.video_every_steps=1500", "log.video_steps=8", "wandb=offline", f"runs_dir={tmp_path}"),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment |= {"WANDB_X_STATS_SAMPLING_INTERVAL": "1"}
    asked = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=900, env=environment
    )
    assert asked.returncode == 0, asked.stderr
    (run,) = tmp_path.iterdir()
    (header, *_) = offline_wandb.records(run, "run")
    config = offline_wandb.values(header.config.update)
    assert header.run_id == run.name
    assert (config["seed"], config["log"]["video_steps"], config["core"]["name"]) == (3, 8, "rmc")
    history = [offline_wandb.values(record.item) for record in offline_wandb.records(run, "history")]
    logged = [(int(row["steps"]), float(row["loss"])) for row in _read(run / "metrics.csv")]
    assert [(row["_step"], row["loss"]) for row in history if "loss" in row] == logged
    videos = {row["video.caption"]: run for row in history if "video.path" in row for run in [row["video.path"]]}
    made = sorted(path.name for path in (run / "videos").iterdir())
    assert sorted(videos) == [f"after {int(name[5:17]):,} steps" for name in made]
    for name in made:
        (kept,) = run.glob(f"wandb/offline-run-*/files/{videos[f'after {int(name[5:17]):,} steps']}")
        assert kept.read_bytes() == (run / "videos" / name).read_bytes()
    machine = [offline_wandb.values(record.item) for record in offline_wandb.records(run, "stats")]
    assert any("memory_percent" in figures for figures in machine)
    artifacts = offline_wandb.records(run, "artifact")
    assert {artifact.type for artifact in artifacts} == {"model"}
    aliases = [set(artifact.aliases) for artifact in artifacts]
    newest = latest_checkpoint(run / "checkpoints")
    assert aliases[-1] == {"latest", newest.name}
    assert any("best" in names for names in aliases)
    again = tmp_path / "again"  # as it would be downloaded
    for entry in artifacts[-1].manifest.contents:
        target = again / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(entry.local_path).read_bytes())
    assert (again / "config.yaml").read_bytes() == (run / "config.yaml").read_bytes()
    assert load_checkpoint(again / "checkpoints" / newest.name)[1] == load_checkpoint(newest)[1]


class _FakeArtifact:
    def __init__(self, name: str, type: str) -> None:
        self.name, self.type, self.content = name, type, list[str]()

    def add_file(self, path: str, skip_cache: bool) -> None:
        self.content.append(Path(path).name)

    def add_dir(self, path: str, name: str, skip_cache: bool) -> None:
        self.content.append(name)


class _FakeWandb:
    """Stands in for the package: records what it is asked."""

    def __init__(self, fails: set[str]) -> None:
        self.fails, self.modes, self.rows, self.finished = fails, list[str](), list[Any](), 0
        self.Settings = dict
        self.Artifact, self.artifacts = _FakeArtifact, list[tuple[list[str], _FakeArtifact]]()

    def init(self, *, mode: str, **arguments: Any) -> _FakeWandb:
        self.modes.append(mode)
        self.arguments = arguments
        if mode in self.fails:
            raise RuntimeError("no answer")
        return self

    def log(self, row: dict[str, float], step: int) -> None:
        self.rows.append((step, row))

    def log_artifact(self, artifact: _FakeArtifact, aliases: list[str]) -> None:
        if "upload" in self.fails:
            raise RuntimeError("no room")
        self.artifacts.append((aliases, artifact))

    def finish(self) -> None:
        self.finished += 1


def _fake(monkeypatch: pytest.MonkeyPatch, fails: set[str]) -> _FakeWandb:
    fake = _FakeWandb(fails)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for name in (
        "WANDB_DIR",
        "WANDB_CACHE_DIR",
        "WANDB_CONFIG_DIR",
        "WANDB_DATA_DIR",
        "WANDB_ARTIFACT_DIR",
        "WANDB_SILENT",
    ):
        monkeypatch.setenv(name, "elsewhere")  # so that what the writer sets is undone after the test
    return fake


@pytest.fixture(scope="module")
def config() -> Config:
    return make_config("log.tensorboard=false", "wandb=online")


def test_wandb_gets_the_configuration_and_the_rows(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = _fake(monkeypatch, set())
    writer = WandbWriter(config, tmp_path, "online")
    writer.write({"steps": 5, "loss": 0.5, "return_mean": NAN})
    writer.close()
    assert fake.modes == ["online"]
    assert fake.arguments["config"]["learner"]["discount"] == config.learner.discount
    assert (fake.arguments["id"], fake.arguments["resume"]) == (tmp_path.name, "allow")  # a resumed run is the same run
    assert fake.rows == [(5, {"steps": 5, "loss": 0.5})]
    assert fake.finished == 1


@pytest.mark.parametrize("group", [None, "my study"])
def test_wandb_groups_runs_as_the_configuration_does(
    group: str | None, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = _fake(monkeypatch, set())
    WandbWriter(replace(config, group=group), tmp_path, "online").close()
    assert fake.arguments["group"] == group


def _checkpoint(folder: Path, name: str, steps: int) -> Path:
    path = folder / "checkpoints" / name
    path.mkdir(parents=True, exist_ok=True)
    (path / "checkpoint.json").write_text(json.dumps({"info": {"steps": steps}}))
    return path


def test_the_best_checkpoint_is_sent_now_and_then_and_the_last_at_the_end(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = _fake(monkeypatch, set())
    clock = [0.0]
    writer = WandbWriter(config, tmp_path, "online")
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    def save(steps: int, best: bool) -> None:
        if best:
            _checkpoint(tmp_path, "best", steps)
        writer.saved(_checkpoint(tmp_path, f"step-{steps:012d}", steps), best)

    def sent() -> list[list[str]]:
        return [aliases for aliases, _ in fake.artifacts]

    save(1, False)
    assert sent() == []
    save(2, True)
    assert sent() == [["best", "step-000000000002"]]
    clock[0] = metrics.BEST_ARTIFACT_SECONDS - 1
    save(3, True)
    assert len(sent()) == 1
    clock[0] += 1
    save(4, False)  # the third waited for it
    assert sent()[1:] == [["best", "step-000000000003"]]
    save(5, True)
    save(6, False)
    writer.close()
    assert sent()[2:] == [["best", "step-000000000005"], ["latest", "step-000000000006"]]
    assert {artifact.type for _, artifact in fake.artifacts} == {"model"}
    assert fake.artifacts[-1][1].content == ["config.yaml", "checkpoints/step-000000000006"]
    assert fake.finished == 1


def test_checkpoints_need_not_be_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = _fake(monkeypatch, set())
    writer = WandbWriter(make_config("log.wandb_checkpoints=false"), tmp_path, "online")
    _checkpoint(tmp_path, "best", 2)
    writer.saved(_checkpoint(tmp_path, "step-000000000002", 2), True)
    writer.close()
    assert fake.artifacts == []


def test_a_checkpoint_that_wandb_does_not_take_costs_one_warning(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = _fake(monkeypatch, {"upload"})
    writer = WandbWriter(config, tmp_path, "online")
    _checkpoint(tmp_path, "best", 2)
    with pytest.warns(UserWarning, match=r"W&B did not take the checkpoint .*best \(no room\): training goes on"):
        writer.saved(_checkpoint(tmp_path, "step-000000000002", 2), True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        writer.close()
    assert fake.finished == 1


def test_an_unreachable_wandb_costs_a_warning(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = _fake(monkeypatch, {"online"})
    with pytest.warns(UserWarning, match=r"cannot be reached \(no answer\); this run is kept offline"):
        WandbWriter(config, tmp_path, "online")
    assert fake.modes == ["online", "offline"]


def test_a_wandb_that_does_not_start_offline_is_a_user_error(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake(monkeypatch, {"online", "offline"})
    with pytest.raises(UserError, match="Weights & Biases cannot be started: no answer"):
        WandbWriter(config, tmp_path, "offline")


# Which writers


@pytest.mark.parametrize("missing", ["wandb", "torch.utils.tensorboard.writer"])
def test_a_package_that_is_not_installed_costs_a_warning(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)  # importing it fails
    config = make_config("wandb=online" if missing == "wandb" else "wandb=disabled", "log.tensorboard=true")
    with pytest.warns(UserWarning, match=f"{missing.replace('torch.utils.', '').split('.')[0]} is not installed"):
        writers = make_writers(config, tmp_path, 0)
    for writer in writers:
        writer.close()
    assert isinstance(writers[0], CsvWriter)
    assert len(writers) == (2 if missing == "wandb" else 1)


def test_the_shipped_configuration_writes_csv_and_tensorboard(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        writers = make_writers(make_config(), tmp_path, 0)
    assert [type(writer) for writer in writers] == [CsvWriter, TensorBoardWriter]
    for writer in writers:
        writer.close()
    assert metrics.wandb_mode(make_config().wandb) == "disabled"
