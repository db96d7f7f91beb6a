from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import rmc_rl
from rmc_rl.__main__ import RUNNABLE, main, verbs

PACKAGE = Path(rmc_rl.__file__).parent
PROCESSES = {"viewer.training_video"}
"""Modules that can be run and are no verbs: programs that a verb starts."""


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["rmc_rl", *words])
    main()


def test_every_module_that_can_be_run_is_a_verb() -> None:
    files = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if RUNNABLE in path.read_text()]
    names = {".".join(path.with_suffix("").parts).removesuffix(".__main__") for path in files} - {"__main__"}
    assert names - PROCESSES == set(verbs())
    assert {"train", "supervised", "evaluate", "watch", "export", "report", "plot", "rllib", "pretrained"} <= names


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_the_verbs_are_listed_with_what_they_do(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, *words)
    lines = capsys.readouterr().out.splitlines()
    listed = dict(line.split(maxsplit=1) for line in lines[lines.index("Verbs:") + 1 :])
    assert listed == verbs()
    assert listed["watch"] == "watch a trained agent play, its memory laid open"
    assert all(len(line) <= 100 for line in lines)


def test_an_unknown_word_is_told_its_neighbour(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        call(monkeypatch, "evalute")
    assert capsys.readouterr().err == "error: 'evalute' is not a verb: did you mean 'evaluate'?\n"


def test_a_verbs_name_runs_it_and_the_list_needs_no_torch(tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    helped = run("-m", "rmc_rl", "plot", "--help")
    assert helped.stdout == run("-m", "rmc_rl.plot", "--help").stdout
    assert helped.stdout.startswith("``python -m rmc_rl.plot")
    refused = run("-m", "rmc_rl", "plot", "fil=x.png")
    assert refused.stderr.startswith("error: unknown option 'fil': did you mean 'file'")
    listed = run("-X", "importtime", "-m", "rmc_rl")
    assert "Verbs:" in listed.stdout
    assert "torch" not in listed.stderr
