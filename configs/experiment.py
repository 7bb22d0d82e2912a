"""Everything that one training run is made of: the flags of `train.py` and the configurations of the parts."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import dacite
import tyro

from biped.env import EnvConfig
from biped.simulators.genesis import SimulationConfig
from ppo.policy import PolicyConfig
from ppo.runtime import PrecisionName
from ppo.update import PPOConfig

CHECKPOINT_PREFIX = "biped_model"
"""Periodic checkpoints are called `<prefix>_<steps>_steps.zip`."""


@dataclass(frozen=True)
class Experiment:
    """One training run."""

    exp_name: Annotated[str, tyro.conf.arg(aliases=["-e"])] = "biped-walking-sb3-recurrentppo"
    """Name of the run and of its folder in the log folder."""
    num_envs: Annotated[int, tyro.conf.arg(aliases=["-B"])] = 1024
    """Robots simulated in parallel, over all processes."""
    total_timesteps: int = 200_000_000
    """Control steps to train for, over all robots."""
    load_model: Path | None = None
    """Start from the weights, optimiser and step count of this SB3 zip."""
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
    preset: Literal["default", "cpu", "gpu", "robust", "smoke"] = "default"
    """Values that the other flags start from."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:<index>."""
    seed: int = 1
    """Seed of weights, robots, exploration and minibatches."""
    precision: PrecisionName = "auto"
    """Arithmetic of the network: fp32, tf32, bf16; auto is tf32 on CUDA and fp32 on a CPU."""
    save_freq: int = 500_000
    """Control steps between two checkpoints."""
    keep_checkpoints: int | None = None
    """Number of periodic checkpoints to keep; all of them if not given."""
    eval_freq: int | None = None
    """Control steps between two examinations as in `play.py --evaluate`, keeping the best model; none if not given."""
    log_dir: Path = Path("logs")
    """Folder that holds the runs."""
    processes: int | Literal["auto"] = 1
    """Processes that share the robots and train together; auto is one per CPU core, or one per GPU."""
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
        for name in ("num_envs", "total_timesteps", "save_freq", "eval_freq", "keep_checkpoints", "processes"):
            value = getattr(self, name)
            if isinstance(value, int) and value < 1:
                raise ValueError(f"--{name.replace('_', '-')} must be at least 1, not {value}")
        if not self.exp_name or "/" in self.exp_name or self.exp_name in (".", ".."):
            raise ValueError(f"--exp-name {self.exp_name!r} cannot name a folder; use letters, digits, - and _")

    def resolved(self) -> "Experiment":
        """The same experiment with its shorthand flags carried into the configurations of the parts."""
        if not self.adaptive_lr:
            return self
        return dataclasses.replace(
            self, ppo=dataclasses.replace(self.ppo, lr=dataclasses.replace(self.ppo.lr, schedule="adaptive"))
        )


def to_plain(value: Any) -> Any:  # noqa: ANN401 - the tree holds anything YAML can hold
    """A configuration as dicts, lists, strings and numbers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


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
    """The experiment that `to_plain` was given.

    Raises:
        ValueError: a value is missing, unknown or of the wrong type.
    """
    try:
        return dacite.from_dict(Experiment, dict(data), dacite.Config(cast=[tuple, Path], strict=True))
    except (dacite.DaciteError, TypeError) as error:
        raise ValueError(f"the stored configuration does not fit this version: {error}") from None
