"""The games by the names that people type, and their options as people type them."""

import ast
import difflib
import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from gymnasium.envs.registration import load_env_creator

from rmc_envs import ENVIRONMENTS


def _short_name(place: str) -> str:
    """``minipacman-viewport`` for ``rmc_envs.minipacman:MiniPacmanViewport``."""
    module, _, name = place.rpartition(".")[2].partition(":")
    variant = name.lower().removeprefix(module.replace("_", ""))
    return "-".join(word for word in (module.replace("_", "-"), variant) if word)


SHORT_NAMES = {_short_name(place): env_id for env_id, place in ENVIRONMENTS.items()}
"""Every game's id by its short name."""


def find_game(name: str) -> str:
    """The id of a game, from its id or its short name.

    Raises:
        ValueError: there is no such game.
    """
    env_id = SHORT_NAMES.get(name, name.removeprefix("rmc_envs:"))
    if env_id not in ENVIRONMENTS:
        raise ValueError(
            f"game must be one of {', '.join(SHORT_NAMES)} or an id, got {name!r}{_hint(name, SHORT_NAMES)}"
        )
    return env_id


def environment_class(env_id: str) -> Any:
    """The scalar environment's class; this imports the game."""
    return load_env_creator(f"{ENVIRONMENTS[env_id]}Env")


def option_defaults(env_id: str) -> dict[str, Any]:
    """A game's own options and their defaults, from the constructors of its ``Game`` and the classes it derives from.

    A constructor that passes ``**options`` on has those of the next class, too.
    """
    defaults: dict[str, Any] = {}
    for owner in environment_class(env_id).game_class.__mro__:
        if "__init__" not in vars(owner):
            continue
        parameters = list(inspect.signature(owner.__init__).parameters.values())
        for parameter in parameters:
            if parameter.kind is parameter.KEYWORD_ONLY:
                defaults.setdefault(parameter.name, parameter.default)
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
            break
    return defaults


def check_option_names(env_id: str, names: Iterable[str]) -> None:
    """Refuse what is no option of the game.

    Raises:
        ValueError: one of the names is not.
    """
    known = option_defaults(env_id)
    for name in names:
        if name not in known:
            raise ValueError(
                f"an option of {env_id} must be one of {', '.join(known)}, got {name!r}{_hint(name, known)}"
            )


def parse_options(env_id: str, words: Sequence[str]) -> dict[str, Any]:
    """Options written ``key=value``. A value is read as Python writes it, but a text needs no quotes.

    Raises:
        ValueError: a word of another form, an unknown option, or one given twice.
    """
    defaults = option_defaults(env_id)
    options: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"options must be key=value, got {word!r}")
        check_option_names(env_id, [name])
        if name in options:
            raise ValueError(f"{name} must be given once, got {options[name]!r} and {text!r}")
        options[name] = text if isinstance(defaults[name], str) else _value(text)
    return options


def _value(text: str) -> Any:
    constants = {"none": None, "true": True, "false": False}
    if text.lower() in constants:
        return constants[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text  # the game says what it wants instead


def _hint(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
