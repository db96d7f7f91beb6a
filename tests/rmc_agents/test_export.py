"""What is exported computes what the module does, step after step, for batches of any size."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor

from rmc_agents import Agent, Core, Discrete, Image, LSTMCore, RelationalMemory, Vector, core_names, leaves, make_core
from rmc_agents.export import AgentStep, CoreStep, NamedState, Step, onnx_program, torch_program

INPUT_SIZE, NUM_ACTIONS, STEPS = 130, 5, 12
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}

OPTIONS: dict[str, dict[str, Any]] = {
    "conv_lstm": {"height": 5, "width": 5, "channels": 5, "hidden_channels": 3},
    "dnc": {"mem_slots": 4, "word_size": 3, "num_writes": 2, "hidden_size": 8},
    "gru": {"hidden_size": 8, "num_layers": 2},
    "lstm": {"hidden_size": 8, "num_layers": 2, "skip_connections": True, "concatenate_outputs": True},
    "lstm_bank": {"cell_size": 6, "share_weights": True},
    "rmc": {"mem_slots": 3, "head_size": 4, "num_heads": 2, "num_blocks": 2},
}
Run = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The converter warns of every package that it could have served as well."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


def build(name: str, **options: Any) -> Core:
    torch.manual_seed(0)
    return make_core(name, INPUT_SIZE, **(options or OPTIONS[name]))


def build_agent(name: str, shape: tuple[int, ...] = (5, 5, 3), **options: Any) -> Agent:
    torch.manual_seed(0)
    cores = OPTIONS | {"conv_lstm": {"height": 5, "width": 5, "channels": 26, "hidden_channels": 3}}
    agent = Agent(
        observation=Image(shape) if len(shape) == 3 else Vector(shape),
        actions=Discrete(NUM_ACTIONS),
        core=lambda size: make_core(name, size, **cores[name]),
        **options,
    )
    torch.nn.init.normal_(agent.policy.linear.weight)
    return agent


def saved_and_loaded(step: Step) -> Run:
    """The step from a .pt2 file."""
    file = io.BytesIO()
    torch.export.save(torch_program(step), file)
    file.seek(0)
    return torch.export.load(file).module()


def by_onnxruntime(step: Step) -> Run:
    """The step from the bytes of an .onnx file."""
    data = onnx_program(step).model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])

    def run(*arguments: Any) -> dict[str, Any]:
        *rows, state = arguments
        fed = dict(zip(step.input_names, rows, strict=True)) | state
        found = session.run(None, {name: tensor.numpy() for name, tensor in fed.items()})
        named = {
            output.name: torch.from_numpy(value) for output, value in zip(session.get_outputs(), found, strict=True)
        }
        return {name: named[name] for name in step.output_names} | {
            "state": {name: named[f"next_{name}"] for name in step.leaf_names}
        }

    return run


def core_and_way(slow: Callable[[str, Any], bool]) -> pytest.MarkDecorator:
    """Every core both ways; the converter to ONNX takes its time."""
    cases = [(name, exported) for name in core_names() for exported in (saved_and_loaded, by_onnxruntime)]
    return pytest.mark.parametrize(
        ("name", "exported"),
        [
            pytest.param(
                name, exported, id=f"{name}-{exported.__name__}", marks=[pytest.mark.slow] * slow(name, exported)
            )
            for name, exported in cases
        ],
    )


either_way = pytest.mark.parametrize("exported", [saved_and_loaded, by_onnxruntime])


def core_unroll(core: Core, run: Run, step: Step, batch: int, rows: tuple[int, ...] = ()) -> None:
    """The core's whole unroll, and the exported step time after time."""
    inputs, reset = torch.randn(STEPS, batch, *rows, core.input_size), torch.rand(STEPS, batch) < 0.3
    reset[0] = True
    with torch.no_grad():
        expected, final = core(inputs, core.initial_state(batch), reset)
    state: NamedState = {name: torch.full_like(leaf, 7.0) for name, leaf in step.initial_state(batch).items()}
    for t in range(STEPS):
        found = run(inputs[t], reset[t], state)
        torch.testing.assert_close(found["outputs"], expected[t], **TOLERANCE)
        state = found["state"]
    for name, leaf in zip(step.leaf_names, leaves(final), strict=True):
        torch.testing.assert_close(state[name], leaf, **TOLERANCE)


