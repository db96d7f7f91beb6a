from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from rmc_rl.analyse import PLAIN_WIDTH, main
from rmc_rl.supervised.trainer import train
from tests.rmc_rl.recorded import write_run
from tests.rmc_rl.supervised.language.texts import write_texts

SMALL = (
    *("core.mem_slots=2", "core.head_size=4", "core.num_heads=2", "total_steps=2", "model.hidden_sizes=[8]"),
    *("learner.batch_size=20", "learner.threads=1", "evaluation.sequences=20"),
    *("log.display=none", "log.tensorboard=false", "wandb=disabled"),
)


def trained(folder: Path, *words: str) -> Path:
    return train([*SMALL, *words, f"runs_dir={folder}"]).run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of Nth Farthest; read only."""
    return trained(tmp_path_factory.mktemp("runs"))


def _call(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["analyse", *words])
    main()


def _refused(monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as leaving:
        _call(monkeypatch, folder, *words)
    assert leaving.value.code == 1
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith("error: ")
    assert sum(line.startswith("error") for line in error) == 1
    return error[-1]


def test_a_language_model_is_analysed_where_its_texts_are_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    texts = write_texts(tmp_path / "texts", 200)
    words = ["task=language", f"task.data={texts}", "task.window=5", "core=lstm", "core.hidden_size=8"]
    others = [word for word in SMALL if not word.startswith(("core.", "model."))]
    run = train([*words, "model.embedding_size=8", *others, f"runs_dir={tmp_path / 'runs'}"]).run
    texts.rename(tmp_path / "moved")
    assert "there is no such file or folder" in _refused(monkeypatch, tmp_path, capsys, f"run={run}")
    _call(monkeypatch, tmp_path, f"run={run}", f"task.data={tmp_path / 'moved'}")
    assert "By how many words the memory is carried" in capsys.readouterr().out
    assert json.loads((run / "analysis" / "analysis.json").read_text())["task"]["data"] == str(tmp_path / "moved")


def test_nth_farthest_is_written_beside_the_run(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (f"run={run}", "sequences=100", "seed=3", f"out={tmp_path / 'new' / 'place'}")
    _call(monkeypatch, tmp_path, *words)
    folder = tmp_path / "new" / "place"
    record = json.loads((folder / "analysis.json").read_text())
    assert (record["run"], record["steps"], record["sequences"], record["seed"]) == (str(run), 2, 100, 3)
    assert record["task"] == {"name": "nth_farthest", "num_vectors": 4, "dimensions": 8, "min_vectors": None}
    assert record["overall"][0]["count"] == 100
    assert {path.name for path in folder.iterdir()} == {*record["pictures"], "analysis.json"}
    assert set(record["pictures"]) == {
        *("accuracy.png", "errors.png", "attention.png"),
        *("attention-first.png", "attention-middle.png", "attention-last.png"),
    }
    for name in record["pictures"]:
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 300
    printed = capsys.readouterr()
    assert "By when vector m is shown" in printed.out
    assert f"written to {folder}: accuracy.png" in printed.out
    assert max(map(len, printed.out.splitlines()[:-1])) <= PLAIN_WIDTH
    assert "\x1b" not in printed.out
    assert f"{run}, nth_farthest · rmc, after 2 updates" in printed.err


@pytest.mark.parametrize(("task", "levels"), [("reverse", 2), ("control", 4)])
def test_a_second_call_replaces_the_files_of_the_first(
    task: str, levels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And makes the same ones, byte for byte."""
    run = trained(tmp_path, f"task={task}", "task.length=2")
    words = (f"run={run.name}", f"runs_dir={tmp_path}", "sequences=20")
    _call(monkeypatch, tmp_path, *words)
    folder = run / "analysis"
    record = json.loads((folder / "analysis.json").read_text())
    assert [level["solved"]["count"] for level in record["levels"]] == [20] * levels
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {"accuracy.png", "places.png", "analysis.json"}
    (folder / "accuracy.png").write_bytes(b"old")
    _call(monkeypatch, tmp_path, *words)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_task_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And with it numbers that JSON has no words for: no answer counts at the second place."""
    (tmp_path / "own_task_for_analysis.py").write_text(
        """
import torch
from rmc_rl.supervised import Batch, Task, register_task

