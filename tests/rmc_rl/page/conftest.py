"""A trained agent's page, served on this machine and opened in a real browser without a window."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from rmc_rl.errors import UserError
from rmc_rl.page.runtime import runtime_files
from rmc_rl.page.writing import write_page
from rmc_rl.policy import Policy, load
from rmc_rl.trainer import train

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
SECONDS = 240
"""So long something in the browser may take, on a busy machine."""

Open = Callable[..., AbstractContextManager[Any]]


def trained(folder: Path, *words: str) -> Policy:
    """An agent of a few seconds, made to prefer some actions clearly."""
    usual = ["engine=inline", "engine.learner_threads=1", "actor.num_envs=8", "log.display=none", "total_steps=1000"]
    policy = load(train([*usual, *words, f"runs_dir={folder}"]).run)
    torch.manual_seed(0)
    torch.nn.init.normal_(policy.agent.policy.linear.weight)
    return policy


@pytest.fixture(scope="session")
def onnxruntime_web() -> dict[str, bytes]:
    try:
        return runtime_files()
    except UserError as error:
        pytest.skip(f"no onnxruntime-web here: {error}")


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """Two rounds of attention, two heads."""
    small = ["core.head_size=8", "core.num_heads=2", "core.num_blocks=2", "env.kwargs.max_steps=90"]
    return trained(tmp_path_factory.mktemp("runs"), "env=minipacman-viewport", *small)


@pytest.fixture(scope="session")
def page_folder(policy: Policy, onnxruntime_web: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(policy, tmp_path_factory.mktemp("pages") / "page").path


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """As ``python -m http.server``, without its log."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder's address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def opened(browser: Any) -> Open:
    """Opens a folder's page; at the end nothing must have gone wrong in it, and nothing asked of elsewhere."""

    @contextmanager
    def open_page(folder: Path, address: str = "", size: dict[str, int] = DESKTOP, **context: Any) -> Iterator[Any]:
        wrong: list[str] = []
        with served(folder) as origin:
            window = browser.new_context(viewport=size, **context)
            page = window.new_page()
            page.set_default_timeout(1000 * SECONDS)
            page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("requestfailed", lambda request: wrong.append(f"{request.url} failed"))
            page.on("request", lambda asked: None if asked.url.startswith(origin) else wrong.append(asked.url))
            page.goto(origin + address)
            page.wait_for_selector("main:not([hidden])")
            yield page
            window.close()
        assert wrong == []

    return open_page
