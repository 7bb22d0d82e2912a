"""What a run writes beside its checkpoints, and the command that finds it again."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from app.experiment import Experiment, stored_name
from app.next_command import command
from ppo.checkpoint.atomic import atomic_write
from ppo.checkpoint.run_folder import newest_run_folder
from ppo.report.logging import WandbConfig
from ppo.report.provenance import describe_run


def write_configuration(folder: Path, config: Mapping[str, Any]) -> None:
    """Write the resolved configuration as `config.yaml`, and as `cfgs.pkl` for tools that expect it."""
    with atomic_write(folder / "config.yaml") as file:
        document = {"experiment": config, "run": describe_run()}
        file.write(yaml.safe_dump(document, sort_keys=False).encode())
    with atomic_write(folder / "cfgs.pkl") as file:
        pickle.dump(dict(config), file)


def wandb_config(experiment: Experiment, folder: Path) -> WandbConfig | None:
    """Where Weights & Biases logs to; None without it."""
    if not experiment.wandb:
        return None
    return WandbConfig(experiment.wandb_project, experiment.wandb_entity, experiment.wandb_run_name or folder.name)


def name_to_find(experiment: Experiment, folder: Path) -> str:
    """The name by which the folder of a run is found again: the run's, or the folder's where that leads elsewhere."""
    try:
        found = newest_run_folder(experiment.log_dir, experiment.exp_name, stored_name) == folder
    except ValueError:
        found = False
    return experiment.exp_name if found else folder.name


def next_command(experiment: Experiment, folder: Path, *, interrupted: bool) -> str:
    """What to type after a run that wrote to `folder`: resume, or see the result."""
    defaults, name = Experiment(), name_to_find(experiment, folder)
    options = {
        "--exp-name": name if name != defaults.exp_name else None,
        "--log-dir": experiment.log_dir if experiment.log_dir != defaults.log_dir else None,
    }
    given = {flag: value for flag, value in options.items() if value is not None}
    return (
        command("train.py", "--continue-training", options=given) if interrupted else command("play.py", options=given)
    )
