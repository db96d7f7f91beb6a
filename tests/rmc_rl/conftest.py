"""One torch thread, so that results do not depend on the machine; nothing leaves it."""

from __future__ import annotations

import os

import pytest
import torch

os.environ["WANDB_MODE"] = "disabled"


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
