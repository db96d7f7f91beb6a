"""``python -m rmc_rl.export run=latest``: a trained agent as one file that other programs run without this package.

The suffix of ``file=`` says the format: ``.onnx`` for onnxruntime and its like, ``.pt2`` for ``torch.export.load``. The
file is one step of the agent for any number of environments: from observation, last_action, last_reward, reset and the
memory to logits, value and the next memory. It carries a JSON record of its spaces, names and initial memory: in ONNX
the metadata entry ``rmc_rl``, in a .pt2 the extra file ``rmc_rl.json``. Before a file gets its name it is read again
and compared with the agent over several steps.

``format=page`` writes a folder for any static web server instead, in which the agent plays its game in the browser and
shows its memory (`rmc_rl.page`, docs/page.md).
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import os
import shlex
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from rich.console import Console

import rmc_rl
from rmc_agents.export import AgentStep, onnx_program, torch_program
from rmc_rl.environment import action_names, make_single
from rmc_rl.errors import UserError, reports_user_errors
from rmc_rl.options import option, parse_options
from rmc_rl.policy import Policy, load
from rmc_rl.run_folder import made_by
from rmc_rl.spaces import Interface, interface

SUFFIXES = (".onnx", ".pt2")
FORMATS = ("onnx", "pt2", "page")
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
METADATA_KEY = "rmc_rl"
TOLERANCE = 1e-4
"""Of logits and values, relative to the largest of them where that is above 1."""
CHECKED_STEPS, CHECKED_ENVIRONMENTS = 32, 3

Run = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
"""One step: inputs by name to outputs by name, the state's leaves among them."""


@dataclass
class ExportOptions:
    """Options of the verb."""

    run: str | None = option(None, "a run folder, or 'latest'; null: latest")
    pretrained: str | None = option(None, "in its place an agent that comes with the package, by its name")
    checkpoint: str = option("latest", "latest, best, or the name of a folder in the run's checkpoints")
    format: str | None = option(None, "a file of one step, or a page; null: by the suffix of file", choices=FORMATS)
    file: str | None = option(
        None,
        "what to write: .onnx, .pt2, of a page the folder; null: agent.onnx, agent.pt2 or page in the run folder, or "
        "here for a pretrained agent",
    )
    onnxruntime_web: str | None = option(
        None, "of a page: that package, unpacked or as npm packs it (.tgz); null: npm brings it"
    )
    trust: bool = option(False, "allow the run to name modules that will be imported: their code is run")
    runs_dir: str = option("runs", "where run folders are")


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the file, or a page's folder.
        size: in bytes.
        difference: the largest between its logits and values and the agent's own, relative as `TOLERANCE` is.
        record: what it carries of its spaces, names and initial memory.
    """

    path: Path
    size: int
    difference: float
    record: dict[str, Any] = field(repr=False)


def export(
    policy: Policy,
    path: Path,
    *,
    trace: bool = False,
    trust: bool = False,
    progress: Callable[[str], None] = lambda words: None,
) -> Exported:
    """Write an agent to a file that needs none of this package, and check it.

    The file appears under its name when it is complete and computes what the agent does; otherwise what was there
    before stays.

    Args:
        policy: whose agent.
        path: ends in .onnx or .pt2.
        trace: also put out attention weights and gates, of a core that has them.
        trust: whether the environment id may name a module; the environment says what its spaces are.
        progress: told what is being done.

    Raises:
        UserError: an unknown suffix, packages that are missing, an environment that cannot be made or an agent that
            cannot be exported, or a file that cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"file={path}: the name must end in {' or '.join(SUFFIXES)}")
    missing = [name for name in ONNX_PACKAGES if suffix == ".onnx" and importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f'an ONNX file needs {", ".join(missing)}: pip install "rmc-rl[export]", or write a .pt2 file')
    if path.is_dir():
        raise UserError(f"file={path} is a folder: name a file in it")
    with _unfinished(path) as unfinished:
        env = make_single(policy.config.env, trust=trust)
        try:
            policy.require(interface(env))
            names = action_names(env)
        finally:
            env.close()
        progress("tracing one step")
        known = policy.progress.interface
        try:
            step = AgentStep(policy.agent, _observations(known, 1).dtype, trace=trace)
            record = metadata(policy, step, known, names)
            with _quiet():
                data = _serialise(step, suffix, json.dumps(record, allow_nan=False))
        except (ValueError, TypeError) as error:
            raise UserError(f"the agent of {policy.run} cannot be exported: {error}") from error
        progress(f"comparing {CHECKED_STEPS} steps")
        with _quiet():
            difference = _difference(policy, step, known, _reader(step, suffix, data))
        if not difference <= TOLERANCE:
            raise UserError(
                f"{path} was not written: over {CHECKED_STEPS} steps it differs from the agent by {difference:.1e}, "
                f"more than {TOLERANCE}"
            )
        try:
            unfinished.write_bytes(data)
            os.chmod(unfinished, 0o644)  # it was made for its owner alone
            with unfinished.open("rb") as file:
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    return Exported(path, len(data), difference, record)


