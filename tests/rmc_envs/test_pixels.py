import numpy as np
import pytest

from rmc_envs import pixels


def test_fill_and_outline_leave_out_what_lies_outside() -> None:
    picture = pixels.canvas(10, 12, (0, 0, 0))
    pixels.fill(picture, -3, -2, 5, 4, (1, 1, 1))
    assert picture[..., 0].sum() == 2 * 2
    pixels.fill(picture, -9, 0, 4, 4, (9, 9, 9))
    assert picture.max() == 1
    picture = pixels.canvas(10, 12, (0, 0, 0))
    pixels.outline(picture, 2, 3, 5, 6, 1, (1, 1, 1))
    assert picture[..., 0].sum() == 2 * 5 + 2 * 6 - 4
    assert picture[3:6, 4:8].max() == 0


def test_dim_reduces_light() -> None:
    assert (pixels.dim(pixels.canvas(2, 2, (200, 100, 50)), 0.5) == (100, 50, 25)).all()


def test_disc_covers_its_area_smoothly() -> None:
    stamp = pixels.sprite(24, [(pixels.disc(0.8), (10, 20, 30))])
    alpha = stamp[..., 3]
    assert abs(alpha.sum() / 24**2 - np.pi * 0.8**2 / 4) < 0.01
    assert ((alpha > 0) & (alpha < 1)).any()
    np.testing.assert_allclose(
        stamp[alpha > 0][:, :3], np.broadcast_to((10, 20, 30), ((alpha > 0).sum(), 3)), rtol=1e-4
    )


def test_later_layers_lie_on_top() -> None:
    stamp = pixels.sprite(8, [(pixels.disc(0.9), (255, 0, 0)), (pixels.disc(0.5), (0, 0, 255))])
    np.testing.assert_allclose(stamp[4, 4], (0, 0, 255, 1))


def test_blend_mixes_by_alpha() -> None:
    picture = pixels.canvas(4, 4, (100, 100, 100))
    stamp = np.zeros((2, 2, 4), np.float32)
    stamp[0, 0] = (200, 0, 100, 0.5)
    pixels.blend(picture, 1, 1, stamp)
    assert picture[1, 1].tolist() == [150, 50, 100]
    assert (np.delete(picture.reshape(-1, 3), 5, axis=0) == 100).all()


def test_letters_are_as_wide_as_their_signs() -> None:
    sprite = pixels.letters("-1.5", 2, pixels.PALE)
    assert sprite.shape == (14, (4 * 6 - 1) * 2, 4)
    one, eight = (pixels.letters(sign, 1, pixels.PALE)[..., 3] for sign in "18")
    assert 0 < one.sum() < eight.sum()
    assert len({pixels.letters(str(digit), 1, pixels.PALE).tobytes() for digit in range(10)}) == 10


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (4, 2, 2), (5, 3, 2), (16, 4, 4)])
def test_tiles_lie_close_to_a_square(count: int, columns: int, rows: int) -> None:
    frames = [np.full((10, 10, 3), number, np.uint8) for number in range(count)]
    picture = pixels.tile(frames, gap=2)
    assert picture.shape == (rows * 12 - 2, columns * 12 - 2, 3)
    assert (picture[-10:, (count - 1) % columns * 12][:, 0] == count - 1).all()
