"""How fast the Relational Memory Core is: the reference, the fast path, and LSTMs of equal size beside them.

    python -m benchmarks.core_speed [--seconds 1] [--threads 1] [--device cpu] [--batch 32 128] [--steps 40]
    python -m benchmarks.core_speed --parts training [--seconds 1] [--paper-batch 64] [--learner-threads 2]

``--parts core``, the default. For each size (4 slots of 128 and of 256) and batch: microseconds per item and step,
forward and backward of an unroll of T steps, and acting (T = 1, without gradients) for batches from 32 to 4096. The
reference is ``RelationalMemory(fast=False)``; beside it ``torch.nn.LSTM`` with as many parameters, and with as many
multiplications. Every figure is the best of rounds taken in turns, so that a busy machine slows all alike. The
machine's own speed at matrix products stands beside them, the error of each way of computing against the reference in
float64, and peak memory (each in a process of its own).

``--parts training``: whole updates a second of the supervised learner, from drawing the batch to the optimiser's step,
on Nth Farthest: ours, the same learner with the reference as its core (plain), and an LSTM of as many units. Once the
shipped task with a memory of 4 x 64, once all three as in the paper's experiments. There, where one update takes many
seconds on a CPU, ``--paper-batch`` limits the batch. What share of an update goes into making its batch is said of all,
and of the paper's programs, twice: ``data_share`` is the learner's own ``data_seconds / update_seconds`` (the median),
``batch_share`` that of a batch made by itself, which a GPU has finished when the clock is read.

The last line is one JSON object; ratios are the reference's time over the fast path's, in training the other learner's
over ours.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rmc_agents import RelationalMemory
from rmc_rl.building import available_cores, learner_device, prepare_process
from rmc_rl.errors import reports_user_errors
from rmc_rl.supervised.config import SUPERVISED
from rmc_rl.supervised.learner import SupervisedLearner
from rmc_rl.supervised.trainer import build

ROUNDS = 5
SIZES = {"4x128": 128, "4x256": 256}
INPUT_SIZE = 256
ACTING_BATCHES = (32, 256, 4096)
LEARNERS: dict[str, dict[str, tuple[str, ...]]] = {
    "nth_farthest": {
        "ours": ("core.head_size=16",),
        "plain": ("core.head_size=16", "core.fast=false"),
        "lstm": ("core=lstm",),
    },
    "paper_nth_farthest": {
        "ours": ("experiment=paper-nth-farthest-rmc",),
        "plain": ("experiment=paper-nth-farthest-rmc", "core.fast=false"),
        "lstm": ("experiment=paper-nth-farthest-lstm",),
    },
    "paper_programs": {"ours": ("experiment=paper-programs-rmc", "task=full-program")},
}
"""Words that configure each learner, as for ``rmc_rl.supervised``, by what it is compared on."""
WITHOUT_EVALUATIONS = ("total_steps=1_000_000_000", "evaluation.every_steps=1_000_000_000")


def make(width: int, device: str, **options: Any) -> RelationalMemory:
    """4 slots of 4 heads, one gate per slot."""
    torch.manual_seed(0)
    core = RelationalMemory(INPUT_SIZE, mem_slots=4, head_size=width // 4, num_heads=4, gate_style="memory", **options)
    return core.to(device)


def multiplications(core: RelationalMemory) -> int:
    """Of one item and step: the weights times the rows that each is applied to, and attention itself."""
    slots, width = core.mem_slots, core.mem_size
    qkv = core.num_heads * (2 * core.key_size + core.head_size)
    block = (slots + 1) * width * qkv + 2 * slots * (slots + 1) * width + 2 * slots * width * width
    gates = (slots + 1) * width * 2
    return INPUT_SIZE * width + core.num_blocks * block + gates


def lstm_width(parameters: int | None, work: int | None) -> int:
    """The hidden size of an LSTM with so many parameters, or so many multiplications a step."""
    wanted = parameters if parameters is not None else work
    assert wanted is not None
    biases = 8 if parameters is not None else 0
    # 4 h (I + h) + biases h = wanted
    b = 4 * INPUT_SIZE + biases
    return round((-b + math.sqrt(b * b + 16 * wanted)) / 8)


def best_times(
    works: dict[str, Callable[[], Any]], seconds: float, synchronise: Callable[[], None]
) -> dict[str, float]:
    """Seconds a call of each, the best of rounds taken in turns."""
    best = dict.fromkeys(works, math.inf)
    for work in works.values():
        work()
        work()
    for _ in range(ROUNDS):
        for name, work in works.items():
            end = time.perf_counter() + seconds / ROUNDS
            while time.perf_counter() < end:
                synchronise()
                start = time.perf_counter()
                work()
                synchronise()
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def training(module: nn.Module, *arguments: Tensor) -> Callable[[], None]:
    """Forward and backward."""
    inputs = arguments[0].requires_grad_()

    def work() -> None:
        inputs.grad = None
        module.zero_grad()
        output = module(*arguments)[0]
        output.backward(torch.ones_like(output))

    return work


def acting(module: nn.Module, *arguments: Tensor) -> Callable[[], None]:
    """Forward without gradients."""

    def work() -> None:
        with torch.inference_mode():
            module(*arguments)

    return work


def relative_error(core: RelationalMemory, reference: RelationalMemory, device: str) -> list[float]:
    """Norm of the difference to float64 over the norm: of the outputs, and of all parameters' gradients together."""
    torch.manual_seed(1)
    inputs = torch.randn(20, 16, INPUT_SIZE, device=device)
    reset = torch.rand(20, 16, device=device) < 0.05
    found = []
    exact = copy.deepcopy(reference).double()
    for each in (core, exact):
        each.zero_grad()
        outputs, _ = each(inputs.to(each.input_projection.weight.dtype), each.initial_state(16), reset)
        outputs.square().sum().backward()
        gradients = torch.cat([p.grad.flatten() for p in each.parameters() if p.grad is not None])
        found.append((outputs.detach().double(), gradients.double()))
    return [float(f"{float((a - b).norm() / b.norm()):.1e}") for a, b in zip(*found, strict=True)]


