"""The making of videos beside training; what is made is tested in viewer/test_training_video.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from rmc_rl import videos as module
from rmc_rl.checkpoint import checkpoints, load_checkpoint
from rmc_rl.config import Config, make_config, read_config
from rmc_rl.metrics import Video, Writer
from rmc_rl.trainer import train
from rmc_rl.videos import Videos
from tests.leftovers import nothing_is_left

WORDS = (
    *("engine=inline", "engine.learner_threads=1", "env=repeat-first", "core.head_size=4", "actor.num_envs=8"),
    *("actor.unroll_length=10", "log.every_steps=500", "log.display=none", "log.video_steps=8"),
)
MAKE = "import pathlib, sys; place = pathlib.Path(sys.argv[1]); (place / 'video.mp4').write_bytes(b'film')"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train([*WORDS, "total_steps=200", f"runs_dir={tmp_path_factory.mktemp('runs')}"]).run


@pytest.fixture
def checkpoint(run: Path) -> Path:
    return checkpoints(run / "checkpoints")[-1]


class Kept(Writer):
    """Keeps the videos it is given."""

    def __init__(self) -> None:
        self.videos: list[Video] = []

    def video(self, video: Video) -> None:
        self.videos.append(video)


class Making:
    """Videos of a run of their own, and what was said and handed over."""

    def __init__(self, folder: Path, config: Config, steps: int = 0) -> None:
        self.said: list[str] = []
        self.kept = Kept()
        self.folder = folder / "videos"
        self.videos = Videos(config, folder, steps, [self.kept], self.said.append)

    def settle(self) -> None:
        """Until nothing is being made."""
        deadline = time.monotonic() + 30
        while self.videos.busy():
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def config() -> Config:
    return make_config(*WORDS, "log.video_every_steps=100")


@pytest.fixture
def making(tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[Making]:
    monkeypatch.setattr(module, "REST_SECONDS", 0.0)
    made = Making(tmp_path, config)
    with nothing_is_left():
        yield made
        made.videos.close()


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a script in the place of what makes the videos."""
    return lambda script: monkeypatch.setattr(module, "MAKER", (sys.executable, "-c", script))


def test_a_video_is_due_at_each_multiple_once(making: Making, maker: Callable[[str], None], checkpoint: Path) -> None:
    maker(MAKE)
    videos = making.videos
    assert [steps for steps in (0, 99, 100, 150) if videos.due(steps)] == [100, 150]
    videos.start(checkpoint, 150)
    making.settle()
    assert [steps for steps in (150, 199, 90, 200) if videos.due(steps)] == [200]
    videos.start(checkpoint, 450)  # some were passed over
    making.settle()
    assert [steps for steps in (499, 500) if videos.due(steps)] == [500]


def test_a_resumed_run_goes_on_with_the_next_multiple(tmp_path: Path, config: Config) -> None:
    videos = Making(tmp_path, config, steps=250).videos
    assert [steps for steps in (250, 299, 300) if videos.due(steps)] == [300]


def test_without_the_key_none_is_due(tmp_path: Path) -> None:
    config = make_config(*WORDS, "log.video_every_steps=null")
    assert not Making(tmp_path, config).videos.due(10**12)


