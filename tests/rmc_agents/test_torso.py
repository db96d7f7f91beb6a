from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rmc_agents import (
    GridTorso,
    Image,
    ImpalaTorso,
    MLPTorso,
    Torso,
    Vector,
    ViewportTorso,
    make_torso,
    register_torso,
    torso_names,
)
from rmc_agents.torso import torsos

CASES: list[tuple[str, tuple[int, ...], bool]] = [
    ("viewport", (5, 5, 3), True),
    ("grid", (15, 19, 3), True),
    ("mlp", (7,), False),
    ("impala", (33, 40, 4), True),
]
every_torso = pytest.mark.parametrize(("name", "shape", "is_image"), CASES)


def convolve(image: Any, weight: Any, bias: Any, stride: int) -> Any:
    """Valid cross-correlation with ReLU, position by position: [H, W, C] to [H', W', out]; weight [out, C, h, w]."""
    size = weight.shape[-1]
    height, width = (image.shape[0] - size) // stride + 1, (image.shape[1] - size) // stride + 1
    result = np.zeros((height, width, len(weight)))
    for row in range(height):
        for column in range(width):
            patch = image[row * stride :, column * stride :][:size, :size]
            result[row, column] = np.einsum("hwc,ochw->o", patch, weight) + bias
    return np.maximum(result, 0)


def arrays(layer: Any) -> tuple[Any, Any]:
    return layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()


def test_viewport_values() -> None:
    torch.manual_seed(0)
    torso = ViewportTorso((4, 5, 3))
    torch.nn.init.normal_(torso.convolution_1.bias)
    torch.nn.init.normal_(torso.convolution_2.bias)
    frames = torch.rand(2, 4, 5, 3)
    features = torso(frames)
    assert features.shape == (2, torso.output_size) == (2, 4 * 5 * 26)
    for frame, row in zip(frames.double().numpy(), features.detach().numpy(), strict=True):
        maps = frame
        for layer in (torso.convolution_1, torso.convolution_2):
            padded = np.pad(maps, ((0, 1), (0, 1), (0, 0)))  # one row below, one column to the right
            maps = convolve(padded, *arrays(layer), stride=1)
        cells = row.reshape(4, 5, 26)
        np.testing.assert_allclose(cells[..., :24], maps, atol=1e-5)
        np.testing.assert_allclose(cells[..., 24], np.tile([-1, -0.5, 0, 0.5, 1], (4, 1)), atol=1e-6)
        np.testing.assert_allclose(cells[..., 25], np.tile([[-1], [-1 / 3], [1 / 3], [1]], (1, 5)), atol=1e-6)


def test_viewport_of_the_paper_has_650_features() -> None:
    torso = ViewportTorso((5, 5, 3))
    assert torso.output_size == 650
    assert sum(p.numel() for p in torso.parameters()) == (12 * 3 * 4 + 12) + (24 * 12 * 4 + 24)
    assert "position" not in torso.state_dict()


def test_grid_values() -> None:
    torch.manual_seed(0)
    torso = GridTorso((8, 11, 2), hidden_size=6)
    for layer in (torso.convolution_1, torso.convolution_2, torso.linear):
        torch.nn.init.normal_(layer.bias)
    frames = torch.rand(2, 8, 11, 2)
    features = torso(frames)
    assert features.shape == (2, torso.output_size) == (2, 6)
    weight, bias = arrays(torso.linear)
    for frame, row in zip(frames.double().numpy(), features.detach().numpy(), strict=True):
        maps = convolve(frame, *arrays(torso.convolution_1), stride=1)
        maps = convolve(maps, *arrays(torso.convolution_2), stride=2)
        np.testing.assert_allclose(row, np.maximum(weight @ maps.flatten() + bias, 0), atol=1e-5)


def test_grid_of_the_full_board() -> None:
    torso = GridTorso((15, 19, 3))
    assert torso.output_size == 256
    assert torso.linear.in_features == 6 * 8 * 16
    assert torso(torch.zeros(1, 15, 19, 3)).shape == (1, 256)


