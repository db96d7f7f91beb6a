from __future__ import annotations

from dataclasses import dataclass

import pytest

from rmc_rl.errors import UserError
from rmc_rl.options import option, parse_options, shown


@dataclass
class Sample:
    run: str = option("latest", "a run folder")
    episodes: int = option(200, "episodes played", minimum=1)
    mode: str = option("both", "how actions are chosen", choices=("both", "greedy"))
    speed: float = option(1.0, "frames per second", minimum=0)
    save: bool = option(False, "write a video")
    limit: int | None = option(None, "at most so many steps", minimum=1)
    names: list[str] = option(["a", "b"], "several things")
    others: list[str] | None = option(None, "several more; null: none")


USAGE = "Play a sample.\n"


def _parse(*words: str) -> Sample:
    return parse_options(Sample, words, USAGE)


def test_defaults() -> None:
    assert _parse() == Sample("latest", 200, "both", 1.0, False, None, ["a", "b"])


def test_words_are_converted_to_the_fields_types() -> None:
    options = _parse("run=a=b/ c", "episodes=3", "mode=greedy", "speed=2", "save=true", "limit=5")
    assert options == Sample("a=b/ c", 3, "greedy", 2.0, True, 5, ["a", "b"])
    assert isinstance(options.speed, float)
    assert isinstance(options.episodes, int)


def test_null_where_it_is_allowed() -> None:
    assert _parse("limit=5", "limit=null").limit is None
    assert _parse("limit=None").limit is None
    with pytest.raises(UserError, match="episodes"):
        _parse("episodes=null")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[a,b]", ["a", "b"]),
        ("a", ["a"]),
        ("a,b", ["a,b"]),
        ("[ a , b ]", ["a", "b"]),
        ("[2026-01-02,007,1e3,null,*x*,a[1]]", ["2026-01-02", "007", "1e3", "null", "*x*", "a[1]"]),
        ('["a,b",c]', ["a,b", "c"]),
        ("runs/[ab]*", ["runs/[ab]*"]),
    ],
)
def test_a_list_holds_words_as_they_were_typed(text: str, names: list[str]) -> None:
    assert _parse(f"names={text}").names == names


def test_a_list_that_may_be_null() -> None:
    assert _parse().others is None
    assert _parse("others=null").others is None
    assert _parse("others=[a,b]").others == ["a", "b"]
    assert _parse("others=a").others == ["a"]


def test_a_default_list_is_not_shared() -> None:
    _parse().names.append("c")
    assert _parse().names == ["a", "b"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("episode=3", "unknown option 'episode': did you mean 'episodes'"),
        ("--episodes=3", "unknown option '--episodes': did you mean 'episodes'"),
        ("episodes", "'episodes' is not of the form key=value"),
        ("", "'' is not of the form key=value"),
        ("=3", "unknown option ''"),
        ("episodes=", "episodes=: "),
        ("episodes=many", "episodes=many: .*Integer"),
        ("episodes=1.5", "episodes=1.5: .*Integer"),
        ("episodes=0", "episodes=0 is too small: at least 1"),
        ("limit=0", "limit=0 is too small: at least 1"),
        ("mode=gready", "mode=gready is not known: did you mean 'greedy'"),
        ("speed=-1", "speed=-1.0 is too small: at least 0"),
        ("speed=nan", "speed=nan is not a finite number"),
        ("speed=inf", "speed=inf is not a finite number"),
        ("save=perhaps", "save=perhaps: .*bool"),
        ("episodes=" + "9" * 5000, "episodes="),
        ("run=${", "run="),
        ("names=", "names= names nothing: a list is"),
        ("names=[]", r"names=\[\] names nothing"),
        ("names=[a,,b]", r"names=\[a,,b\] names nothing"),
        ('names=["a]', "names=.*: a list is|names=.*unexpected end"),
        ("names=null", "names=None: .*not Optional"),
        ("names=[${x}]", "names"),
        ("run=${oc.env:NO_SUCH_VARIABLE_AT_ALL}", "run="),
    ],
)
def test_what_is_wrong_is_named(word: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        _parse(word)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_shows_every_option_and_leaves_with_0(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        _parse("no=such", flag)
    assert stopped.value.code == 0
    page = capsys.readouterr().out
    assert page.startswith("Play a sample.\n\nOptions:\n")
    for line in ("run=latest", "episodes=200", "mode=both", "speed=1.0", "save=false", "limit=null", "names=[a,b]"):
        assert f"\n  {line}\n" in page
    assert "how actions are chosen (both, greedy)" in page


def test_shown_is_what_one_would_type() -> None:
    assert [shown(value) for value in (None, True, False, 1, 0.5, "a")] == ["null", "true", "false", "1", "0.5", "a"]
