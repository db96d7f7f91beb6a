"""What is drawn is read back from the figure; that files are pictures, from the files."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from rmc_rl import palette
from rmc_rl.curves.bands import interval
from rmc_rl.curves.runs import Run, read_run
from rmc_rl.errors import UserError
from rmc_rl.plot import DOTS_PER_INCH, MOST_PANELS, draw, main, parse_size, save
from tests.rmc_rl.recorded import write_run, write_supervised_run


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    """Two cores of three seeds; one lstm stopped early."""
    random = np.random.default_rng(0)
    found = []
    for core in ("rmc", "lstm"):
        for seed in range(3):
            lines = 4 if (core, seed) == ("lstm", 2) else 6
            settings = {"seed": seed, "group": "both"}
            folder = tmp_path / "runs" / f"{core}-{seed}"
            found.append(read_run(write_run(folder, core=core, settings=settings, returns=random.random(lines))))
    return found


def _call(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["plot", *words])
    main()


def _refused(monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as leaving:
        _call(monkeypatch, folder, *words)
    assert leaving.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1, error
    return error


def _texts(figure: Figure) -> list[str]:
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return legends + [text.get_text() for text in figure.texts]


def test_seeds_are_one_line_with_a_band_and_go_on_faint(runs: list[Run]) -> None:
    figure, words = draw(runs, ["return_mean"])
    (axes,) = figure.axes
    lines = [line for line in axes.get_lines() if line.get_alpha() is None]
    faint = [line for line in axes.get_lines() if line.get_alpha() is not None]
    lstm, rmc = lines  # in the order of the labels
    returns = np.stack([run.columns["return_mean"] for run in runs[:3]])
    np.testing.assert_allclose(rmc.get_ydata(), returns.mean(0))
    np.testing.assert_array_equal(rmc.get_xdata(), 1000 * np.arange(1, 7))
    np.testing.assert_array_equal(lstm.get_xdata(), 1000 * np.arange(1, 5), "as far as all came")
    assert [list(line.get_xdata()) for line in faint] == [[4000, 5000, 6000]] * 2
    np.testing.assert_allclose(faint[0].get_ydata(), runs[3].columns["return_mean"][3:])
    edges = axes.collections[1].get_paths()[0].vertices
    low, high = interval(returns)
    assert edges[:, 1].min() == pytest.approx(low.min())
    assert edges[:, 1].max() == pytest.approx(high.max())
    assert words == (
        "line: mean over seeds; band: its 95 % bootstrap interval; faint: single seeds, where not all have come"
    )
    assert _texts(figure) == ["core=lstm", "core=rmc", words, "repeat-first"]
    assert axes.get_xlabel() == "Environment steps"
    assert axes.get_ylabel().replace("\n", " ") == "Mean undiscounted return of the last 100 episodes that ended"


def test_one_seed_has_no_band_and_needs_no_legend(runs: list[Run]) -> None:
    figure, words = draw(runs[:1], ["return_mean"], title="My run")
    (axes,) = figure.axes
    assert len(axes.collections) == 0
    assert words == ""
    assert _texts(figure) == ["My run"]


def test_a_panel_for_each_environment_and_metric_in_the_same_colours(runs: list[Run], tmp_path: Path) -> None:
    other = read_run(write_run(tmp_path / "other", env="minipacman", core="rmc"))
    lone = read_run(write_run(tmp_path / "lone", env="minipacman", core="lstm"))
    figure, _ = draw([*runs, other, lone], ["return_mean", "entropy"])
    assert len(figure.axes) == 4
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["minipacman", "", "repeat-first", ""]
    for axes in figure.axes:
        colours = [line.get_color() for line in axes.get_lines() if line.get_alpha() is None]
        assert colours == [palette.css(colour) for colour in palette.PAPER_SERIES[:2]]


def test_supervised_runs_are_drawn_by_their_own_score(runs: list[Run], tmp_path: Path) -> None:
    model = read_run(write_supervised_run(tmp_path / "model", accuracies=[0.1, 0.2]))
    alone, beside = draw([runs[0], model])[0].axes
    assert [alone.get_title(loc="left"), beside.get_title(loc="left")] == ["memorization", "repeat-first"]
    np.testing.assert_array_equal(alone.get_lines()[0].get_xydata(), [[100, 0.1], [200, 0.2]])
    assert (alone.get_xlabel(), beside.get_xlabel()) == ("Updates", "Environment steps")
    assert alone.get_ylabel().replace("\n", " ") == "Share of the answers in the last evaluation that were right"
    assert beside.get_ylabel().startswith("Mean undiscounted return")
    (axes,) = draw([model], ["loss"], x="sequences")[0].axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Sequences", "Cross-entropy of an answer in training, in\nnats")


def test_smoothing_and_time_are_told(runs: list[Run]) -> None:
    figure, words = draw(runs[:1], ["return_mean"], x="seconds", smooth=3)
    (axes,) = figure.axes
    assert axes.get_xlabel() == "Training time in seconds"
    assert words == "a point is the mean of 3 lines of metrics"
    values = runs[0].columns["return_mean"]
    assert axes.get_lines()[0].get_ydata()[1] == pytest.approx(values[:3].mean())
    assert words not in _texts(draw(runs[:1], ["return_mean"], smooth=3, note=False)[0])


def test_more_settings_than_colours_are_told_apart_by_dashes(tmp_path: Path) -> None:
    settings = ({"learner.learning_rate": 1e-4 * (i + 1)} for i in range(10))
    many = [read_run(write_run(tmp_path / str(i), settings=one)) for i, one in enumerate(settings)]
    figure, _ = draw(many, ["return_mean"])
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].get_lines()}
    assert len(looks) == 10
    assert sum(len(legend.get_texts()) for legend in figure.legends) == 10


@pytest.mark.parametrize("name", ["plot.png", "new/plot.svg", "plot.PDF"])
def test_the_suffix_is_the_format_and_the_same_runs_make_the_same_file(
    name: str, runs: list[Run], tmp_path: Path
) -> None:
    written = []
    for _ in range(2):
        figure, _ = draw(runs, ["return_mean"])
        save(figure, tmp_path / name)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[Path(name).suffix.lower()]
    assert written[0].startswith(start)
    assert [path.name for path in (tmp_path / name).parent.iterdir() if path.name.startswith(".")] == []


def test_size_and_ground(runs: list[Run], tmp_path: Path) -> None:
    figure, _ = draw(runs, ["return_mean"], size=(3.0, 2.0), ground="dark")
    save(figure, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.size == (3 * DOTS_PER_INCH, 2 * DOTS_PER_INCH)
        assert picture.convert("RGB").getpixel((0, 0)) == palette.GROUND
    assert parse_size(None) is None
    assert parse_size("6.4x4") == (6.4, 4.0)


@pytest.mark.parametrize("text", ["6.4", "0x4", "6.4x1", "100x4", "axb", "6.4x4x2", "1e1x4", "-3x4"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match=f"^size={text}: WIDTHxHEIGHT in inches"):
        parse_size(text)


def test_text_from_a_run_folder_is_drawn_as_it_is(tmp_path: Path) -> None:
    """Dollar signs would be formulas, and a broken one an error; letters without a shape would be warnings."""
    names = ["$\\frac{$", "a\nb\x1b[31m", "北" * 400]
    runs = [
        read_run(write_run(tmp_path / str(i), settings={"env.name": "$x_{$", "core.name": name}))
        for i, name in enumerate(names)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, _ = draw(runs, ["return_mean"])
        save(figure, tmp_path / "plot.png")
    texts = _texts(figure)
    assert "$x_{$" in texts
    assert "core=$\\frac{$" in texts
    assert "core=a b[31m" in texts
    assert max(map(len, texts)) <= 300


def test_the_verb_draws_a_group(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _call(monkeypatch, tmp_path, "group=latest", "metric=[return_mean,entropy]", "file=figures/both.png")
    assert capsys.readouterr().out.startswith("figures/both.png: 6 runs; line: mean over seeds; band")
    with Image.open(tmp_path / "figures" / "both.png") as picture:
        assert picture.width > picture.height
    _call(monkeypatch, tmp_path, "runs=[rmc-*,lstm-0]")
    assert capsys.readouterr().out.startswith("plot.png: 4 runs; ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["runs=nowhere"], "the run nowhere does not exist"),
        (["group=no"], "has group=no: known are: both"),
        (["metric=retrun_mean"], "has no column 'retrun_mean': did you mean 'return_mean'"),
        (["metric=[]"], "metric=[] names nothing"),
        (["x=loss"], "x=loss is not known"),
        (["file=plot.jpeg"], "file=plot.jpeg: the name must end in .png, .svg or .pdf"),
        (["file=plot"], "file=plot: the name must end in"),
        (["file=runs/lstm-0/folder.png"], "is a folder: name a file in it"),
        (["smooth=0"], "smooth=0 is too small: at least 1"),
        (["size=1.5x1.5", "runs=*", "metric=[return_mean,entropy,loss]"], "size=1.5x1.5 has no room for the panels"),
        (["size=2x1.5", "runs=*-0", "title=", "metric=[loss,value,rho]"], "size=2x1.5 has no room for the panels"),
        (["size=big"], "size=big: WIDTHxHEIGHT"),
        (["metric=[" + ",".join(["loss"] * (MOST_PANELS + 1)) + "]"], "13 panels are too many"),
        (["metric=[loss]", "runs=unborn"], "no run has a number in column 'loss' yet"),
    ],
)
def test_bad_input_is_one_message(
    words: list[str],
    message: str,
    runs: list[Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_run(tmp_path / "runs" / "unborn", columns={"loss": [float("nan")] * 3})
    (tmp_path / "runs" / "lstm-0" / "folder.png").mkdir()
    assert message in _refused(monkeypatch, tmp_path, capsys, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_without_matplotlib_the_remedy_is_named(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert 'pip install "rmc-rl[plot]"' in _refused(monkeypatch, tmp_path, capsys, "runs=rmc-*")


def test_help_needs_neither_matplotlib_nor_torch() -> None:
    code = "import sys, rmc_rl.plot; print(sorted({'matplotlib', 'scipy', 'torch', 'ray'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
