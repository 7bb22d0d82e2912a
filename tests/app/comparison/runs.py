"""Folders of runs that look as if they had been trained."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from app.experiment import Experiment, to_plain
from app.run_configuration import write_configuration
from configs.presets import SMOKE
from ppo.report.logging import MetricsLogger

FIRST = SMOKE.robots * SMOKE.ppo.n_steps
"""Control steps of an iteration."""


def log_run(
    folder: str,
    *,
    seed: int,
    passed: Sequence[tuple[int, float]] = (),
    speed: float = 50.0,
    experiment: Experiment = SMOKE,
    name: str | None = None,
) -> Path:
    """A run in `logs` that has logged what it passed, at a constant speed in control steps per second from step 0 on.

    The first iteration is as long as the preset has it; return is a hundredth of the steps.
    """
    path = Path("logs") / folder
    path.mkdir(parents=True)
    write_configuration(path, to_plain(dataclasses.replace(experiment, exp_name=name or folder, seed=seed)))
    (path / "model_final.zip").touch()
    logger = MetricsLogger(path / "RecurrentPPO_1", wandb=None, config={}, warn=print)
    examined = dict(passed)
    for step in sorted({FIRST, *examined}):
        values = {"perf/steps_per_second": speed, "rollout/ep_rew_mean": 0.01 * step}
        logger.log(values | ({"eval/trials_passed": examined[step]} if step in examined else {}), step)
    logger.close()
    return path