@core_and_way(lambda name, exported: name == "dnc" and exported is by_onnxruntime)
def test_a_core_is_the_same_outside(name: str, exported: Callable[[Step], Run]) -> None:
    core = build(name)
    step = CoreStep(core)
    run = exported(step)
    for batch in (1, 5):
        core_unroll(core, run, step, batch)


@either_way
@pytest.mark.parametrize(
    "options",
    [
        {"gate_style": None},
        {"gate_style": "memory", "key_size": 3},
        {"matmul_dtype": "bfloat16"},
        {"attention_between_slots": False},
    ],
    ids=str,
)
def test_every_kind_of_relational_memory(options: dict[str, Any], exported: Callable[[Step], Run]) -> None:
    core = build("rmc", mem_slots=3, head_size=4, num_heads=2, **options)
    step = CoreStep(core)
    core_unroll(step.core, exported(step), step, 4)
    assert step.core.matmul_dtype == "float32"
    assert core.matmul_dtype == options.get("matmul_dtype", "float32")


@either_way
def test_the_number_of_input_rows_is_free(exported: Callable[[Step], Run]) -> None:
    core = build("rmc", mem_slots=3, head_size=4, treat_input_as_matrix=True)
    step = CoreStep(core)
    run = exported(step)
    for rows in (1, 4):
        core_unroll(core, run, step, 3, (rows,))


def agent_unroll(agent: Agent, run: Run, step: Step, batch: int, dtype: torch.dtype) -> None:
    shape = (STEPS, batch, *agent.observation.shape)
    observation = torch.randint(0, 256, shape, dtype=dtype) if dtype == torch.uint8 else torch.randn(shape, dtype=dtype)
    last_action, last_reward = torch.randint(0, NUM_ACTIONS, (STEPS, batch)), 3 * torch.randn(STEPS, batch)
    reset = torch.rand(STEPS, batch) < 0.3
    last_reward[reset] = torch.nan
    with torch.no_grad():
        expected, _ = agent(observation, last_action, last_reward, reset, agent.initial_state(batch))
    state = step.initial_state(batch)
    for t in range(STEPS):
        found = run(observation[t], last_action[t], last_reward[t], reset[t], state)
        torch.testing.assert_close(found["logits"], expected.policy[t], **TOLERANCE)
        torch.testing.assert_close(found["value"], expected.value[t], **TOLERANCE)
        state = found["state"]


@core_and_way(lambda name, exported: name != "rmc" and exported is by_onnxruntime)
def test_an_agent_is_the_same_outside(name: str, exported: Callable[[Step], Run]) -> None:
    agent = build_agent(name, normalise_output=True)
    step = AgentStep(agent)
    run = exported(step)
    for batch in (1, 4):
        agent_unroll(agent, run, step, batch, torch.uint8)


@either_way
@pytest.mark.parametrize("options", [{}, {"gate_style": "memory", "num_blocks": 1}, {"gate_style": None}], ids=str)
def test_a_step_tells_what_the_memory_did(options: dict[str, Any], exported: Callable[[Step], Run]) -> None:
    """The numbers of the core's own trace, of every block and head, and the same output as without."""
    torch.manual_seed(0)
    core = OPTIONS["rmc"] | options
    agent = Agent(
        observation=Vector((4,)), actions=Discrete(NUM_ACTIONS), core=lambda size: make_core("rmc", size, **core)
    )
    torch.nn.init.normal_(agent.policy.linear.weight)
    step = AgentStep(agent, torch.float32, trace=True)
    gates = ("input_gate", "forget_gate") if core.get("gate_style", "unit") else ()
    assert step.output_names == ("logits", "value", "attention", *gates)
    run = exported(step)
    observation, last_reward = torch.randn(STEPS, 3, 4), torch.randn(STEPS, 3)
    last_action, reset = torch.randint(0, NUM_ACTIONS, (STEPS, 3)), torch.rand(STEPS, 3) < 0.3
    rows = (observation, last_action, last_reward, reset)
    with torch.no_grad():
        expected, _ = agent(*rows, agent.initial_state(3))
        _, trace = agent.trace(*rows, agent.initial_state(3))
    state = step.initial_state(3)
    for t in range(STEPS):
        found = run(*(row[t] for row in rows), state)
        torch.testing.assert_close(found["logits"], expected.policy[t], **TOLERANCE)
        torch.testing.assert_close(found["value"], expected.value[t], **TOLERANCE)
        for name in ("attention", *gates):
            torch.testing.assert_close(found[name], getattr(trace, name)[t], **TOLERANCE)
        state = found["state"]
        torch.testing.assert_close(state["memory"], trace.memory_after[t], **TOLERANCE)