def test_mlp_values() -> None:
    torch.manual_seed(0)
    torso = MLPTorso((3, 2), hidden_sizes=(5, 4))
    frames = torch.randn(7, 3, 2)
    hidden = frames.flatten(1)
    for layer in torso.layers:
        hidden = torch.relu(hidden @ layer.weight.T + layer.bias)
    assert torso.output_size == 4
    torch.testing.assert_close(torso(frames), hidden)
    assert MLPTorso(())(torch.zeros(3)).shape == (3, 64)


def test_impala_values() -> None:
    torch.manual_seed(0)
    torso = ImpalaTorso((5, 6, 2), channels=(3,), hidden_size=4)
    for layer in (*torso.sections[0], torso.linear):
        torch.nn.init.normal_(layer.bias)
    frames = torch.rand(2, 5, 6, 2)
    features = torso(frames)
    assert features.shape == (2, torso.output_size) == (2, 4)

    def same(maps: Any, layer: Any) -> Any:
        """A padded convolution without ReLU: the difference of two with it."""
        weight, bias = arrays(layer)
        padded = np.pad(maps, ((1, 1), (1, 1), (0, 0)))
        return convolve(padded, weight, bias, stride=1) - convolve(padded, -weight, -bias, stride=1)

    for frame, row in zip(frames.double().numpy(), features.detach().numpy(), strict=True):
        first, *blocks = torso.sections[0]
        maps = np.pad(same(frame, first), ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
        pooled = np.zeros((3, 3, 3))
        for i in range(3):
            for j in range(3):
                pooled[i, j] = maps[2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((0, 1))
        for one, two in (blocks[:2], blocks[2:]):
            pooled = pooled + same(np.maximum(same(np.maximum(pooled, 0), one), 0), two)
        weight, bias = arrays(torso.linear)
        np.testing.assert_allclose(row, np.maximum(weight @ np.maximum(pooled, 0).flatten() + bias, 0), atol=1e-5)


def test_impala_of_an_atari_picture() -> None:
    torso = ImpalaTorso((84, 84, 4))
    assert torso.linear.in_features == 11 * 11 * 32
    sizes = [(4, 16), *[(16, 16)] * 4, (16, 32), *[(32, 32)] * 9]
    expected = sum(9 * inner * outer + outer for inner, outer in sizes)
    assert sum(p.numel() for section in torso.sections for p in section.parameters()) == expected


@every_torso
def test_frames_are_independent(name: str, shape: tuple[int, ...], is_image: bool) -> None:
    torso = make_torso(name, Image(shape) if is_image else Vector(shape))
    frames = torch.rand(6, *shape)
    alone = torch.cat([torso(frame.unsqueeze(0)) for frame in frames])
    torch.testing.assert_close(torso(frames), alone)


@pytest.mark.parametrize("shape", [(5, 5, 3), (4, 6, 1)])
def test_the_viewports_features_are_a_map(shape: tuple[int, int, int]) -> None:
    """Laid out as they are said to be: the last two channels of each cell are its x and y."""
    torso = ViewportTorso(shape)
    assert torso.map_shape == (*shape[:2], 26)
    cells = torso(torch.rand(1, *shape)).unflatten(1, torso.map_shape)[0]
    for row in range(shape[0]):
        for column in range(shape[1]):
            position = torch.tensor([2 * column / (shape[1] - 1) - 1, 2 * row / (shape[0] - 1) - 1])
            torch.testing.assert_close(cells[row, column, 24:], position)


@pytest.mark.parametrize(("name", "shape", "is_image"), [("grid", (15, 19, 3), True), ("mlp", (5, 5, 3), True)])
def test_features_that_are_no_map(name: str, shape: tuple[int, ...], is_image: bool) -> None:
    assert make_torso(name, Image(shape) if is_image else Vector(shape)).map_shape is None


@every_torso
def test_bytes_are_scaled_and_other_types_are_not(name: str, shape: tuple[int, ...], is_image: bool) -> None:
    torso = make_torso(name, Image(shape) if is_image else Vector(shape))
    frames = torch.randint(0, 256, (4, *shape), dtype=torch.uint8)
    torch.testing.assert_close(torso(frames), torso(frames.float() / 255))
    torch.testing.assert_close(torso(frames.to(torch.int32)), torso(frames.float()))
    assert torso.double()(frames).dtype == torch.float64


@every_torso
def test_every_parameter_learns(name: str, shape: tuple[int, ...], is_image: bool) -> None:
    torch.manual_seed(0)
    torso = make_torso(name, Image(shape) if is_image else Vector(shape))
    features = torso(torch.rand(8, *shape))
    (features * torch.randn_like(features)).sum().backward()
    assert all((p.grad != 0).any() for p in torso.parameters())


@every_torso
def test_wrong_shapes_are_named(name: str, shape: tuple[int, ...], is_image: bool) -> None:
    torso = make_torso(name, Image(shape) if is_image else Vector(shape))
    with pytest.raises(ValueError, match=r"observation: shape .* given, "):
        torso(torch.zeros(2, *shape, 1))
    with pytest.raises(ValueError, match=r"observation: shape .* given, "):
        torso(torch.zeros(shape))


@pytest.mark.parametrize(
    ("shape", "is_image", "expected"),
    [
        ((7,), False, MLPTorso),
        ((5, 5, 3), False, MLPTorso),
        ((5, 5, 3), True, ViewportTorso),
        ((8, 8, 6), True, ViewportTorso),
        ((8, 9, 3), True, GridTorso),
        ((15, 19, 3), True, GridTorso),
        ((31, 84, 3), True, GridTorso),
        ((84, 84, 4), True, ImpalaTorso),
    ],
)
def test_auto_chooses_by_shape(shape: tuple[int, ...], is_image: bool, expected: type[Torso]) -> None:
    assert type(make_torso("auto", Image(shape) if is_image else Vector(shape))) is expected


def test_options_reach_the_torso_and_are_checked() -> None:
    assert make_torso("auto", Vector((7,)), hidden_sizes=[16]).output_size == 16
    assert make_torso("grid", Image((15, 19, 3)), hidden_size=32).output_size == 32
    with pytest.raises(ValueError, match=r"torso 'mlp' has no option 'hidden' \(did you mean 'hidden_sizes'\?\)"):
        make_torso("mlp", Vector((7,)), hidden=(16,))
    with pytest.raises(TypeError, match="torso 'mlp': option 'hidden_sizes': 16"):
        make_torso("mlp", Vector((7,)), hidden_sizes=16)
    with pytest.raises(ValueError, match=r"hidden_sizes: \[\] given"):
        make_torso("mlp", Vector((7,)), hidden_sizes=())
    with pytest.raises(ValueError, match=r"hidden_size: \[0\] given"):
        make_torso("grid", Image((15, 19, 3)), hidden_size=0)
    with pytest.raises(ValueError, match=r"unknown torso 'viewprot' \(did you mean 'viewport'\?\)"):
        make_torso("viewprot", Image((5, 5, 3)))


def test_shapes_no_torso_can_read() -> None:
    with pytest.raises(ValueError, match=r"observation_shape: \[5, 5\] given, \[height, width, channels\] needed"):
        make_torso("auto", Image((5, 5)))
    with pytest.raises(ValueError, match=r"observation_shape: \[7\] given, \[height, width, channels\] needed"):
        make_torso("viewport", Vector((7,)))
    with pytest.raises(ValueError, match=r"observation_shape: \[4, 19, 3\] given, at least 5 x 5 cells"):
        make_torso("grid", Image((4, 19, 3)))
    with pytest.raises(ValueError, match=r"observation_shape: \[3, 0\] given"):
        make_torso("mlp", Vector((3, 0)))


def test_a_torso_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert torso_names() == ["grid", "impala", "mlp", "one_hot", "viewport"]
    monkeypatch.setattr(torsos, "_classes", dict(torsos._classes))

    @register_torso("mine")
    class Mine(MLPTorso):
        pass

    assert isinstance(make_torso("mine", Vector((3,))), Mine)