def metadata(policy: Policy, step: AgentStep, known: Interface, names: tuple[str, ...]) -> dict[str, Any]:
    """What a program must know that has only the file; nested lists stand for arrays of one environment.

    ``initial_state`` is for those who want it: where ``reset`` is set the graph selects it by itself.
    """
    state = {name: leaf[0].tolist() for name, leaf in step.initial_state(1).items()}
    return {
        "rmc_rl": rmc_rl.__version__,
        "run": policy.run.resolve().name,
        "steps": policy.progress.steps,
        "environment": {"id": policy.config.env.id, "kwargs": dict(policy.config.env.kwargs)},
        "core": policy.config.core["name"],
        "observation": {
            "shape": list(step.observation_shape),
            "dtype": str(step.observation_dtype).removeprefix("torch."),
            **_bounds(known),
        },
        "spaces": known.to_json(),
        "actions": policy.agent.actions.to_json(),
        "action_names": list(names),
        "inputs": [*step.input_names, *step.leaf_names],
        "outputs": [*step.output_names, *step.next_names],
        "initial_state": state,
    }


def _bounds(known: Interface) -> dict[str, Any]:
    """Least and greatest numbers of an observation, where it is a Box."""
    space = known.observation_space
    if not isinstance(space, spaces.Box):
        return {"low": None, "high": None}
    return {"low": _bound(known.to_agent(space.low)), "high": _bound(known.to_agent(space.high))}


def _observations(known: Interface, count: int) -> torch.Tensor:
    """So many random observations as the agent reads them, [count, …]."""
    space = known.observation_space
    space.seed(0)
    if isinstance(space, spaces.Dict | spaces.Tuple):
        raise ValueError("its observation has several parts")
    return torch.from_numpy(np.stack([known.to_agent(space.sample()) for _ in range(count)]))


def _bound(bounds: np.ndarray) -> float | list[Any] | None:
    """One number where it is the same everywhere; JSON knows no infinity, there it is None."""
    if not np.isfinite(bounds).all():
        return None
    return bounds.flat[0].item() if (bounds == bounds.flat[0]).all() else bounds.tolist()


def _serialise(step: AgentStep, suffix: str, record: str) -> bytes:
    if suffix == ".onnx":
        converted = onnx_program(step)
        converted.model.metadata_props[METADATA_KEY] = record
        return converted.model_proto.SerializeToString()
    file = io.BytesIO()
    torch.export.save(torch_program(step), file, extra_files={f"{METADATA_KEY}.json": record})
    return file.getvalue()