def test_a_memory_without_attention_tells_its_gates_alone() -> None:
    assert AgentStep(build_agent("lstm"), trace=True).output_names[2:] == ("input_gate", "forget_gate", "output_gate")
    assert AgentStep(build_agent("dnc"), trace=True).output_names == ("logits", "value")


@pytest.mark.slow
@either_way
def test_an_agent_of_vectors_and_one_that_sees_less(exported: Callable[[Step], Run]) -> None:
    """The inputs are the same four where an agent does not look at the last action and reward."""
    agent = build_agent("rmc", (4,))
    step = AgentStep(agent, torch.float64)
    agent_unroll(agent, exported(step), step, 3, torch.float64)
    agent = build_agent("lstm", (15, 19, 3), use_last_action=False, use_last_reward=False)
    step = AgentStep(agent)
    agent_unroll(agent, exported(step), step, 3, torch.uint8)


def test_names_and_types_of_the_onnx_graph() -> None:
    graph = onnx_program(AgentStep(build_agent("rmc"))).model_proto.graph

    def described(values: Any) -> dict[str, tuple[int, list[Any]]]:
        return {
            value.name: (
                value.type.tensor_type.elem_type,
                [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim],
            )
            for value in values
        }

    float32, uint8, int64, boolean = 1, 2, 7, 9  # TensorProto.DataType
    assert described(graph.input) == {
        "observation": (uint8, ["batch", 5, 5, 3]),
        "last_action": (int64, ["batch"]),
        "last_reward": (float32, ["batch"]),
        "reset": (boolean, ["batch"]),
        "memory": (float32, ["batch", 3, 8]),
    }
    assert described(graph.output) == {
        "logits": (float32, ["batch", NUM_ACTIONS]),
        "value": (float32, ["batch"]),
        "next_memory": (float32, ["batch", 3, 8]),
    }


def test_names_of_leaves_are_words() -> None:
    assert CoreStep(build("lstm")).leaf_names == ("hidden_state_h", "cell_state_c")
    names = CoreStep(build("dnc")).leaf_names
    assert names[0] == "controllers_hidden_state_h"
    assert all(name.isidentifier() for name in names)


def test_no_path_of_this_machine_leaves_it() -> None:
    step = AgentStep(build_agent("gru"))
    file = io.BytesIO()
    torch.export.save(torch_program(step), file)
    for data in (file.getvalue(), onnx_program(step).model_proto.SerializeToString()):
        assert b"rmc_agents/" not in data
        assert b"site-packages" not in data


def test_the_module_is_left_as_it_was() -> None:
    core = build("rmc")
    before = {name: tensor.clone() for name, tensor in core.state_dict().items()}
    torch_program(CoreStep(core))
    assert all(parameter.requires_grad and parameter.grad is None for parameter in core.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in core.state_dict().items())
    assert core.training


class Nameless(LSTMCore):
    """Its author gave no names."""

    state_names = ()


class Clashing(LSTMCore):
    """A leaf is called as an argument is."""

    state_names = ("reset", "cell")


class Undecided(RelationalMemory):
    """Looks at numbers while it computes."""

    def step(self, projected: tuple[Tensor, ...], memory: Tensor) -> tuple[Tensor, Tensor]:
        return super().step(projected, memory * 2 if memory.sum() > 0 else memory)


def test_leaves_without_names_are_numbered() -> None:
    core = Nameless(INPUT_SIZE, hidden_size=4)
    step = CoreStep(core)
    assert step.leaf_names == ("state_0", "state_1")
    core_unroll(core, saved_and_loaded(step), step, 2)


def test_what_cannot_be_exported_is_said_in_one_line() -> None:
    with pytest.raises(
        ValueError, match=r"state_names \['reset', 'cell'\] given, but \['reset'\] would name two"
    ) as name:
        CoreStep(Clashing(INPUT_SIZE, hidden_size=4))
    with pytest.raises(ValueError, match=r"step: torch.export cannot follow Undecided: ") as follow:
        torch_program(CoreStep(Undecided(INPUT_SIZE, mem_slots=2, head_size=3)))
    for caught in (name, follow):
        assert "\n" not in str(caught.value)
