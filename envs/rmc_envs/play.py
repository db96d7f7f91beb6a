"""Play a game with the keyboard.

    python -m rmc_envs.play minipacman-viewport
    python -m rmc_envs.play minipacman task=hunt max_steps=500
    python -m rmc_envs.play boxworld --seed 7 --record game.json
    python -m rmc_envs.play --replay game.json

The window lists the keys. A game in which one can stay, as in Mini Pacman, runs by a clock from the first key on; the
space bar stops the clock, and then each key is one step. The other games wait for keys. A recording is written when the
window is closed, and when the program is interrupted; a replay shows it and says whether the game came out the same.
"""

import argparse
import math
import secrets
import signal
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import gymnasium

from rmc_envs.catalogue import SHORT_NAMES, find_game, option_defaults, parse_options
from rmc_envs.player import Player, Spectator, number, run, summary, title
from rmc_envs.random_stream import LARGEST_SEED
from rmc_envs.recording import Playthrough, RecordingError, Replay, check_target, load, save

STEPS_PER_SECOND = 6.0
FASTEST = 1000.0


def play(player: Player, record: Path | None) -> None:
    """Open a window to play in; in the end, whatever ended it, record and print what was played.

    Raises:
        RecordingError: the file cannot be written.
        gymnasium.error.Error: pygame is missing, or there is no display.
    """
    from rmc_envs.window import PlayWindow

    playthrough = player.playthrough
    if record is not None:
        check_target(record)
    window = PlayWindow(title(playthrough))
    try:
        with _leaving_on_signals(player):
            run(window, player)
    finally:
        try:
            if record is not None:
                _write(record, playthrough)
        finally:
            window.close()
            _report(playthrough)


def replay(path: Path, fps: float) -> bool:
    """Show a recording; whether it came out the same. What is left when the window is closed is played unseen.

    Raises:
        RecordingError: there is no such recording, or it is damaged.
        gymnasium.error.Error: pygame is missing, or there is no display.
    """
    from rmc_envs.window import PlayWindow

    recording = load(path)
    replayed = Replay(recording)
    window = PlayWindow(f"Replay: {title(replayed.playthrough)}")
    try:
        run(window, Spectator(replayed, fps))
    finally:
        window.close()
    while not replayed.done:
        replayed.advance()
    _report(replayed.playthrough)
    if replayed.difference is None:
        print("reproduced: the game came out as recorded")
        return True
    print(f"not reproduced: {replayed.difference}")
    played = replayed.playthrough.recording().version
    if recording.version != played:
        print(f"recorded with rmc-envs {recording.version}, played with {played}")
    return False


def main(words: Sequence[str] | None = None) -> None:
    """Obey the command line."""
    words = sys.argv[1:] if words is None else words
    parser = _parser(with_games={"-h", "--help"} & set(words) != set())
    arguments = parser.parse_intermixed_args(words)
    try:
        if arguments.replay is None:
            play(_player(parser, arguments), arguments.record)
            return
        if arguments.words or arguments.seed is not None or arguments.record is not None:
            parser.error("--replay takes the game, its options and its seed from the file, and does not record")
        reproduced = replay(arguments.replay, arguments.fps)
    except (RecordingError, gymnasium.error.Error) as error:
        raise SystemExit(f"error: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    if not reproduced:
        raise SystemExit(1)


def _player(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Player:
    """The player of the game that the command line names; bad input is the parser's error."""
    if not arguments.words:
        parser.error(f"a game must be named: {', '.join(SHORT_NAMES)}")
    seed = secrets.randbelow(10**6) if arguments.seed is None else arguments.seed
    try:
        env_id = find_game(arguments.words[0])
        options = parse_options(env_id, arguments.words[1:])
        Playthrough(env_id, options, seed).step(0)  # compiles the kernels, if this is the first time
        return Player(Playthrough(env_id, options, seed), arguments.fps)
    except (TypeError, ValueError) as error:
        parser.error(str(error))


@contextmanager
def _leaving_on_signals(player: Player) -> Iterator[None]:
    """Let Ctrl-C, a termination and a closed terminal end play between two steps, so that what is recorded fits.

    A second one of the same kind ends it at once. A signal that is ignored, as by ``nohup``, stays so.

    Raises:
        SystemExit: in the end, if there was one; with the exit code that belongs to it.
    """
    received: list[int] = []

    def leave(sign: int, _: FrameType | None) -> None:
        received.append(sign)
        player.leaving = True
        signal.signal(sign, signal.default_int_handler)

    known = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {sign: signal.getsignal(sign) for sign in known}
    heeded = {sign: handler for sign, handler in before.items() if handler != signal.SIG_IGN}
    for sign in heeded:
        signal.signal(sign, leave)
    try:
        yield
    finally:
        for sign, handler in heeded.items():
            signal.signal(sign, handler)
    if received:
        raise SystemExit(128 + received[0])


def _write(path: Path, playthrough: Playthrough) -> None:
    if any(episode.actions for episode in playthrough.episodes):
        save(path, playthrough.recording())
        print(f"recorded in {path}")
    else:
        print(f"nothing was played: {path} was not written")


def _parser(with_games: bool) -> argparse.ArgumentParser:
    command = "python -m rmc_envs.play"
    parser = argparse.ArgumentParser(
        prog=command,
        usage=f"{command} GAME [key=value ...] [--seed N] [--fps F] [--record FILE]\n"
        f"       {command} --replay FILE [--fps F]",
        description=__doc__,
        epilog=_games() if with_games else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("words", nargs="*", metavar="GAME, key=value", help="a game and its options, listed below")
    parser.add_argument("--seed", type=_seed, metavar="N", help="of the first episode (default: a random one)")
    parser.add_argument(
        "--fps",
        type=_fps,
        default=STEPS_PER_SECOND,
        metavar="F",
        help=f"steps per second (default {STEPS_PER_SECOND:g}); 0: no clock, the game waits for keys",
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="write what is played to this file, as JSON")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="show a recording and check that it reproduces")
    return parser


def _games() -> str:
    """The games and their options, for the help."""
    lines = ["games and their options, with defaults:"]
    for name, env_id in SHORT_NAMES.items():
        options = [f"{option}={_typed(default)}" for option, default in option_defaults(env_id).items()]
        lines += ["", f"  {name}  ({env_id})"]
        lines += textwrap.wrap(" ".join(options), 80, initial_indent=" " * 4, subsequent_indent=" " * 4)
    return "\n".join(lines)


def _typed(value: object) -> str:
    """An option's value as one types it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"must be an integer in 0 .. {LARGEST_SEED}, got {text!r}")
    return int(text)


def _fps(text: str) -> float:
    try:
        fps = float(text)
    except ValueError:
        fps = math.nan
    if not 0 <= fps <= FASTEST:
        raise argparse.ArgumentTypeError(f"must be a number in 0 .. {FASTEST:g}, got {text!r}")
    return fps


def _report(playthrough: Playthrough) -> None:
    """Print a line for each episode in which something was done, and what to type to play the first one again."""
    played = [(count, episode) for count, episode in enumerate(playthrough.episodes, start=1) if episode.actions]
    for count, episode in played:
        print(f"episode {count}: score {number(episode.score)} in {summary(episode)}")
    if played:
        print(f"{playthrough.env_id}, --seed {playthrough.seed}")


if __name__ == "__main__":
    main()
