"""Everything that one training run is made of: the flags of `train.py` and the configurations of the parts."""

import dataclasses
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import dacite
import tyro

from biped.env_config import EnvConfig
from biped.simulators.config import SimulationConfig
from ppo.hyperparameters import PPOConfig
from ppo.policy import PolicyConfig
from ppo.runtime import PrecisionName
from ppo.value_ranges import ConfigurationError, Range, check_ranges

CHECKPOINT_PREFIX = "biped_model"
"""Periodic checkpoints are called `<prefix>_<steps>_steps.zip`."""
LONGEST_NAME = 250
"""Bytes of a run's name, so that a number still fits behind it in the name of its folder."""
STEPS = Range(1, 10**15)
"""Of control steps."""
EngineName = Literal["genesis", "mujoco"]
PresetName = Literal["default", "reference", "cpu", "quick", "turn", "gpu", "robust", "hardware", "smoke"]
SEEDS = Range(0, 2**63 - 1)
"""What random number generators and checkpoints take."""
OLD_NAMES: Mapping[str, str] = {
    "env.rewards.fall": "large_tilt",
    "env.rewards.fall_tilt_deg": "large_tilt_limit_deg",
}
"""What fields are called now, by the path that they had in older checkpoints and `config.yaml`."""


@dataclass(frozen=True)
class Experiment:
    """One training run."""

    exp_name: Annotated[str, tyro.conf.arg(aliases=["-e"])] = "biped-walking-sb3-recurrentppo"
    """Name of the run and of its folder in the log folder."""
    num_envs: Annotated[int | Literal["auto"], tyro.conf.arg(aliases=["-B"]), Range(1, 10_000_000)] = 1024
    """Robots simulated in parallel, over all processes; auto is 256 on a CPU, and up to 4096 for each GPU, as its
    memory allows."""
    total_timesteps: Annotated[int, STEPS] = 200_000_000
    """Control steps to train for, over all robots."""
    load_model: Path | None = None
    """Start from the weights, optimiser and step count of this SB3 zip."""
    config: Path | None = None
    """YAML of values that the other flags start from, such as the config.yaml of a run."""
    continue_training: bool = False
    """Continue the newest run of this name from its newest checkpoint, with the configuration it had."""
    wandb: bool = False
    """Log to Weights & Biases as well."""
    wandb_project: str = "biped-rl-sb3"
    """Weights & Biases project."""
    wandb_entity: str | None = None
    """Weights & Biases user or team."""
    wandb_run_name: str | None = None
    """Weights & Biases run name; the run's folder name if not given."""
    adaptive_lr: bool = False
    """Let the KL divergence of the updates steer the learning rate; the same as --ppo.lr.schedule adaptive."""
    preset: PresetName = "default"
    """Values that the other flags start from."""
    robot: str = "biped"
    """Robot to train: the name of one that comes with the project, or the path of a .yaml file of your own."""
    simulator: EngineName = "genesis"
    """Engine to train in: genesis, on a CPU or a GPU; mujoco, on a CPU and about twice as fast there."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:<index>. MuJoCo simulates on the CPU, and with it the network learns there too."""
    seed: Annotated[int, SEEDS] = 1
    """Seed of weights, robots, exploration and minibatches."""
    seeds: Annotated[int, Range(1, 1000)] = 1
    """Train this many times, with --seed and those after it, in runs called <exp-name>_seed<seed>: side by side where
    the cores allow it, on a GPU one after the other."""
    precision: PrecisionName = "auto"
    """Arithmetic of the network: fp32, tf32, or bf16 in the gradient steps; auto is tf32 on CUDA and fp32 on a CPU."""
    cuda_graphs: bool = True
    """On a GPU, launch as a whole what is done in every control step and for every minibatch; no effect on a CPU."""
    save_freq: Annotated[int | None, STEPS] = None
    """Control steps between two checkpoints; one every two minutes if not given."""
    keep_checkpoints: Annotated[int | None, Range(1, 10**9)] = 20
    """Number of periodic checkpoints to keep, the newest ones; None keeps all. The last two are whole, the others lack
    optimiser and robots."""
    eval_freq: Annotated[int | None, STEPS] = None
    """Control steps between two examinations as in `play.py --evaluate`, keeping the best model; none if not given."""
    eval_simulator: EngineName | Literal["both"] | None = None
    """Engine of the examinations; the one to train in if not given. both asks both, and the worse result counts."""
    video_freq: Annotated[int | None, STEPS] = None
    """Control steps between two films of the newest checkpoint, made on the CPU in a process of their own; none if not
    given."""
    log_dir: Path = Path("logs")
    """Folder that holds the runs."""
    processes: Annotated[int | Literal["auto"], Range(1, 1024)] = 1
    """Processes that share the robots and train together; auto is one per GPU, or on a CPU one per core, fewer where
    the robots cannot be shared evenly or are less than 32 for each."""
    verbose: bool = False
    """Show what the simulator prints."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    """Algorithm."""
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    """Network."""
    env: EnvConfig = field(default_factory=EnvConfig)
    """Task."""
    simulation: SimulationConfig = field(default_factory=SimulationConfig)
    """Physics."""

    def __post_init__(self) -> None:
        check_ranges(self)
        check_folder_name(type(self), "exp_name", self.exp_name)
        if self.wandb and not (0 < len(self.wandb_project) <= 128 and set(self.wandb_project).isdisjoint("/\\#?%:")):
            problem = f"must have 1 to 128 letters and none of / \\ # ? % :, not {self.wandb_project!r}"
            raise ConfigurationError(type(self), "wandb_project", problem)

    @property
    def robots(self) -> int:
        """`num_envs`, once it is a number.

        Raises:
            ValueError: it is left to the memory of a GPU.
        """
        if self.num_envs == "auto":
            raise ValueError("--num-envs auto is no number yet; give one")
        return self.num_envs

    @property
    def eval_simulators(self) -> tuple[EngineName, ...]:
        """Engines of the examinations, the one to train in first if it is among them."""
        if self.eval_simulator != "both":
            return (self.eval_simulator or self.simulator,)
        return ("genesis", "mujoco") if self.simulator == "genesis" else ("mujoco", "genesis")

    def with_schedule(self, schedule: Literal["constant", "linear", "adaptive"]) -> "Experiment":
        """The same experiment with another schedule of the learning rate, and the shorthand flag in line with it.

        Raises:
            ConfigurationError: the learning rate does not go together with the schedule.
        """
        ppo = dataclasses.replace(self.ppo, lr=dataclasses.replace(self.ppo.lr, schedule=schedule))
        return dataclasses.replace(self, ppo=ppo, adaptive_lr=schedule == "adaptive")


def check_folder_name(owner: type, field: str, name: str) -> None:
    """Check that a run can have this name and its folder too.

    Raises:
        ConfigurationError: it cannot.
    """
    # Control characters, and what is no text at all.
    hidden = any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)
    if hidden or "/" in name or name in ("", ".", "..") or len(name.encode()) > LONGEST_NAME:
        shown = name if len(name) <= LONGEST_NAME else f"{name[:20]}..."
        problem = f"{shown!r} cannot name a folder; use up to {LONGEST_NAME} letters, digits, - and _"
        raise ConfigurationError(owner, field, problem)


def to_plain(value: Any) -> Any:  # noqa: ANN401 - the tree holds anything YAML can hold
    """A configuration as dicts, lists, strings and numbers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def flat(tree: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Flags and their values in a configuration as `to_plain` makes it."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from flat(value, f"{prefix}.{name}" if prefix else f"--{name}")
    else:
        yield prefix.replace("_", "-"), tree


def changed_flags(before: Mapping[str, Any], after: Experiment) -> list[str]:
    """Names of the flags in which an experiment differs from a stored configuration, as `to_plain` makes it."""
    try:
        earlier = to_plain(from_plain(before))
    except ValueError:
        earlier = before

    def walk(prefix: str, old: object, new: object) -> Iterator[str]:
        if isinstance(new, Mapping):
            for name, value in new.items():
                yield from walk(f"{prefix}.{name}", old.get(name) if isinstance(old, Mapping) else None, value)
        elif old != new:
            yield "--" + prefix.removeprefix(".").replace("_", "-")

    return list(walk("", earlier, to_plain(after)))


def from_plain(data: Mapping[str, Any]) -> Experiment:
    """The experiment that `to_plain` was given, also under `OLD_NAMES`.

    Raises:
        ValueError: a value is missing, unknown or of the wrong type.
    """
    try:
        return read_plain(with_present_names(dict(data)))
    except (ValueError, TypeError) as error:
        raise ValueError(f"the stored configuration does not fit this version: {error}") from None


def read_plain(data: Mapping[str, Any]) -> Experiment:
    """The experiment that `to_plain` was given.

    Raises:
        ValueError: a value is missing, unknown or of the wrong type.
    """
    try:
        hooks = {Path: lambda path: Path(str(path))}
        return dacite.from_dict(Experiment, dict(data), dacite.Config(cast=[tuple], type_hooks=hooks, strict=True))
    except (dacite.DaciteError, TypeError) as error:
        raise ValueError(str(error)) from None


def with_present_names(data: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with the fields of `OLD_NAMES` called as they are now."""
    for path, present in OLD_NAMES.items():
        *sections, old = path.split(".")
        data = _renamed(data, sections, old, present)
    return dict(data)


def _renamed(data: Mapping[str, Any], sections: Sequence[str], old: str, present: str) -> Mapping[str, Any]:
    """A copy in which a field, in sections of sections, is called otherwise."""
    if sections:
        section = data.get(sections[0])
        if not isinstance(section, Mapping):
            return data
        return {**data, sections[0]: _renamed(section, sections[1:], old, present)}
    # Beside its new name, an old one is as unknown as any other word.
    return data if present in data else {present if name == old else name: value for name, value in data.items()}