@register_task("own_for_analysis")
class Own(Task):
    def __init__(self) -> None:
        self.input_size, self.num_classes = 1, 2

    def batch(self, size, generator, stage="train"):
        numbers = torch.randint(2, (2, size), generator=generator)
        reset = torch.tensor([True, False])[:, None].expand(2, size)
        return Batch(numbers[..., None].float(), reset, numbers, reset)

    def question(self, batch, item):
        return "which?\\x1b[31m"

    def answer(self, classes, mask):
        return str(classes[mask].tolist())
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "own.yaml").write_text("name: own_for_analysis\n")
    own = ("task=own", "modules=[own_task_for_analysis]", "trust=true")
    run = train([*SMALL, *own, f"runs_dir={tmp_path}"], extra_dir=str(tmp_path)).run
    _call(monkeypatch, tmp_path, f"run={run}", "sequences=30", "trust=true")
    record = json.loads((run / "analysis" / "analysis.json").read_text())
    assert [place["share"] is None for place in record["places"]] == [False, True]
    assert record["examples"]
    assert record["pictures"] == []
    assert "no analysis of its own" in record["notes"][0]


def test_without_a_run_the_baselines_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("task=nth-farthest", "task.num_vectors=8", "task.dimensions=16", "sequences=20000")
    _call(monkeypatch, tmp_path, *words)
    lines = capsys.readouterr().out
    assert "8 vectors of 16 numbers" in lines
    for words_of_line in (("chance", "12.5 %"), ("reference", "25.0 %")):
        assert any(all(word in line for word in words_of_line) for line in lines.splitlines())
    assert list(tmp_path.iterdir()) == []
    _call(monkeypatch, tmp_path, *words, "out=found")
    record = json.loads((tmp_path / "found" / "analysis.json").read_text())
    assert record["baselines"]["norm"] == pytest.approx(0.304, abs=0.012)
    assert (record["num_vectors"], record["dimensions"], record["sequences"]) == (8, 16, 20_000)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sequences=0",), "sequences=0 is too small: at least 1"),
        (("sequences=many",), "sequences=many"),
        (("sequences=10000001",), "sequences=10000001 is too large: at most 10000000"),
        (("seed=2147483648",), "seed=2147483648 is too large: below 2^31"),
        (("run=nowhere",), "the run folder nowhere does not exist"),
        (("runs_dir=nowhere",), "there is no run in"),
        (("colour=red",), "unknown option 'colour'"),
        (("task=copy",), "task=copy: what can be had without a model is known of task=nth-farthest alone"),
        (("task=cpy",), "task=cpy is not known: did you mean 'copy'?"),
        (("task.num_vectors=1",), "num_vectors: 1 given, at least 2 needed"),
        (("task.vectors=1",), "unknown key 'task.vectors'"),
        (("task=nth-farthest", "run=latest"), "run=latest and task=nth-farthest: a run has its own task"),
        (("task.window=3", "run=latest"), "run=latest and task.window=3: a run has its own task"),
        (("task=language", "task.data=nowhere"), "without a model is known of task=nth-farthest alone"),
        (("task=nth-farthest", "out=\0"), "out="),
    ],
)
def test_bad_words(
    words: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert message in _refused(monkeypatch, tmp_path, capsys, *words)


def test_bad_runs_and_places(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    agents = write_run(tmp_path / "agents")
    (tmp_path / "file").touch()
    refused = {
        (f"run={agents}",): f"{agents} was made by `python -m rmc_rl.train`: it is of another kind",
        (f"run={run}", "checkpoint=first"): "has no checkpoint 'first'",
        (f"run={run}", "out=file"): "out=file cannot be written: File exists",
        (f"run={run}", "out=file/deeper"): "out=file/deeper cannot be written: Not a directory",
    }
    for words, message in refused.items():
        assert message in _refused(monkeypatch, tmp_path, capsys, *words)


def test_a_damaged_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = trained(tmp_path)
    (state,) = damaged.glob("checkpoints/step-*/state.safetensors")
    state.write_bytes(state.read_bytes()[:-8])
    assert str(state.parent) in _refused(monkeypatch, tmp_path, capsys, f"run={damaged}")
    assert not (damaged / "analysis").exists()


def test_without_matplotlib_the_remedy_is_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    error = _refused(monkeypatch, tmp_path, capsys, f"run={run}", "out=here")
    assert 'pip install "rmc-rl[plot]"' in error
    assert list((tmp_path / "here").iterdir()) == []


def test_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        _call(monkeypatch, tmp_path, "--help")
    assert leaving.value.code == 0
    printed = capsys.readouterr().out
    assert "python -m rmc_rl.analyse task=nth-farthest" in printed
    assert "sequences=null" in printed
