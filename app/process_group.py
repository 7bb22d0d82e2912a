"""How many processes train together, and how they share robots, GPUs and cores."""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable

import torch

from app.build import Engine
from app.command_line import about
from app.experiment import Experiment
from biped.robots.robot import Robot
from biped.task.observations import observation_fields
from ppo import processes
from ppo.memory import training_bytes
from ppo.processes import Processes
from ppo.runtime import resolve_device
from ppo.value_ranges import ConfigurationError

ROBOTS_ON_A_CPU = 256
"""More of them make a step hardly cheaper there."""
LEAST_ROBOTS_OF_A_PROCESS = 32
"""On a CPU; with fewer, a process spends its time on what a step takes for any number of them."""
MOST_ROBOTS_ON_A_GPU = 4096
"""With more, a budget of control steps is spent in too few updates."""
GENESIS_BYTES_PER_ROBOT = 75_000
"""That Genesis allocates for the biped, counted on a CPU."""
CUDA_BYTES = 1_500_000_000
"""That CUDA, cuDNN and the kernels of Genesis take whatever the number of robots: a guess."""


def choose_device(experiment: Experiment, engine: Engine) -> torch.device:
    """The device that this process trains on.

    Raises:
        ValueError: it is not there, or the engine knows only the CPU.
    """
    # Processes that train on the CPU may be more than there are GPUs.
    name = "cpu" if engine.on_cpu_only and experiment.device == "auto" else experiment.device
    with about(f"--device {experiment.device}"):
        device = resolve_device(name, processes.local_rank())
    if engine.on_cpu_only and device.type != "cpu":
        raise ValueError(
            f"--device {experiment.device}: --simulator {experiment.simulator} runs on the CPU only; choose --device "
            "cpu or --simulator genesis"
        )
    return device


def resolve_processes(experiment: Experiment, device: torch.device) -> int:
    """How many processes train together.

    Raises:
        ValueError: there are more than GPUs.
    """
    if processes.launched_by_torchrun():
        check_gpus(experiment, device, processes.local_count(), "torchrun", "--nproc-per-node")
        return int(os.environ["WORLD_SIZE"])
    if experiment.processes != "auto":
        check_gpus(experiment, device, experiment.processes, "--processes", "--processes")
        return experiment.processes
    return torch.cuda.device_count() if device.type == "cuda" else processes_for_cores(experiment, cpu_cores())


def processes_for_cores(experiment: Experiment, cores: int) -> int:
    """One process for each core, or as many fewer as it takes to share the robots evenly and not too thinly."""
    if experiment.num_envs == "auto":
        return min(cores, ROBOTS_ON_A_CPU // LEAST_ROBOTS_OF_A_PROCESS)
    for count in range(min(cores, experiment.robots // LEAST_ROBOTS_OF_A_PROCESS), 1, -1):
        with contextlib.suppress(ValueError):
            check_division(experiment, count)
            return count
    return 1


def check_gpus(experiment: Experiment, device: torch.device, count: int, starter: str, flag: str) -> None:
    """Check that each of `count` processes on this machine, which `starter` starts, has a GPU of its own.

    Raises:
        ValueError: there are fewer.
    """
    # The other processes see but one GPU, their own.
    if device.type == "cuda" and processes.local_rank() == 0 and count > torch.cuda.device_count():
        raise ValueError(
            f"{starter}: {count} processes need a GPU each, and --device {experiment.device} offers "
            f"{torch.cuda.device_count()}; use {flag} {torch.cuda.device_count()}"
        )


def resolve_robots(experiment: Experiment, robot: Robot, device: torch.device, count: int) -> Experiment:
    """The experiment with a number of robots, also where it leaves that to the memory of a GPU."""
    if experiment.num_envs != "auto":
        return experiment
    # Every process cuts its own share into minibatches.
    least = count * (1 if experiment.ppo.batch_size is not None else experiment.ppo.n_minibatches)
    robots = ROBOTS_ON_A_CPU
    if device.type == "cuda":
        size = sum(field.width for field in observation_fields(robot, experiment.env.observations)), robot.num_joints

        def needed(robots: int) -> int:
            learning = training_bytes(robots, experiment.policy, experiment.ppo, *size)
            return learning + robots * GENESIS_BYTES_PER_ROBOT

        free, total = torch.cuda.mem_get_info(device)
        # What is free differs between GPUs, and all processes must come to one number.
        robots = count * robots_that_fit(free if count == 1 else total, needed)
    return dataclasses.replace(experiment, num_envs=max(least, robots - robots % least))


def robots_that_fit(free_bytes: int, needed: Callable[[int], int]) -> int:
    """The largest power of two, up to `MOST_ROBOTS_ON_A_GPU`, whose `needed` bytes leave a fifth of the memory free."""
    robots = MOST_ROBOTS_ON_A_GPU
    while robots > 1 and needed(robots) > 0.8 * (free_bytes - CUDA_BYTES):
        robots //= 2
    return robots


def check_division(experiment: Experiment, count: int) -> None:
    """Check that the robots can be shared by the processes and cut into minibatches.

    Raises:
        ValueError: they cannot.
    """
    if experiment.robots % count:
        raise ValueError(
            f"--num-envs {experiment.robots} cannot be shared by {count} processes; use a multiple of {count}"
        )
    try:
        experiment.ppo.minibatch_envs(experiment.robots // count)
    except ConfigurationError as error:
        raise ConfigurationError(error.owner, error.field, f"{error.problem}, or another --num-envs") from None


def join_processes(count: int, device: torch.device) -> Processes:
    """Start the other processes unless torchrun has, and share the cores of the machine among them.

    Raises:
        ValueError: not all of them have come in time.
    """
    # Fewer where OMP_NUM_THREADS says so: threads of several trainings on one machine would wait for each other.
    torch.set_num_threads(max(1, min(torch.get_num_threads(), cpu_cores() // count)))
    if count == 1:
        return Processes(device=device)
    helpers = [] if processes.launched_by_torchrun() else processes.start(count, sys.argv)
    return processes.join(device, helpers)


def cpu_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
