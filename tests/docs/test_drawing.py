"""The drawing of actors and learner is what its script draws, and legible."""

from __future__ import annotations

import importlib.util
import xml.etree.ElementTree
from typing import Any

import pytest

from tests.docs.blocks import PAGES, ROOT

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def make_flow() -> Any:
    """The script."""
    spec = importlib.util.spec_from_file_location("make_flow", ROOT / "docs" / "make_flow.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_up_to_date(make_flow: Any) -> None:
    assert make_flow.PICTURE.read_text() == make_flow.drawing(), "run: python docs/make_flow.py"
    assert "](images/actor-learner.svg)" in PAGES["docs/actor-learner.md"]


def test_it_is_whole_and_stays_within_its_frame(make_flow: Any) -> None:
    root = xml.etree.ElementTree.fromstring(make_flow.drawing())
    left, top, width, height = map(float, root.attrib["viewBox"].split())
    for item in root.iter(f"{SVG}rect"):
        x, y = (float(item.get(name, 0)) for name in ("x", "y"))
        assert left <= x <= x + float(item.attrib["width"]) <= left + width
        assert top <= y <= y + float(item.attrib["height"]) <= top + height
    words = {item.text for item in root.iter(f"{SVG}text")}
    assert {"Actor", "Learner", "rollouts that wait"} <= words
    assert len(root.findall(f".//{SVG}path[@marker-end]")) == 7


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` (WCAG 2)."""
    parts = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_it_is_legible_on_light_and_dark(make_flow: Any) -> None:
    for scheme in (make_flow.LIGHT, make_flow.DARK):
        assert f"fill: {scheme['text']}" in make_flow.drawing()
        for ground in (scheme["ground"], scheme["card"]):
            for ink, contrast in ((scheme["text"], 7.0), (scheme["quiet"], 4.5)):
                darker, lighter = sorted((luminance(ink), luminance(ground)))
                assert (lighter + 0.05) / (darker + 0.05) >= contrast, (ink, ground)