def _reader(step: AgentStep, suffix: str, data: bytes) -> Run:
    """Run the file's bytes as a program would that has nothing else."""
    if suffix == ".onnx":
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(data, settings, providers=["CPUExecutionProvider"])
        names = [output.name.removeprefix("next_") for output in session.get_outputs()]
        return lambda fed: dict(
            zip(
                names,
                map(torch.from_numpy, session.run(None, {name: tensor.numpy() for name, tensor in fed.items()})),
                strict=True,
            )
        )
    module = torch.export.load(io.BytesIO(data)).module()

    def run(fed: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        rows = [fed[name] for name in step.input_names]
        out = module(*rows, {name: fed[name] for name in step.leaf_names})
        return {name: out[name] for name in step.output_names} | out["state"]

    return run


@torch.no_grad()
def _difference(policy: Policy, step: AgentStep, known: Interface, run: Run) -> float:
    """The largest difference from the agent's own unroll, over random observations, actions, rewards and resets."""
    rows, count = CHECKED_STEPS, CHECKED_ENVIRONMENTS
    rng = np.random.default_rng(0)
    actions = policy.agent.actions
    quantiles = torch.from_numpy(rng.random((rows, count, actions.num_quantiles)))
    inputs = {
        "observation": _observations(known, rows * count).unflatten(0, (rows, count)),
        "last_action": actions.at_quantiles(torch.zeros(actions.num_parameters), quantiles),
        "last_reward": torch.from_numpy(rng.normal(size=(rows, count)).astype(np.float32)),
        "reset": torch.from_numpy(rng.random((rows, count)) < 0.1),
    }
    expected, _ = step.agent(*inputs.values(), step.agent.initial_state(count))
    state = step.initial_state(count)
    found = []
    for t in range(rows):
        out = run({name: tensor[t] for name, tensor in inputs.items()} | state)
        found.append(torch.cat([out[step.output_names[0]], out["value"][:, None]], dim=-1))
        state = {name: out[name] for name in step.leaf_names}
    wanted = torch.cat([expected.policy, expected.value[..., None]], dim=-1)
    return float((torch.stack(found) - wanted).abs().max() / wanted.abs().max().clamp(min=1))


@contextlib.contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """A new file beside `path`, which is gone afterwards unless it was renamed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".writing-", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise UserError(f"file={path}: {path.parent} cannot be written ({error.strerror or error})") from error
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the converter says about itself and about packages it could have served as well."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@reports_user_errors
def main() -> None:
    """Export, and say what was written."""
    options = parse_options(ExportOptions, sys.argv[1:], __doc__ or "")
    kind = _format(options)
    if options.pretrained is None and made_by(options.run or "latest", options.runs_dir) == "supervised":
        _export_supervised(options, kind)
        return
    policy = load(options.run, options.checkpoint, options.runs_dir, pretrained=options.pretrained, trust=options.trust)
    place = policy.run if options.pretrained is None else Path()  # nothing is written where packages are installed
    path = place / ("page" if kind == "page" else f"agent.{kind}") if options.file is None else Path(options.file)
    console = Console(stderr=True)
    console.print(f"{policy.run} after {policy.progress.steps:,} steps", highlight=False, soft_wrap=True)
    try:
        with console.status("") as status:

            def progress(words: str) -> None:
                status.update(f"{words} …")

            if kind == "page":
                from rmc_rl.page.writing import write_page

                runtime = options.onnxruntime_web
                exported = write_page(policy, path, onnxruntime_web=runtime, trust=options.trust, progress=progress)
            else:
                exported = export(policy, path, trust=options.trust, progress=progress)
    except KeyboardInterrupt:
        raise UserError("interrupted: nothing was written") from None
    print(
        f"{path}: {exported.size / 1e6:.1f} MB, equal to the agent within {exported.difference:.0e} over "
        f"{CHECKED_STEPS} steps"
    )
    if kind == "page":
        _say_how_to_look(path)


def _export_supervised(options: ExportOptions, kind: str) -> None:
    """Write the page of a supervised run, and say what was written."""
    from rmc_rl.page.writing import write_farthest_page
    from rmc_rl.supervised.export import farthest_page
    from rmc_rl.supervised.trained import load as load_trained

    if kind != "page":
        raise UserError(f"a supervised run becomes a page only (format=page), not a file of one step (format={kind})")
    trained = load_trained(options.run or "latest", options.checkpoint, options.runs_dir, trust=options.trust)
    path = trained.run / "page" if options.file is None else Path(options.file)
    with _quiet(), Console(stderr=True).status("tracing one step …"):
        model, about = farthest_page(trained)
    size = write_farthest_page(path, model, about, onnxruntime_web=options.onnxruntime_web)
    print(f"{path}: {size / 1e6:.1f} MB")
    _say_how_to_look(path)


def _say_how_to_look(path: Path) -> None:
    print(f"to look at it: {shlex.quote(sys.executable)} -m http.server -b 127.0.0.1 -d {shlex.quote(str(path))}")


def _format(options: ExportOptions) -> str:
    """What is to be written, one of `FORMATS`; the suffix of ``file=`` says it where ``format=`` does not."""
    suffix = "" if options.file is None else Path(options.file).suffix.lower()
    kind = options.format or suffix.removeprefix(".") or "onnx"
    if options.format in ("onnx", "pt2") and options.file is not None and suffix != f".{options.format}":
        raise UserError(f"file={options.file}: with format={options.format} the name must end in .{options.format}")
    if options.onnxruntime_web is not None and kind != "page":
        raise UserError(f"onnxruntime_web={options.onnxruntime_web}: only a page needs it (format=page)")
    return kind


if __name__ == "__main__":
    main()
