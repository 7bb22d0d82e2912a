"""What a run writes beside its checkpoints, and the command that finds it again."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from app.experiment import Experiment
from app.filming.films import FILM_BYTES, most_films
from app.next_command import command
from app.run_configuration import stored_name
from ppo.checkpoint.folder import WHOLE
from ppo.checkpoint.run_folder import newest_run_folder
from ppo.expectation import expected_speed
from ppo.learner import Learner
from ppo.report.logging import WandbConfig


def wandb_config(experiment: Experiment, folder: Path) -> WandbConfig | None:
    """Where Weights & Biases logs to; None without it."""
    if not experiment.wandb:
        return None
    return WandbConfig(experiment.wandb_project, experiment.wandb_entity, experiment.wandb_run_name or folder.name)


def announce_checkpoints(experiment: Experiment, learner: Learner) -> str:
    """In one line, how large the run's checkpoints will be, how often they come, and what they take at most."""
    environments = tensor_bytes([learner.env.state_dict(), *learner.policy.initial_state(learner.env.num_envs)])
    light = tensor_bytes(learner.policy.state_dict())
    # Adam remembers two numbers per weight.
    best = 3 * light
    whole = best + learner.processes.count * environments
    every, kept = "2 minutes", experiment.keep_checkpoints
    if experiment.save_freq is not None:
        every = f"{experiment.save_freq:,} steps"
        periodic = experiment.total_timesteps // experiment.save_freq
        kept = periodic if kept is None else min(kept, periodic)
    line, films = f"saving {_size(whole)} every {every}", announce_films(experiment)
    if kept is None:
        return f"{line} and keeping all, those before the last {WHOLE} as {_size(light)} each{films}"
    most = min(kept, WHOLE) * whole + max(0, kept - WHOLE) * light + whole
    return f"{line}, {_size(most + (best if experiment.eval_freq is not None else 0))} in all at most{films}"


def announce_films(experiment: Experiment) -> str:
    """What the run's films will take at most, to be added to a line; nothing where there are none."""
    if experiment.video_freq is None:
        return ""
    count = most_films(experiment.total_timesteps, experiment.video_freq)
    return f"; films of {_size(count * FILM_BYTES)} at most"


def announce_speed(experiment: Experiment, learner: Learner) -> str:
    """In one line, what to expect of a training that takes long here."""
    speed = expected_speed(learner)
    days = (experiment.total_timesteps - learner.num_timesteps) / speed / 86400.0
    time = f"{days:.1f} days" if days >= 2.0 else f"{24.0 * days:.1f} hours"
    faster = command("train.py", options={"--preset": "quick"})
    return (
        f"expect about {speed:,.0f} steps/s here, {time} for {experiment.total_timesteps:,} steps; "
        f"without a GPU a robot walks after minutes with: {faster}"
    )


def tensor_bytes(tree: object) -> int:
    """Of all tensors in a tree of dicts and sequences."""
    if isinstance(tree, Tensor):
        return tree.nbytes
    if isinstance(tree, Mapping):
        return sum(map(tensor_bytes, tree.values()))
    return sum(map(tensor_bytes, tree)) if isinstance(tree, (list, tuple)) else 0


def _size(count: int) -> str:
    unit, name = (1e9, "GB") if count >= 1e9 else (1e6, "MB")
    return f"{count / unit:.1f} {name}" if count < 100 * unit else f"{count / unit:.0f} {name}"


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
    options: dict[str, object] = {}
    # Without a name, play.py takes the newest run whatever it is called.
    if not interrupted or name != defaults.exp_name:
        options["--exp-name"] = name
    if experiment.log_dir != defaults.log_dir:
        options["--log-dir"] = experiment.log_dir
    return (
        command("train.py", "--continue-training", options=options)
        if interrupted
        else command("play.py", options=options)
    )
