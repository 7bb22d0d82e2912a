"""The files of an export: made and compared with the original before anything is written."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from app.experiment import Experiment, from_plain
from app.export.checks import (
    Array,
    ExportedStep,
    check_agreement,
    check_policy,
    check_task,
    observation_size,
)
from app.export.contract import (
    SCHEMA_NAME,
    Subject,
    contract_text,
    make_contract,
    metadata,
    model_bytes,
    model_name,
    schema_text,
)
from app.export.graph import INPUTS, OUTPUTS, GraphMirror, build_model
from app.export.observation import actor_fields, check_sources, clock_column
from app.load import Checkpoint
from biped.env_config import EnvConfig
from biped.robots.robot import Robot
from biped.robots.robot_file import load_robot
from biped.task.mirror import Mirror, other_joints
from biped.task.observations import critic_only_columns, observation_fields, observation_image
from ppo.layers import PYTORCH
from ppo.policy import RecurrentActorCritic


def make_files(checkpoint: Checkpoint, robot: Robot | None, opset: int) -> dict[str, bytes]:
    """Content of every file of an export, by name.

    The contract comes last: an export that was cut off cannot be taken for a whole one.

    Args:
        checkpoint: what to export.
        robot: that it was trained with; None for the one that the checkpoint names.
        opset: version of the operators of the graph.

    Raises:
        ValueError: it cannot be exported; one line says why.
    """
    path = checkpoint.path
    experiment = stored_experiment(checkpoint)
    robot = robot or load_robot(experiment.robot)
    check_task(checkpoint, experiment, robot)
    whole = bounded_policy(checkpoint, experiment.env)
    hidden = critic_only_columns(observation_fields(robot, experiment.env.observations))
    policy = without_columns(path, whole, hidden)
    check_policy(path, policy)
    mirror = find_mirror(experiment.env, robot)
    contract = make_contract(Subject(checkpoint, experiment, robot, policy), mirror, opset)
    text = contract_text(contract)
    graph: bytes = build_model(policy, mirror, opset, metadata(contract, text)).SerializeToString()
    check_agreement(path, original_step(whole, mirror, robot, hidden), exported_step(graph), policy)
    here = resources.files("app.export")
    return {
        "policy.onnx": graph,
        model_name(robot): model_bytes(robot),
        SCHEMA_NAME: schema_text().encode(),
        "runner.py": here.joinpath("runner.py").read_bytes(),
        "README.md": here.joinpath("runner.md").read_bytes(),
        "contract.json": text.encode(),
    }


def stored_experiment(checkpoint: Checkpoint) -> Experiment:
    """The experiment that the checkpoint was trained in.

    Raises:
        ValueError: it does not tell.
    """
    facts = checkpoint.model.own_facts or {}
    if "config" not in facts:
        raise ValueError(
            f"{checkpoint.path} does not tell the task that it was trained in, which the contract needs; go on "
            "training it with train.py --load-model, whose checkpoints tell"
        )
    try:
        return from_plain(facts["config"])
    except ValueError as error:
        raise ValueError(f"{checkpoint.path}: {error}; export it with the version that trained it") from None


def bounded_policy(checkpoint: Checkpoint, config: EnvConfig) -> RecurrentActorCritic:
    """The policy of a checkpoint on the CPU, its actions within the bounds of the model and of the task.

    Raises:
        ValueError: the bounds have nothing in common.
    """
    model = checkpoint.model
    policy = RecurrentActorCritic(model.policy, model.observation_dim, len(model.action_low), PYTORCH)
    policy.load_state_dict(model.parameters)
    policy.bound_actions(model.action_low, model.action_high)
    limit = [config.actuators.action_limit] * len(model.action_low)
    policy.bound_actions([-bound for bound in limit], limit)
    return policy


def without_columns(path: Path, policy: RecurrentActorCritic, hidden: Sequence[int]) -> RecurrentActorCritic:
    """The same policy for observations without the columns that only the critic sees.

    Raises:
        ValueError: its actor sees one of them, too.
    """
    if not hidden:
        return policy
    parameters = policy.plain_state_dict()
    first_layers = [weight for weight, _ in policy.first_layers]
    if bool(parameters[first_layers[0]][:, list(hidden)].any()):
        raise ValueError(
            f"{path}: its actor sees what only the critic may see, which no robot measures; export a checkpoint that "
            "Stable-Baselines3 has not trained on"
        )
    shown = shown_columns(policy, hidden)
    smaller = RecurrentActorCritic(policy.config, len(shown), len(policy.action_low), PYTORCH)
    smaller.load_state_dict({**parameters, **{name: parameters[name][:, shown] for name in first_layers}})
    smaller.bound_actions(policy.action_low.tolist(), policy.action_high.tolist())
    return smaller


def shown_columns(policy: RecurrentActorCritic, hidden: Sequence[int]) -> list[int]:
    """Columns of the policy's observations that are not hidden."""
    return [column for column in range(observation_size(policy)) if column not in hidden]


def find_mirror(config: EnvConfig, robot: Robot) -> GraphMirror | None:
    """What the graph of a task's policy has to mirror; None where the task does not.

    Raises:
        ValueError: the observation does not tell when, or cannot be mirrored.
    """
    fields = actor_fields(robot, config.observations)
    check_sources(fields)
    if not config.mirror_left_stance:
        return None
    column = clock_column(fields)
    if column is None:
        raise ValueError(
            "the task mirrors by a gait clock that the policy does not observe, so that no graph could tell when; "
            "train with --env.observations.clock"
        )
    return GraphMirror(column, observation_image(robot, fields), other_joints(robot))


def original_step(
    policy: RecurrentActorCritic, mirror: GraphMirror | None, robot: Robot, hidden: Sequence[int] = ()
) -> ExportedStep:
    """One step of the policy in PyTorch, as environment and agent take it together.

    Args:
        policy: as it was trained.
        mirror: of the observation that the graph is given.
        robot: that it is for.
        hidden: columns of the policy's observations that the graph is not given; they hold large random numbers.
    """
    shown, generator = shown_columns(policy, hidden), torch.Generator().manual_seed(0)
    image = None if mirror is None else Mirror(robot, mirror.observation, torch.device("cpu"))
    goes_on = torch.zeros(1, dtype=torch.bool)

    @torch.no_grad()
    def step(observation: Array, memory: Array, cell: Array) -> tuple[Array, Array, Array]:
        seen = torch.from_numpy(observation)
        mirrored = goes_on if mirror is None else seen[:, mirror.clock_column] < 0.0
        if image is not None:
            seen = image.observation(seen, mirrored)
        whole = 100.0 * torch.randn(1, observation_size(policy), generator=generator)
        whole[:, shown] = seen
        state = torch.from_numpy(memory), torch.from_numpy(cell)
        action, _, state, _ = policy.act(whole, state, goes_on)
        action = policy.clip(action)
        if image is not None:
            action = image.action(action, mirrored)
        return action.numpy(), state[0].numpy(), state[1].numpy()

    return step


def exported_step(graph: bytes) -> ExportedStep:
    """One step of the policy in onnxruntime, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def step(observation: Array, hidden: Array, cell: Array) -> tuple[Array, Array, Array]:
        inputs = dict(zip(INPUTS, (observation, hidden, cell), strict=True))
        action, hidden, cell = (np.asarray(value, dtype=np.float32) for value in session.run(list(OUTPUTS), inputs))
        return action, hidden, cell

    return step
