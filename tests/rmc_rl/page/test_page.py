"""The page in a real browser: it plays as Python does, shows what the memory did, and can be used by hand."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rmc_rl.page.writing import GAMES, write_page
from rmc_rl.policy import Policy
from rmc_rl.viewer.session import Session
from tests.rmc_rl.page.conftest import PHONE, SECONDS, Open, served, trained

STEPS = 200
SEED = 2**30 + 3

PLAY = """async ({ steps, seed, greedy }) => {
    const [{ openModel }, { Session }, { makeGame }] = await Promise.all(
        ["./model.js", "./session.js", "./games/index.js"].map((name) => import(new URL(name, location.href))));
    const { model, about } = await openModel("agent");
    const game = makeGame(about.game.id, about.game.kwargs);
    const session = new Session(model, about, game, { seed, greedy });
    const plain = (tensor) => tensor && { dims: tensor.dims, data: Array.from(tensor.data) };
    const moments = [];
    const memories = (memory) => Object.values(memory).map(plain);
    for (let step = 0; step < steps; step++) {
        const { saved, observation, probabilities, memory, attention, inputGate, forgetGate, ...rest } =
            await session.advance();
        moments.push({ ...rest, seed: session.seed, episode: session.episode, observation: Array.from(observation),
            probabilities: Array.from(probabilities), memory: memories(memory), attention: plain(attention),
            inputGate: plain(inputGate), forgetGate: plain(forgetGate) });
    }
    return moments;
}"""


def array(tensor: dict[str, Any]) -> np.ndarray:
    """A tensor of one item, without its first axis."""
    return np.array(tensor["data"]).reshape(tensor["dims"])[0]


def compare(policy: Policy, moments: list[dict[str, Any]]) -> None:
    session = Session(policy, seed=SEED, greedy=True)
    episodes = set()
    for found in moments:
        step = session.advance()
        episodes.add(step.episode)
        assert (found["episode"], found["seed"], found["number"]) == (step.episode, step.seed, step.number)
        assert (found["action"], found["ending"], found["byHand"]) == (step.action, step.ending, False)
        assert (found["reward"], found["episodeReturn"]) == pytest.approx((step.reward, step.episode_return))
        np.testing.assert_array_equal(found["observation"], np.ravel(step.observation))
        assert found["value"] == pytest.approx(step.value, abs=1e-3)
        np.testing.assert_allclose(found["probabilities"], step.probabilities, atol=1e-3)
        entropy = -sum(p * np.log(p) for p in step.probabilities if p > 0)
        assert found["entropy"] == pytest.approx(entropy, abs=5e-3)
        for ours, theirs in zip(found["memory"], step.memory, strict=True):
            np.testing.assert_allclose(array(ours).reshape(theirs.values.shape), theirs.values, atol=1e-3)
        if step.attention is None:
            assert found["attention"] is None
        else:
            np.testing.assert_allclose(array(found["attention"]), step.attention, atol=1e-3)
    session.close()
    assert len(episodes) > 1


def test_greedy_play_is_that_of_python(policy: Policy, page_folder: Path, opened: Open) -> None:
    with opened(page_folder, "?paused") as page:
        moments = page.evaluate(PLAY, {"steps": STEPS, "seed": SEED, "greedy": True})
    compare(policy, moments)
    assert array(moments[0]["attention"]).shape == (2, 2, 4, 5)
    assert array(moments[0]["inputGate"]).shape[0] == array(moments[0]["forgetGate"]).shape[0] == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["env=boxworld-viewport", "core=lstm", "core.hidden_size=8", "env.kwargs.max_steps=40"],
        ["env=repeat-first", "core=rmc", "core.head_size=4", "core.gate_style=null"],
        ["env=minipacman", "core=gru", "core.hidden_size=8", "env.kwargs.max_steps=90", "agent.use_last_reward=false"],
    ],
    ids=lambda words: words[0],
)
def test_other_games_and_memories_play_as_in_python(
    words: list[str], onnxruntime_web: Any, opened: Open, tmp_path: Path
) -> None:
    policy = trained(tmp_path, *words)
    with opened(write_page(policy, tmp_path / "page").path) as page:
        moments = page.evaluate(PLAY, {"steps": STEPS, "seed": SEED, "greedy": True})
        page.wait_for_selector(".memory-stage canvas")
        assert colours(page, ".memory-stage canvas") >= 8
    compare(policy, moments)


def test_sampled_play_is_a_function_of_the_seed(page_folder: Path, opened: Open) -> None:
    with opened(page_folder, "?paused") as page:
        once, again, other = (
            page.evaluate(PLAY, {"steps": 60, "seed": seed, "greedy": False}) for seed in (SEED, SEED, SEED + 1)
        )
    assert once == again
    assert [each["action"] for each in once] != [each["action"] for each in other]
    probabilities = [each["probabilities"][each["action"]] for each in once if each["action"] is not None]
    assert min(probabilities) < 0.9 < 1.0 == pytest.approx(sum(once[0]["probabilities"]))


def test_numbers_that_sample_actions_are_evenly_spread(page_folder: Path, opened: Open) -> None:
    with opened(page_folder, "?paused") as page:
        numbers = page.evaluate("""async () => {
            const { uniform } = await import(new URL("./chance.js", location.href));
            return Array.from({ length: 200 }, (_, seed) =>
                Array.from({ length: 100 }, (_, step) => uniform(2 ** 30 + seed, step)));
        }""")
    numbers = np.array(numbers)
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert len(np.unique(numbers)) == numbers.size
    counts = np.histogram(numbers, bins=20, range=(0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8  # chi-squared of 19 degrees of freedom, 1 in 1000
    for lag, axis in ((1, 0), (1, 1)):
        first, second = np.delete(numbers, -lag, axis), np.delete(numbers, 0, axis)
        assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.025


def wait(page: Any, holds: Callable[[], bool]) -> None:
    """Until something holds; the page forbids the code that Playwright would poll with."""
    until = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < until, page.inner_text("body")
        page.wait_for_timeout(50)


def colours(page: Any, selector: str) -> int:
    """How many different colours a canvas shows."""
    with Image.open(io.BytesIO(page.locator(selector).first.screenshot())) as picture:
        return len(picture.convert("RGB").getcolors(2**24) or [])


def step(page: Any) -> int:
    return int(page.inner_text("#step").replace(",", ""))


def wait_for_step(page: Any, number: int) -> None:
    wait(page, lambda: step(page) == number)


def timeline(page: Any) -> str:
    return page.get_attribute("#timeline", "aria-valuetext") or ""


COUNT = """() => {
    window.seen = new Set();
    const text = (id) => document.getElementById(id).textContent;
    new MutationObserver(() => window.seen.add(`${text("episode")}:${text("step")}`)).observe(
        document.getElementById("step"), { childList: true, characterData: true, subtree: true });
}"""


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_it_plays_and_shows_its_memory(page_folder: Path, opened: Open, phone: bool) -> None:
    size = {"size": PHONE, "has_touch": True, "is_mobile": True, "device_scale_factor": 2} if phone else {}
    with opened(page_folder, **size) as page:
        page.evaluate(COUNT)
        for _ in range(4):
            page.keyboard.press("+")
        assert page.inner_text("#speed-words") == "120 steps/s"
        wait(page, lambda: page.evaluate("window.seen.size") >= (40 if phone else STEPS))
        page.click("#play")
        assert colours(page, "#board") > 20
        assert colours(page, "#sees") >= 3
        assert colours(page, ".memory-stage canvas") > 100
        assert colours(page, "#timeline canvas") > 30
        picture = page.screenshot(full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
        if not phone:
            assert page.evaluate("document.documentElement.scrollHeight") <= page.viewport_size["height"]
    with Image.open(io.BytesIO(picture)) as image:
        assert len(image.convert("RGB").getcolors(2**24) or []) > 500


def test_what_a_slot_reads_is_told(policy: Policy, page_folder: Path, opened: Open) -> None:
    """By pointer, click and keyboard; the numbers are the mean over heads of the last round."""
    python = Session(policy, seed=SEED, greedy=True)
    first = python.advance()
    python.close()
    assert first.attention is not None
    shares = first.attention[-1].mean(axis=0)[1]
    names = [*(f"slot {slot + 1}" for slot in range(4)), "the input"]
    strongest = sorted(range(5), key=lambda column: -shares[column])[:3]
    with opened(page_folder, f"?paused&greedy&seed={SEED}") as page:
        wait(page, lambda: page.locator(".slots button").count() == 4)
        slot = page.locator(".slots button").nth(1)
        words = slot.get_attribute("aria-label")
        assert words.startswith("slot 2 reads ")
        assert all(f"from {names[column]}" in words for column in strongest if shares[column] > 0.02)
        assert f"{round(100 * shares[strongest[0]])}\N{NO-BREAK SPACE}% from {names[strongest[0]]}" in words
        before = page.locator(".memory-stage canvas").screenshot()
        slot.click()
        page.mouse.move(0, 0)
        assert slot.get_attribute("aria-pressed") == "true"
        wait(page, lambda: page.locator(".memory-stage canvas").screenshot() != before)
        page.keyboard.press("Escape")
        assert slot.get_attribute("aria-pressed") == "false"
        page.get_by_role("button", name="head 2").click()
        wait(page, lambda: slot.get_attribute("aria-label") != words)
        page.get_by_role("button", name="block 1").click()
        assert page.get_by_role("button", name="block 1").get_attribute("aria-pressed") == "true"


def test_looking_back_and_going_on(page_folder: Path, opened: Open) -> None:
    with opened(page_folder, f"?paused&greedy&seed={SEED}") as page:
        for number in range(1, 9):
            page.keyboard.press(".")
            wait_for_step(page, number)
        last = timeline(page)
        page.keyboard.press(",")
        wait_for_step(page, 7)
        assert page.inner_text("#state").startswith("looking back 1 step")
        box = page.locator("#timeline").bounding_box()
        page.mouse.click(box["x"] + 182, box["y"] + 20)
        wait_for_step(page, 0)
        page.focus("#timeline")
        page.keyboard.press("End")
        wait_for_step(page, 8)
        assert timeline(page) == last
        page.keyboard.press("Home")
        page.click("#forward")
        wait_for_step(page, 1)


def test_a_person_plays_and_undoes(page_folder: Path, opened: Open) -> None:
    with opened(page_folder, f"?paused&greedy&seed={SEED}") as page:
        page.click("#you-play")
        for number, key in enumerate(["ArrowLeft", "a", "ArrowUp"], start=1):
            page.keyboard.press(key)
            wait_for_step(page, number)
        assert page.inner_text("#state") == "your move"
        for number, action in ((2, "up"), (1, "left"), (0, "left")):
            page.click("#back")
            wait_for_step(page, number)
            assert f"action {action}" in timeline(page)
        page.locator("#pad button", has_text="right").click()
        wait_for_step(page, 1)
        assert page.get_attribute("#timeline", "aria-valuemax") == "1"
        page.click("#back")
        wait(page, lambda: "action right" in timeline(page))
        assert page.locator("#policy .by-hand").inner_text().startswith("right")


def test_settings_and_help(page_folder: Path, opened: Open) -> None:
    with opened(page_folder, "?paused") as page:
        page.keyboard.press("g")
        assert page.get_attribute("#greedy", "aria-pressed") == "true"
        page.keyboard.press("h")
        assert "one step back" in page.inner_text("#help")
        page.get_by_role("button", name="Close").click()
        wait(page, lambda: not page.locator("#help").is_visible())
        page.fill("#seed", "17")
        page.keyboard.press("Enter")
        wait(page, lambda: page.input_value("#seed") == "17" and step(page) == 0)
        page.keyboard.press("n")
        wait(page, lambda: page.input_value("#seed") == "18" and page.inner_text("#episode") == "2")
        page.fill("#seed", "-1")
        page.keyboard.press("Enter")
        wait(page, lambda: page.input_value("#seed") == "18")


def test_less_motion_is_respected(page_folder: Path, opened: Open) -> None:
    with opened(page_folder, reduced_motion="reduce") as page:
        page.wait_for_timeout(500)
        assert page.inner_text("#state") == "paused"
        assert step(page) == 0


def test_its_games_are_those_that_python_takes(page_folder: Path, opened: Open) -> None:
    with opened(page_folder, "?paused") as page:
        known = page.evaluate("async () => (await import(new URL('./games/index.js', location.href))).gameIds()")
    assert tuple(known) == GAMES


def told(browser: Any, address: str, script: str = "") -> str:
    """What the page says when it cannot run."""
    window = browser.new_context()
    page = window.new_page()
    page.set_default_timeout(1000 * SECONDS)
    if script:
        page.add_init_script(script)
    page.goto(address)
    page.wait_for_timeout(300)
    wait(page, lambda: page.get_attribute("#notice", "role") == "alert" or page.locator(".unserved").is_visible())
    words = page.inner_text("body")
    window.close()
    return words


def test_clicking_does_not_take_the_keys_from_the_game(page_folder: Path, opened: Open) -> None:
    """Nor does dragging."""
    with opened(page_folder, f"?paused&greedy&seed={SEED}") as page:
        page.click("#you-play")
        for number in (1, 2, 3):
            page.keyboard.press("Enter")
            wait_for_step(page, number)
        box = page.locator("#timeline").bounding_box()
        page.mouse.click(box["x"] + 182, box["y"] + 20)
        wait_for_step(page, 0)
        page.keyboard.press("ArrowLeft")
        wait(page, lambda: step(page) == 1 and page.get_attribute("#timeline", "aria-valuemax") == "1")
        slider = page.locator("#speed").bounding_box()
        page.mouse.click(slider["x"] + 5, slider["y"] + slider["height"] / 2)
        assert page.inner_text("#speed-words") == "1 step/s"
        page.keyboard.press("g")
        assert page.get_attribute("#greedy", "aria-pressed") == "false"
        slot = page.locator(".slots button").first
        slot.click()
        page.click("#greedy")
        page.keyboard.press("Escape")
        assert slot.get_attribute("aria-pressed") == "false"
        page.focus("#speed")
        page.keyboard.press("ArrowRight")
        assert page.inner_text("#speed-words") == "2 steps/s"


def test_after_the_largest_seed_comes_zero(page_folder: Path, opened: Open) -> None:
    with opened(page_folder, f"?paused&seed={2**53 - 1}") as page:
        wait(page, lambda: page.input_value("#seed") == str(2**53 - 1))
        page.keyboard.press("n")
        wait(page, lambda: page.input_value("#seed") == "0" and page.inner_text("#episode") == "1")


def test_a_very_long_episode_is_drawn(page_folder: Path, opened: Open) -> None:
    with opened(page_folder, "?paused") as page:
        words = page.evaluate("""async () => {
            const { Timeline } = await import(new URL("./timeline.js", location.href));
            const root = document.getElementById("timeline");
            const moments = Array.from({ length: 150_000 }, (_, number) => ({ number, value: number % 7, reward: 0,
                entropy: 0, probabilities: [1, 0], attention: null, action: 0, byHand: false, ending: null }));
            new Timeline(root, ["left", "right"], () => {}).show(moments, moments.length - 1);
            return root.getAttribute("aria-valuetext");
        }""")
    assert words.startswith("step 149999, value ")


@pytest.mark.parametrize("name", ["agent.json", "agent.onnx", "ort/ort-wasm.bin", "ort/ort.js"])
def test_a_missing_file_is_named_with_the_remedy(browser: Any, page_folder: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "page"
    shutil.copytree(page_folder, folder)
    (folder / name).unlink()
    with served(folder) as address:
        words = told(browser, address)
    assert f"{name} is missing" in words
    assert "write the page again with python -m rmc_rl.export format=page" in words


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("agent.json", "agent.json is damaged"),
        ("agent.onnx", "The model cannot be opened"),
        ("ort/ort-wasm.bin", "ort/ort-wasm.bin is damaged"),
    ],
)
def test_a_truncated_file_is_named_with_the_remedy(
    browser: Any, page_folder: Path, tmp_path: Path, name: str, message: str
) -> None:
    folder = tmp_path / "page"
    shutil.copytree(page_folder, folder)
    (folder / name).write_bytes((folder / name).read_bytes()[:-1000])
    with served(folder) as address:
        words = told(browser, address)
    assert message in words
    assert "write the page again with python -m rmc_rl.export format=page" in words


def test_a_browser_without_webassembly_is_told(browser: Any, page_folder: Path) -> None:
    with served(page_folder) as address:
        assert "no WebAssembly" in told(browser, address, "delete globalThis.WebAssembly")


def test_a_seed_that_is_none_is_told(browser: Any, page_folder: Path) -> None:
    with served(page_folder) as address:
        assert "seed=x in the address: a whole number from 0 is needed" in told(browser, f"{address}?seed=x")


def test_opened_as_a_file_it_asks_for_a_server(browser: Any, page_folder: Path) -> None:
    assert "python -m http.server" in told(browser, (page_folder / "index.html").as_uri())