def test_one_at_a_time_and_a_rest(
    making: Making, maker: Callable[[str], None], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker(f"import time; time.sleep(0.3); {MAKE}")
    making.videos.start(checkpoint, 100)
    assert not making.videos.due(200)
    making.settle()
    assert making.videos.due(200)
    monkeypatch.setattr(module, "REST_SECONDS", 1000.0)
    making.videos.start(checkpoint, 200)
    making.settle()
    assert not making.videos.due(300)


def test_what_is_complete_is_handed_over(making: Making, maker: Callable[[str], None], checkpoint: Path) -> None:
    maker(f"{MAKE}; assert '--gif' in sys.argv; (place / 'video.gif').write_bytes(b'small')")
    making.videos.start(checkpoint, 100)
    making.settle()
    path = making.folder / f"{checkpoint.name}.mp4"
    steps = int(checkpoint.name.removeprefix("step-"))
    assert making.kept.videos == [Video(path, steps, b"small", module.GIF_SIZE)]
    assert path.read_bytes() == b"film"
    assert os.listdir(making.folder) == [path.name]
    assert making.said == [f"video: {path}"]


def test_the_maker_gets_a_run_folder_that_lasts(
    making: Making, maker: Callable[[str], None], checkpoint: Path, tmp_path: Path, config: Config
) -> None:
    """The run may remove its checkpoint meanwhile."""
    written = tmp_path / "checkpoints" / checkpoint.name
    subprocess.run(["cp", "-r", checkpoint, tmp_path], check=True)
    written.parent.mkdir()
    (tmp_path / checkpoint.name).rename(written)
    maker(f"import time; time.sleep(0.5); {MAKE}; place.rename(place.parent.parent / 'seen'); place.mkdir()")
    making.videos.start(written, 100)
    for path in written.iterdir():
        path.unlink()
    written.rmdir()
    making.settle()
    seen = tmp_path / "seen"
    assert read_config(seen / "config.yaml") == config
    (copied,) = checkpoints(seen / "checkpoints")
    assert load_checkpoint(copied)[1] == load_checkpoint(checkpoint)[1]


def test_where_there_are_no_links_the_checkpoint_is_copied(
    making: Making, maker: Callable[[str], None], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    maker(f"{MAKE}; [folder] = (place / 'checkpoints').iterdir(); assert (folder / 'state.safetensors').stat().st_size")
    making.videos.start(checkpoint, 100)
    making.settle()
    assert len(making.kept.videos) == 1


def test_a_failure_is_said_once_until_one_succeeds(
    making: Making, maker: Callable[[str], None], checkpoint: Path
) -> None:
    for script in ("raise SystemExit('error: no pygame')", "raise SystemExit('error: no pygame')", MAKE, "1 / 0"):
        maker(script)
        making.videos.start(checkpoint, 100)
        making.settle()
    path = making.folder / f"{checkpoint.name}.mp4"
    assert making.said == [
        "no video was made (no pygame): training is not affected",
        f"video: {path}",
        "no video was made (ZeroDivisionError: division by zero): training is not affected",
    ]
    assert os.listdir(making.folder) == [path.name]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "its process was ended by signal 9"),
        ("raise SystemExit(3)", "its process ended with status 3"),
        ("pass", "No such file or directory"),  # it says that all is well and leaves nothing
    ],
)
def test_whatever_ends_the_maker_costs_one_warning(
    making: Making, maker: Callable[[str], None], checkpoint: Path, script: str, reason: str
) -> None:
    maker(script)
    making.videos.start(checkpoint, 100)
    making.settle()
    (said,) = making.said
    assert reason in said
    assert not making.folder.exists()


