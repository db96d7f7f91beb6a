from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rmc_rl.checkpoint import INFO, STATE, latest_checkpoint
from rmc_rl.config import read_config
from rmc_rl.curves.runs import find_runs
from rmc_rl.train_command import main

SMALL = [
    *("engine=inline", "engine.learner_threads=1", "env=repeat-first", "core.head_size=4", "actor.num_envs=8"),
    *("total_steps=300", "log.display=none"),
]


def call(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["train", *words])
    main()


def refused(monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as leaving:
        call(monkeypatch, folder, *words)
    assert leaving.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1, error
    return error


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    call(monkeypatch, tmp_path, *SMALL)
    capsys.readouterr()
    return next((tmp_path / "runs").iterdir())


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("env=minipacmn", "env=minipacmn is not known: did you mean 'minipacman'"),
        ("core=rcm", "core=rcm is not known: did you mean 'rmc'"),
        ("engine=rai", "engine=rai is not known: did you mean 'ray'"),
        ("experiment=nothing", "experiment=nothing is not known"),
        ("totl_steps=3", "unknown key 'totl_steps': did you mean 'total_steps'"),
        ("learning_rate=1e-3", "unknown key 'learning_rate': did you mean 'learner.learning_rate'"),
        ("core.mem_slot=3", "unknown key 'core.mem_slot': did you mean 'core.mem_slots'"),
        ("env.id=CartPole-v7", "unknown environment 'CartPole-v7': did you mean 'CartPole-v1'"),
        ("env.id=os:Thing-v0", "add trust=true if you trust it"),
        ("env.kwargs.length=long", "length"),
        ("total_steps=many", "total_steps"),
        ("total_steps=0", "total_steps=0 is too small: at least 1"),
        ("learner.discount=1.5", "learner.discount=1.5 is too large: at most 1"),
        ("learner.optimizer=sgd", "learner.optimizer=sgd is not known: known are: adam, rmsprop"),
        ("core.mem_slots=abc", "mem_slots"),
        ("core.gate_style=units", "gate_style"),
        ("device=cuda", "device=cuda, but torch sees no GPU here"),
        ("seed=1,2", "--multirun"),
        ("words", "'words' is not of the form key=value"),
        ("--quick", "unknown option '--quick'"),
        ("resume=nowhere", "the run folder nowhere does not exist"),
        ("resume=latest", "there is no run in"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str, message: str
) -> None:
    if word == "device=cuda":
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    words = ["core=rmc", *SMALL] if word.startswith("core") else SMALL
    assert message in refused(monkeypatch, tmp_path, capsys, *words, word)
    assert list(tmp_path.iterdir()) == [], "nothing was written"


def test_resume_folders_that_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert "is empty" in refused(monkeypatch, tmp_path, capsys, "resume=empty")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("hello")
    assert "is not a run folder of rmc-rl" in refused(monkeypatch, tmp_path, capsys, "resume=foreign")
    (tmp_path / "foreign" / "config.yaml").write_text("model: resnet\n")
    assert "holds no checkpoint" in refused(monkeypatch, tmp_path, capsys, "resume=foreign")
    (tmp_path / "foreign" / "checkpoints" / "step-000000000001").mkdir(parents=True)
    assert "unknown key 'model'" in refused(monkeypatch, tmp_path, capsys, "resume=foreign")


@pytest.mark.parametrize("file", [STATE, INFO])
@pytest.mark.parametrize("damage", ["truncated", "altered", "missing"])
def test_damaged_checkpoints_are_named(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: str, damage: str
) -> None:
    path = latest_checkpoint(run / "checkpoints") / file
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        middle = len(content) // 2
        altered = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes(content[:middle] if damage == "truncated" else altered)
    error = refused(monkeypatch, run.parent.parent, capsys, "resume=latest", "total_steps=900")
    assert path.parent.name in error
    assert "remove" in error, "the remedy"


def test_resume_goes_on(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    call(monkeypatch, run.parent.parent, "resume=latest", "total_steps=9e2")
    assert "resuming" in capsys.readouterr().err
    assert int(latest_checkpoint(run / "checkpoints").name.removeprefix("step-")) >= 900


def test_multirun_trains_each_value_and_writes_below_runs_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [word for word in SMALL if not word.startswith("core")]
    call(monkeypatch, tmp_path, *words, "--multirun", "seed=3,4", "core=lstm,rmc")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    names = sorted(path.name for path in (tmp_path / "runs").iterdir() if path.name != "sweeps")
    endings = sorted(name.split("repeat-first-")[1] for name in names)
    assert endings == ["lstm-3", "lstm-4", "rmc-3", "rmc-4"]
    (sweep,) = (tmp_path / "runs" / "sweeps").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", sweep.name)
    assert {read_config(tmp_path / "runs" / name / "config.yaml").group for name in names} == {sweep.name}
    assert len(find_runs(["latest"], "latest", str(tmp_path / "runs"))) == 4


def test_a_sweep_has_the_group_that_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, tmp_path, *SMALL, "--multirun", "seed=3,4", "group=my study")
    assert len(find_runs(["latest"], "my study", str(tmp_path / "runs"))) == 2
    assert [path.name for path in (tmp_path / "runs" / "sweeps").iterdir()] == ["my study"]
    call(monkeypatch, tmp_path, *SMALL, "--multirun", "seed=5", "group=null")
    assert len(list((tmp_path / "runs" / "sweeps").iterdir())) == 2


def test_a_sweep_has_one_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(monkeypatch, tmp_path, capsys, *SMALL, "--multirun", "seed=3,4", "group=a,b")
    assert "'group=a,b' names several groups: a sweep has one" in error
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rmc_rl.config import TRAIN

    call(monkeypatch, tmp_path, "--help")
    page = capsys.readouterr().out
    for key, item in TRAIN.describe():
        assert key in page
        assert item.metadata["meaning"] in page
    assert "python -m rmc_rl.train --multirun seed=0,1,2" in page


def test_a_users_own_config_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine" / "env").mkdir(parents=True)
    (tmp_path / "mine" / "env" / "cartpole.yaml").write_text("name: cartpole\nid: CartPole-v1\nkwargs: {}\n")
    call(monkeypatch, tmp_path, *SMALL, "--config-dir", "mine", "env=cartpole")
    (made,) = (tmp_path / "runs").iterdir()
    assert "id: CartPole-v1" in (made / "config.yaml").read_text()
    capsys.readouterr()
    assert "the config folder nowhere does not exist" in refused(
        monkeypatch, tmp_path, capsys, *SMALL, "--config-dir", "nowhere"
    )


def test_the_door_hides_nothing() -> None:
    """`python -m rmc_rl.train` is a module, `rmc_rl.train` the function."""
    code = "import rmc_rl, rmc_rl.train_command, rmc_rl.trainer; assert callable(rmc_rl.train)"
    subprocess.run([sys.executable, "-c", code], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "rmc_rl.train", "env=nonsense"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: env=nonsense is not known")


def test_resume_knows_the_keys_of_the_saved_run(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run is of another environment than the default one, with keys of its own."""
    call(monkeypatch, run.parent.parent, "resume=latest", "env.kwargs.length=9", "total_steps=900")
    assert "changed env.kwargs.length: 8 -> 9" in capsys.readouterr().err
    assert "unknown key 'env.kwargs.task'" in refused(
        monkeypatch, run.parent.parent, capsys, "resume=latest", "env.kwargs.task=hunt"
    )
    assert "--multirun" in refused(monkeypatch, run.parent.parent, capsys, "resume=latest", "--multirun")