def product_speed(width: int, rows: int, device: str, synchronise: Callable[[], None], seconds: float) -> float:
    """GFLOP/s of the reference's largest product, by PyTorch's own linear."""
    x, weight = torch.randn(rows, width, device=device), torch.randn(3 * width, width, device=device)
    time_of = best_times({"product": lambda: nn.functional.linear(x, weight)}, seconds, synchronise)
    return 2 * rows * width * 3 * width / time_of["product"] / 1e9


def waiting(device: str) -> Callable[[], None]:
    """Waits until the device has done all that it was given; a CPU has."""
    return torch.cuda.synchronize if device == "cuda" else lambda: None


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures of the core."""
    device, synchronise = options.device, waiting(options.device)
    results: dict[str, Any] = {}
    for size, width in SIZES.items():
        reference, fast = make(width, device, fast=False), make(width, device)
        rounded = make(width, device, matmul_dtype="bfloat16")
        parameters = sum(parameter.numel() for parameter in reference.parameters())
        lstms = {
            "lstm_of_equal_parameters": nn.LSTM(INPUT_SIZE, lstm_width(parameters, None)).to(device),
            "lstm_of_equal_work": nn.LSTM(INPUT_SIZE, lstm_width(None, multiplications(reference))).to(device),
        }
        results[size] = {"parameters": parameters, "multiplications": multiplications(reference)}
        errors = {
            name: relative_error(core, reference, device)
            for name, core in (("reference", reference), ("fast", fast), ("fast_bfloat16", rounded))
        }
        results[size]["relative_error"] = errors
        print(size, "error of outputs and of the weights' gradients against float64", errors, flush=True)
        for batch in options.batch:
            inputs = torch.randn(options.steps, batch, INPUT_SIZE, device=device)
            reset = torch.rand(options.steps, batch, device=device) < 0.01
            state = reference.initial_state(batch)
            works = {"reference": training(reference, inputs.clone(), state, reset)}
            works["fast"] = training(fast, inputs.clone(), state, reset)
            works["fast_bfloat16"] = training(rounded, inputs.clone(), state, reset)
            works |= {name: training(lstm, inputs.clone()) for name, lstm in lstms.items()}
            times = best_times(works, options.seconds, synchronise)
            entry = {name: round(1e6 * t / (options.steps * batch), 3) for name, t in times.items()}
            for name in ("fast", "fast_bfloat16"):
                entry[f"ratio_{name}"] = round(times["reference"] / times[name], 2)
            entry["product_gflops"] = round(product_speed(width, 4 * batch, device, synchronise, options.seconds / 4))
            results[size][f"training_batch_{batch}_microseconds"] = entry
            print(size, "training, batch", batch, entry, flush=True)
        for batch in options.acting_batch:
            inputs = torch.randn(1, batch, INPUT_SIZE, device=device)
            reset = torch.zeros(1, batch, dtype=torch.bool, device=device)
            state = reference.initial_state(batch)
            works = {
                "reference": acting(reference, inputs, state, reset),
                "fast": acting(fast, inputs, state, reset),
                "fast_bfloat16": acting(rounded, inputs, state, reset),
                **{name: acting(lstm, inputs) for name, lstm in lstms.items()},
            }
            times = best_times(works, options.seconds / 2, synchronise)
            entry = {name: round(1e6 * t / batch, 3) for name, t in times.items()}
            for name in ("fast", "fast_bfloat16"):
                entry[f"ratio_{name}"] = round(times["reference"] / times[name], 2)
            results[size][f"acting_batch_{batch}_microseconds"] = entry
            print(size, "acting, batch", batch, entry, flush=True)
    return results


def measure_training(options: argparse.Namespace) -> dict[str, Any]:
    """All figures of the learners."""
    threads = options.learner_threads or available_cores()
    prepare_process(threads if options.device == "cuda" else 1)
    results: dict[str, Any] = {"threads": threads}
    for name, models in LEARNERS.items():
        limit = options.paper_batch if name.startswith("paper") else None
        results[name] = training_speed(models, options.device, threads, limit, options.seconds)
        batch, configured = results[name]["batch"], results[name]["configured_batch"]
        reduced = f" instead of the configured {configured}" if batch < configured else ""
        print(f"{name}, batch {batch}{reduced}, threads {threads}:", results[name], flush=True)
    return results


def training_speed(
    models: dict[str, tuple[str, ...]], device: str, threads: int, limit: int | None, seconds: float
) -> dict[str, Any]:
    """Updates and sequences a second of learners on one task, and the share of making the batch.

    Args:
        models: words that configure each learner, by its name; the others are compared with ``ours``.
        device: where they learn.
        threads: of each, on a CPU.
        limit: sequences of a batch at most; None: as configured.
        seconds: for each learner.
    """
    learners = {}
    for name, words in models.items():
        config = SUPERVISED.make(*words, *WITHOUT_EVALUATIONS, f"device={device}")
        configured = config.learner.batch_size
        config.learner.batch_size = batch = min(configured, limit or configured)
        learners[name] = SupervisedLearner(*build(config), config, learner_device(config), threads)
    shares: dict[str, list[float]] = {name: [] for name in learners}

    def updating(name: str) -> Callable[[], None]:
        def work() -> None:
            figures = learners[name].update()
            shares[name].append(figures["data_seconds"] / figures["update_seconds"])

        return work

    generator = torch.Generator(device)
    works: dict[str, Callable[[], Any]] = {name: updating(name) for name in learners}
    works["batch"] = lambda: learners["ours"].task.batch(batch, generator)
    times = best_times(works, seconds, waiting(device))
    result: dict[str, Any] = {"batch": batch, "configured_batch": configured}
    for name in learners:
        result[name] = {
            "updates_per_second": _significant(1 / times[name]),
            "sequences_per_second": _significant(batch / times[name]),
            "data_share": _significant(statistics.median(shares[name][1:])),  # the first update compiles kernels
            "batch_share": _significant(times["batch"] / times[name]),
        }
    return result | {f"ratio_{name}": round(times[name] / times["ours"], 2) for name in learners if name != "ours"}


def _significant(number: float) -> float:
    """With 4 digits."""
    return float(f"{number:.4g}")


def memory_megabytes(steps: int, batch: int, **options: Any) -> int:
    """Peak memory that one forward and backward of a core of 4 x 256 adds to a process."""
    code = f"from benchmarks.core_speed import print_peak; print_peak({steps}, {batch}, **{options!r})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return round(float(done.stdout))


def print_peak(steps: int, batch: int, **options: Any) -> None:
    """Print the peak that ``memory_megabytes`` asks a fresh process for."""
    prepare_process(1)
    core = make(256, "cpu", **options)
    tiny = torch.randn(2, 1, INPUT_SIZE)
    core(tiny, core.initial_state(1), torch.zeros(2, 1, dtype=torch.bool))[0].sum().backward()
    inputs = torch.randn(steps, batch, INPUT_SIZE, requires_grad=True)
    reset = torch.zeros(steps, batch, dtype=torch.bool)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = _status_kilobytes("VmRSS")
    core(inputs, core.initial_state(batch), reset)[0].sum().backward()
    print((_status_kilobytes("VmHWM") - before) / 1024)


def _status_kilobytes(name: str) -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1])


@reports_user_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", choices=("core", "training"), nargs="+", default=["core"], help="what is measured")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure")
    parser.add_argument("--threads", type=int, default=1, help="of the core")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--steps", type=int, default=40, help="T")
    parser.add_argument("--batch", type=int, nargs="+", default=[32, 128], help="batches of training the core")
    parser.add_argument("--acting-batch", type=int, nargs="+", default=list(ACTING_BATCHES))
    parser.add_argument("--paper-batch", type=int, help="sequences of an update of the paper's sizes, at most")
    parser.add_argument("--learner-threads", type=int, help="of the learners; as configured: from the machine's cores")
    options = parser.parse_args()
    if not 0 < options.seconds < math.inf:
        parser.error("--seconds: more than 0 needed")
    for name in ("paper_batch", "learner_threads"):
        given = getattr(options, name)
        if given is not None and given < 1:
            parser.error(f"--{name.replace('_', '-')}: 1 or more needed")
    result: dict[str, Any] = {"device": options.device, "threads": options.threads, "steps": options.steps}
    if "core" in options.parts:
        prepare_process(options.threads)
        result |= measure(options)
        if options.device == "cpu" and sys.platform == "linux":
            result["peak_megabytes"] = {
                "T=40, B=256, reference": memory_megabytes(40, 256, fast=False),
                "T=40, B=256, fast": memory_megabytes(40, 256),
                "T=1000, B=32, fast, recompute_steps=40": memory_megabytes(1000, 32, recompute_steps=40),
            }
            print("peak memory of 4x256 in MB:", result["peak_megabytes"], flush=True)
    if "training" in options.parts:
        result["training"] = measure_training(options)
    result["torch"] = torch.__version__
    print(json.dumps(result))


if __name__ == "__main__":
    main()