def test_a_full_disk_costs_one_warning(making: Making, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    for steps in (100, 200):
        assert making.videos.due(steps)
        making.videos.start(checkpoint, steps)
    assert making.said == ["no video was made ([Errno 28] No space left on device): training is not affected"]


def test_a_program_that_cannot_be_started_costs_one_warning(
    making: Making, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAKER", ("/no/such/python",))
    making.videos.start(checkpoint, 100)
    assert len(making.said) == 1
    assert os.listdir(making.folder) == []


def test_without_a_checkpoint_it_is_left_out(making: Making) -> None:
    making.videos.start(None, 100)
    assert not making.videos.busy()
    assert not making.videos.due(199)
    assert making.said == []


def children() -> set[psutil.Process]:
    """Other tests, of pages and of Ray, have processes of their own, which last."""
    return set(psutil.Process().children())


@pytest.mark.parametrize("obedient", [True, False])
def test_what_takes_too_long_is_given_up(
    making: Making,
    maker: Callable[[str], None],
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    obedient: bool,
) -> None:
    monkeypatch.setattr(module, "VIDEO_SECONDS", 5.0)
    monkeypatch.setattr(module, "CANCEL_SECONDS", 0.2)
    others = children()
    deaf = "" if obedient else "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    maker(f"{deaf}import time; time.sleep(1000)")
    making.videos.start(checkpoint, 100)
    assert making.videos.busy()
    making.settle()
    assert making.said == ["no video was made (it took more than 5 seconds): training is not affected"]
    assert not making.folder.exists()
    assert children() <= others


def test_close_gives_it_up_silently(making: Making, maker: Callable[[str], None], checkpoint: Path) -> None:
    maker("import time; time.sleep(1000)")
    others = children()
    making.videos.start(checkpoint, 100)
    (process,) = children() - others
    making.videos.close()
    assert not process.is_running()
    assert not making.folder.exists()
    assert making.said == []


def test_a_finished_run_waits_for_its_last_video(
    making: Making, maker: Callable[[str], None], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the one that is being made and the one that is due, however short the rest."""
    monkeypatch.setattr(module, "REST_SECONDS", 1000.0)
    maker(f"import time; time.sleep(0.2); {MAKE}")
    making.videos.start(checkpoint, 100)
    making.videos.finish(checkpoint, 300, threading.Event())
    assert len(making.kept.videos) == 2
    assert making.said[0] == "the last video is being made (Ctrl-C leaves without it) …"
    said = list(making.said)
    making.videos.finish(checkpoint, 399, threading.Event())
    assert making.said == said


def test_a_finished_run_does_not_wait_for_ever(
    making: Making, maker: Callable[[str], None], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LAST_VIDEO_SECONDS", 0.3)
    maker("import time; time.sleep(1000)")
    making.videos.finish(checkpoint, 100, threading.Event())
    assert making.said[1:] == [
        "no video was made (it was not complete 0.3 seconds after the run's end): training is not affected"
    ]
    assert not making.folder.exists()


def test_a_stop_is_not_kept_waiting(making: Making, maker: Callable[[str], None], checkpoint: Path) -> None:
    maker("import time; time.sleep(1000)")
    making.videos.start(checkpoint, 100)
    stop = threading.Event()
    stop.set()
    started = time.monotonic()
    making.videos.finish(checkpoint, 100, stop)
    making.videos.close()
    assert time.monotonic() - started < module.LAST_VIDEO_SECONDS / 2


def test_what_a_killed_run_left_is_removed(making: Making, maker: Callable[[str], None], checkpoint: Path) -> None:
    left = making.folder / ".writing-old" / "checkpoints"
    left.mkdir(parents=True)
    maker(MAKE)
    making.videos.start(checkpoint, 100)
    making.settle()
    assert os.listdir(making.folder) == [f"{checkpoint.name}.mp4"]


def test_nothing_is_written_through_a_strangers_link(
    making: Making, maker: Callable[[str], None], checkpoint: Path, tmp_path: Path
) -> None:
    maker(MAKE)
    elsewhere, precious = tmp_path / "elsewhere", tmp_path / "precious"
    elsewhere.mkdir()
    precious.write_text("mine")
    making.folder.symlink_to(elsewhere)
    making.videos.start(checkpoint, 100)
    assert making.said == [f"no video was made ({making.folder} is a link): training is not affected"]
    assert list(elsewhere.iterdir()) == []
    making.folder.unlink()
    making.folder.mkdir()
    video = making.folder / f"{checkpoint.name}.mp4"
    video.symlink_to(precious)
    making.videos.start(checkpoint, 200)
    making.settle()
    assert precious.read_text() == "mine"
    assert not video.is_symlink()


def test_the_process_gives_way_and_takes_no_gpu(
    making: Making, maker: Callable[[str], None], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(sys, "path", [*sys.path, "/a/place/of/modules"])
    names = ("CUDA_VISIBLE_DEVICES", "SDL_VIDEODRIVER", "OMP_NUM_THREADS", "PYTHONPATH")
    maker(f"import os, sys; sys.exit(repr([os.environ[name] for name in {names}]))")
    making.videos.start(checkpoint, 100)
    making.settle()
    assert "(['', 'dummy', '1', '" in making.said[0]
    assert "/a/place/of/modules" in making.said[0]


# The whole way


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of the run find the packages, as where they are installed."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("engine", ["inline", pytest.param("ray", marks=pytest.mark.ray)])
def test_a_training_process_that_ends_takes_the_video_with_it(
    tmp_path: Path, engine: str, number: signal.Signals
) -> None:
    words = [*WORDS, f"engine={engine}", "engine.learner_threads=null", f"runs_dir={tmp_path}"]
    words += ["total_steps=1000000000", "log.video_every_steps=100", "log.video_steps=100000", "log.tensorboard=false"]
    with nothing_is_left(patience=30.0) as watch:
        command = [sys.executable, "-m", "rmc_rl.train", *words]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            deadline = time.monotonic() + 600
            while not list(tmp_path.glob("*/videos/.writing-*/.video*")):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            (maker,) = [found for found in watch.processes() if "rmc_rl.viewer.training_video" in found.cmdline()]
            assert maker.nice() == min(19, psutil.Process().nice() + 10)
            process.send_signal(number)
            _, said = process.communicate(timeout=300)
            assert not psutil.wait_procs([maker], timeout=300)[1]
        finally:
            process.kill()
            process.wait()
            for temporary in Path(tempfile.gettempdir()).glob(f"rmc-rl-{process.pid}-*"):
                from rmc_rl.engines.ray_processes import stop_ray

                stop_ray(str(temporary))  # where the run was killed outright its agents take a minute to notice
    assert process.returncode == (0 if number == signal.SIGINT else -number)
    assert "Traceback" not in said
    assert list(tmp_path.glob("*/videos/*")) == []


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [("IMAGEIO_FFMPEG_EXE", "/bin/true", r"has no encoder for .mp4"), ("PYTHONPATH", None, "it needs pygame")],
)
def test_a_missing_part_costs_one_warning(
    tmp_path: Path,
    checkpoint: Path,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str | None,
    reason: str,
) -> None:
    if value is None:
        (tmp_path / "pygame.py").write_text("raise ImportError('it is not there')")
        monkeypatch.syspath_prepend(tmp_path)
    else:
        monkeypatch.setenv(name, value)
    making = Making(tmp_path, config)
    making.videos.finish(checkpoint, 100, threading.Event())
    _, said = making.said
    assert said.startswith("no video was made (")
    assert reason in said
    assert not making.folder.exists()
