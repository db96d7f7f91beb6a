"""Torsos: what turns one observation into the features that the memory core reads.

A torso sees all T * B frames at once, ``[N, ...]`` to ``[N, output_size]``; it has no memory of its own. Here are
``viewport`` for images of a few cells, ``grid`` for whole boards, ``impala`` for pictures, ``mlp`` for vectors and
``one_hot`` for categories; an observation of several parts has a torso for each. ``make_torso`` builds them by name or
chooses by what an observation is. Unsigned bytes are scaled to [0, 1] inside; other types are taken as they are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rmc_agents.core import first_parameter
from rmc_agents.initialisers import initialise_
from rmc_agents.observations import Categories, Image, Leaf, Observation
from rmc_agents.registry import Registry
from rmc_agents.tree import leaves, map_tree

VIEWPORT_MAX_SIDE = 8
"""Images up to this height and width get the viewport torso from ``"auto"``."""
IMPALA_MIN_SIDE = 32
"""Images from this height and width on get the torso for pictures from ``"auto"``."""


class Torso(nn.Module):
    """Base of all torsos.

    Attributes:
        observation_shape: shape of one observation, without the batch axis; of one of several parts ``()``.
        output_size: number of features.
        map_shape: (height, width, channels) where the features are a map, flattened cell by cell, row by row; ``None``
            where they are not. A core that convolves has to know.
    """

    observation_shape: tuple[int, ...]
    output_size: int
    map_shape: tuple[int, int, int] | None = None

    def prepare(self, observation: Tensor) -> Tensor:
        """Check ``[N, *observation_shape]``; convert to the type of the parameters, bytes scaled to [0, 1]."""
        self.check(observation)
        parameter = first_parameter(self)
        assert parameter is not None
        converted = observation.to(parameter.dtype)
        return converted / 255 if observation.dtype == torch.uint8 else converted

    def check(self, observation: Tensor) -> None:
        """Raise ``ValueError`` unless the shape is ``[N, *observation_shape]``."""
        if tuple(observation.shape[1:]) != self.observation_shape or observation.dim() == 0:
            raise ValueError(
                f"observation: shape {list(observation.shape)} given, [N, *{list(self.observation_shape)}] needed"
            )


torsos: Registry[Torso] = Registry("torso")


def register_torso(name: str) -> Callable[[type[Torso]], type[Torso]]:
    """Class decorator: make a :class:`Torso` known to :func:`make_torso` as ``name``.

    The constructor takes the observation's shape first and everything else by keyword.
    """
    return torsos.register(name)


def make_torso(name: str, observation: Observation, **options: Any) -> Torso:
    """Build the torso registered as ``name`` for such observations.

    ``"auto"`` chooses: ``"mlp"`` for vectors, ``"one_hot"`` for categories, for images ``"viewport"`` up to 8 x 8,
    ``"impala"`` from 32 x 32 on and ``"grid"`` between; for an observation of several parts one torso each, side by
    side. Such a one has ``"auto"`` alone, and its options go by part: those of ``{"image": ..., "direction": ...}``
    could be ``image={"name": "grid", "hidden_size": 64}``.

    Raises ``ValueError`` for an unknown name or option or a shape that the torso cannot read, ``TypeError`` for an
    option of the wrong type.
    """
    if isinstance(observation, dict | tuple):
        if name != "auto":
            raise ValueError(f"torso {name!r}: an observation of several parts has a torso for each, 'auto' needed")
        return JoinedTorso(observation, options)
    if isinstance(observation, Image):
        _check_image_shape(observation.shape)
    if name == "auto":
        name = _fitting(observation)
    if name == "one_hot":
        if not isinstance(observation, Categories):
            raise ValueError(f"torso 'one_hot': {observation} given, categories needed")
        options = {"sizes": observation.sizes} | options
    return torsos.make(name, tuple(observation.shape), **options)


def _fitting(observation: Leaf) -> str:
    if isinstance(observation, Categories):
        return "one_hot"
    if not isinstance(observation, Image):
        return "mlp"
    height, width, _ = observation.shape
    if max(height, width) <= VIEWPORT_MAX_SIDE:
        return "viewport"
    return "impala" if min(height, width) >= IMPALA_MIN_SIDE else "grid"


def torso_names() -> list[str]:
    """The names that :func:`make_torso` knows besides ``"auto"``, sorted."""
    return torsos.names()


@register_torso("viewport")
class ViewportTorso(Torso):
    """Two small convolutions that keep the image's size, and the position of each cell (paper, appendix A.3).

    12 then 24 kernels of 2 x 2, stride 1, each followed by ReLU; then two more channels hold each cell's x and y,
    evenly spaced from -1 to 1. All cells together are the features: 5 * 5 * (24 + 2) = 650 for a 5 x 5 window. The
    paper does not state the padding; its 5 x 5 baseline implies that the size is kept. An even kernel needs one more
    row and column for that: they are added below and to the right.

    Args:
        observation_shape: (height, width, channels).
    """

    def __init__(self, observation_shape: tuple[int, ...]) -> None:
        super().__init__()
        height, width, channels = _check_image_shape(observation_shape)
        self.observation_shape = (height, width, channels)
        self.map_shape = (height, width, 24 + 2)
        self.output_size = math.prod(self.map_shape)
        self.convolution_1 = nn.Conv2d(channels, 12, kernel_size=2)
        self.convolution_2 = nn.Conv2d(12, 24, kernel_size=2)
        x = torch.linspace(-1, 1, width).expand(height, width)
        y = torch.linspace(-1, 1, height).unsqueeze(1).expand(height, width)
        self.position: Tensor
        self.register_buffer("position", torch.stack([x, y], dim=-1), persistent=False)  # [H, W, 2]
        initialise_(self)

    def forward(self, observation: Tensor) -> Tensor:
        """``[N, H, W, C]`` to ``[N, H * W * 26]``."""
        # A permuted view, not a copy: for so few channels the channels-last convolution is the faster one.
        maps = self.prepare(observation).permute(0, 3, 1, 2)  # [N, C, H, W]
        for convolution in (self.convolution_1, self.convolution_2):
            maps = F.relu(convolution(F.pad(maps, (0, 1, 0, 1))))
        cells = maps.permute(0, 2, 3, 1)  # [N, H, W, 24]
        position = self.position.expand(cells.shape[0], -1, -1, -1)
        return torch.cat([cells, position], dim=-1).flatten(1)


@register_torso("grid")
class GridTorso(Torso):
    """Two 3 x 3 convolutions of 16 kernels, strides 1 and 2, and a linear layer of 256, each followed by ReLU.

    The network of the I2A paper's model-free agent for the full Mini Pacman board. The convolutions are not padded: the
    outermost cells of such a board are its wall.

    Args:
        observation_shape: (height, width, channels); height and width at least 5.
        hidden_size: width of the linear layer.
    """

    def __init__(self, observation_shape: tuple[int, ...], *, hidden_size: int = 256) -> None:
        super().__init__()
        height, width, channels = _check_image_shape(observation_shape)
        if min(height, width) < 5:
            raise ValueError(
                f"observation_shape: {list(observation_shape)} given, at least 5 x 5 cells needed for 'grid'"
            )
        _check_hidden_sizes("hidden_size", (hidden_size,))
        self.observation_shape = (height, width, channels)
        self.output_size = hidden_size
        self.convolution_1 = nn.Conv2d(channels, 16, kernel_size=3)
        self.convolution_2 = nn.Conv2d(16, 16, kernel_size=3, stride=2)
        # A side of s cells has s - 2 after the first convolution and (s - 2 - 3) // 2 + 1 after the second.
        cells = ((height - 5) // 2 + 1) * ((width - 5) // 2 + 1)
        self.linear = nn.Linear(16 * cells, hidden_size)
        initialise_(self)

    def forward(self, observation: Tensor) -> Tensor:
        """``[N, H, W, C]`` to ``[N, hidden_size]``."""
        maps = self.prepare(observation).permute(0, 3, 1, 2)  # [N, C, H, W], a channels-last view
        maps = F.relu(self.convolution_2(F.relu(self.convolution_1(maps))))
        return F.relu(self.linear(maps.permute(0, 2, 3, 1).flatten(1)))


@register_torso("mlp")
class MLPTorso(Torso):
    """Linear layers, each followed by ReLU, over the flattened observation.

    Args:
        observation_shape: any.
        hidden_sizes: widths of the layers, at least one.
    """

    def __init__(self, observation_shape: tuple[int, ...], *, hidden_sizes: tuple[int, ...] = (64, 64)) -> None:
        super().__init__()
        _check_hidden_sizes("hidden_sizes", tuple(hidden_sizes))
        self.observation_shape = tuple(observation_shape)
        widths = [math.prod(observation_shape), *hidden_sizes]
        if widths[0] < 1:
            raise ValueError(f"observation_shape: {list(observation_shape)} given, no axis of length 0 allowed")
        self.output_size = widths[-1]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(widths))
        initialise_(self)

    def forward(self, observation: Tensor) -> Tensor:
        """``[N, *observation_shape]`` to ``[N, hidden_sizes[-1]]``."""
        features = self.prepare(observation).reshape(observation.shape[0], -1)
        for layer in self.layers:
            features = F.relu(layer(features))
        return features


@register_torso("impala")
class ImpalaTorso(Torso):
    """The deep residual network of IMPALA (Espeholt et al. 2018, figure 3), for pictures such as Atari's.

    Sections of a 3 x 3 convolution, a 3 x 3 maximum with stride 2 and two residual blocks of two 3 x 3 convolutions
    each, then a linear layer and ReLU.

    Args:
        observation_shape: (height, width, channels).
        channels: of the sections, at least one.
        hidden_size: width of the linear layer.
    """

    def __init__(
        self, observation_shape: tuple[int, ...], *, channels: tuple[int, ...] = (16, 32, 32), hidden_size: int = 256
    ) -> None:
        super().__init__()
        height, width, incoming = _check_image_shape(observation_shape)
        _check_hidden_sizes("channels", tuple(channels))
        _check_hidden_sizes("hidden_size", (hidden_size,))
        self.observation_shape = (height, width, incoming)
        self.output_size = hidden_size
        self.sections = nn.ModuleList()
        for outgoing in channels:
            pairs = [(incoming, outgoing), *[(outgoing, outgoing)] * 4]
            self.sections.append(nn.ModuleList(nn.Conv2d(*pair, kernel_size=3, padding=1) for pair in pairs))
            height, width, incoming = (height + 1) // 2, (width + 1) // 2, outgoing
        self.linear = nn.Linear(height * width * incoming, hidden_size)
        initialise_(self)

    def forward(self, observation: Tensor) -> Tensor:
        """``[N, H, W, C]`` to ``[N, hidden_size]``."""
        maps = self.prepare(observation).permute(0, 3, 1, 2)  # [N, C, H, W], a channels-last view
        for section in self.sections:
            first, *others = cast("Iterable[nn.Module]", section)
            maps = F.max_pool2d(first(maps), kernel_size=3, stride=2, padding=1)
            for one, two in zip(others[::2], others[1::2], strict=True):
                maps = maps + two(F.relu(one(F.relu(maps))))
        return F.relu(self.linear(F.relu(maps).permute(0, 2, 3, 1).flatten(1)))


@register_torso("one_hot")
class OneHotTorso(Torso):
    """Categories as one-hot vectors, one after the other: the features themselves, without weights.

    Args:
        observation_shape: ``()`` for one number, or ``(K,)``.
        sizes: how many things each number may stand for.

    Numbers outside of that have an all-zero vector.
    """

    def __init__(self, observation_shape: tuple[int, ...], *, sizes: tuple[int, ...]) -> None:
        super().__init__()
        _check_hidden_sizes("sizes", tuple(sizes))
        if math.prod(observation_shape) != len(sizes):
            raise ValueError(f"sizes: {list(sizes)} given for an observation of shape {list(observation_shape)}")
        self.observation_shape = tuple(observation_shape)
        self.output_size = sum(sizes)
        numbers = [number for size in sizes for number in range(size)]
        owners = [owner for owner, size in enumerate(sizes) for _ in range(size)]
        self.numbers: Tensor
        self.owners: Tensor
        self.like: Tensor
        self.register_buffer("numbers", torch.tensor(numbers), persistent=False)
        self.register_buffer("owners", torch.tensor(owners), persistent=False)
        self.register_buffer("like", torch.zeros(()), persistent=False)  # it has no parameter whose type it could take

    def forward(self, observation: Tensor) -> Tensor:
        """``[N, *observation_shape]`` to ``[N, sum of sizes]``."""
        self.check(observation)
        given = observation.reshape(observation.shape[0], -1)[:, self.owners]
        return (given == self.numbers).to(self.like.dtype)


class JoinedTorso(Torso):
    """A torso for each part of an observation; their features side by side.

    Args:
        observation: a dict or tuple of descriptions, nested or not.
        options: by part (the names of nested ones joined by dots), options of its torso and its ``name``.

    Raises:
        ValueError: no such part, or what its torso raises.
    """

    def __init__(self, observation: Observation, options: dict[str, Any]) -> None:
        super().__init__()
        self.observation_shape = ()
        self.description = observation
        parts = dict(_named(observation))
        if unknown := set(options) - set(parts):
            raise ValueError(f"torso_options: the observation has no part {sorted(unknown)}; its parts: {list(parts)}")
        self.parts = nn.ModuleList()
        for name, part in parts.items():
            own = options.get(name, {})
            if not isinstance(own, dict):
                raise TypeError(f"torso_options: {name}: {own!r} given, options by name needed")
            try:
                self.parts.append(make_torso(own.get("name", "auto"), part, **{k: own[k] for k in own if k != "name"}))
            except (TypeError, ValueError) as error:
                raise type(error)(f"part {name!r} of the observation: {error}") from error
        self.output_size = sum(part.output_size for part in self._torsos())

    def forward(self, observation: Any) -> Tensor:
        """A tree of ``[N, ...]`` to ``[N, features of all]``."""
        given = leaves(map_tree(lambda _, x: x, self.description, observation))  # in the description's order
        features = [torso(part) for torso, part in zip(self._torsos(), given, strict=True)]
        widest = max((each.dtype for each in features), key=lambda dtype: torch.finfo(dtype).bits)
        return torch.cat([each.to(widest) for each in features], dim=-1)

    def _torsos(self) -> list[Torso]:
        return list(self.parts)  # type: ignore[arg-type]


def _named(observation: Any, prefix: str = "") -> list[tuple[str, Leaf]]:
    """Every part by name, the numbers of a tuple's being names too."""
    if isinstance(observation, dict | tuple):
        items = observation.items() if isinstance(observation, dict) else enumerate(observation)
        return [found for name, part in items for found in _named(part, f"{prefix}.{name}" if prefix else str(name))]
    return [(prefix, observation)]


def _check_image_shape(observation_shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(observation_shape) != 3 or min(observation_shape) < 1:
        raise ValueError(
            f"observation_shape: {list(observation_shape)} given, [height, width, channels] needed for an image"
        )
    height, width, channels = observation_shape
    return height, width, channels


def _check_hidden_sizes(name: str, sizes: tuple[int, ...]) -> None:
    if not sizes or min(sizes) < 1:
        raise ValueError(f"{name}: {list(sizes)} given, at least one layer of width at least 1 needed")
