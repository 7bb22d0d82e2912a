"""Ending a training process while it saves: SIGKILL at random moments, SIGTERM once and twice."""

import multiprocessing
import os
import random
import signal
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmarks.fault_harness import PPO, PREFIX, Result, make_trainer, survey
from benchmarks.recall_env import RecallEnv
from ppo.checkpoint.atomic import ABANDONED_SECONDS
from ppo.checkpoint.folder import STEPS_PATTERN, CheckpointFolder, newest_checkpoint
from ppo.checkpoint.sb3_model import CheckpointError

NUM_ENVS = 16
STEPS_PER_UPDATE = NUM_ENVS * PPO.n_steps
KEEP = 2
DISK_SECONDS = 0.02
"""How long a slow disk takes for each member of a checkpoint and for each `fsync`."""
DISK_OPERATIONS = 7
"""Such operations per checkpoint: five members, the file, its folder."""
LONGEST_WAIT_SECONDS = 120.0
NEVER = 10**12
"""More control steps than any of these runs takes."""


def train(folder: Path, total_timesteps: int, save_freq: int, slow_disk: bool, connection: Connection) -> None:
    """The training process: continue in `folder`, and report through `connection` what happens, as it happens."""
    torch.set_num_threads(1)
    if slow_disk:
        for owner, function in ((zipfile.ZipFile, "writestr"), (os, "fsync")):
            _slow_down(owner, function, connection)

    def announce(path: Path) -> None:
        match = STEPS_PATTERN.search(path.name)
        connection.send(("saved", int(match.group(1))) if match else ("ended", trainer.learner.num_timesteps))

    checkpoints = CheckpointFolder(
        folder, PREFIX, keep=KEEP, warn=lambda line: connection.send(("warning", line)), saved=announce
    )
    trainer = make_trainer(RecallEnv(NUM_ENVS), checkpoints, total_timesteps, save_freq=save_freq)
    with suppress(CheckpointError):
        _, model = newest_checkpoint(folder, PREFIX, lambda line: connection.send(("warning", line)))
        trainer.learner.restore(model)
    connection.send(("started", trainer.learner.num_timesteps))
    try:
        number = trainer.train()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    sys.exit(128 + number if number else 0)


def _slow_down(owner: Any, function: str, connection: Connection) -> None:  # noqa: ANN401
    """Make `owner.function` report "disk", take its time, and then do what it did before."""
    original = getattr(owner, function)

    def slow(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        connection.send(("disk", 0))
        time.sleep(DISK_SECONDS)
        return original(*arguments, **options)

    setattr(owner, function, slow)


class Child:
    """A training process and what it has reported."""

    def __init__(
        self, folder: Path, *, total_timesteps: int = NEVER, save_freq: int = 1, slow_disk: bool = False
    ) -> None:
        # Forked from a server that has imported everything, a child starts in milliseconds.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self.connection, end = context.Pipe(duplex=False)
        self.process = context.Process(target=train, args=(folder, total_timesteps, save_freq, slow_disk, end))
        self.process.start()
        end.close()

    def reports(self) -> Iterator[tuple[str, Any]]:
        """What the child reports from now on, until it is gone.

        Raises:
            TimeoutError: it neither reports nor ends.
        """
        # A killed process may leave half a report behind.
        with suppress(EOFError, OSError):
            while self.connection.poll(LONGEST_WAIT_SECONDS):
                yield self.connection.recv()
            self.process.kill()
            raise TimeoutError(f"the training process was silent for {LONGEST_WAIT_SECONDS:.0f} s")

    def wait_for(self, kind: str) -> int:
        """The value of the next report of this kind.

        Raises:
            RuntimeError: the child ended without it.
        """
        for name, value in self.reports():
            if name == kind:
                return int(value)
        raise RuntimeError(f"the training process ended before it reported {kind!r}")

    def drain(self) -> dict[str, set[int]]:
        """The values reported until the child is gone: control steps of periodic models `saved`, and of the last."""
        values: dict[str, set[int]] = {"saved": set(), "ended": set()}
        for name, value in self.reports():
            if name in values:
                values[name].add(int(value))
        return values

    def join(self) -> int:
        """Wait for the end; returns the exit code, negative after a signal."""
        self.process.join()
        assert self.process.exitcode is not None
        return self.process.exitcode


def kill_at_random_moments(folder: Path, kills: int, generator: random.Random) -> Result:
    """Kill one training over and over, continuing it each time; then compare it with one that nobody killed."""
    whole = folder / "never-killed"
    folder = folder / "killed"
    whole.mkdir(parents=True)
    folder.mkdir()
    announced: set[int] = set()
    lost = unreadable = resumed = goal = 0
    found = survey(folder)
    child = Child(folder, slow_disk=True)
    child.wait_for("started")
    for kill in range(kills):
        for _ in range(generator.randint(0, 4 * DISK_OPERATIONS)):
            child.wait_for("disk")
        time.sleep(generator.uniform(0.0, 3 * DISK_SECONDS))
        child.process.kill()
        announced |= child.drain()["saved"]
        child.join()
        found = survey(folder)
        lost += found.lost(announced, KEEP)
        unreadable += found.unreadable
        newest = max(found.steps, default=0)
        goal = newest + 10 * STEPS_PER_UPDATE
        if kill == kills - 1:
            for path in found.temporaries:
                os.utime(path, (time.time() - 2 * ABANDONED_SECONDS,) * 2)
        child = Child(folder, total_timesteps=goal if kill == kills - 1 else NEVER, slow_disk=True)
        resumed += child.wait_for("started") == newest
    assert child.join() == 0
    assert Child(whole, total_timesteps=goal, save_freq=NEVER).join() == 0
    equal = (folder / "model_final.zip").read_bytes() == (whole / "model_final.zip").read_bytes()
    return Result(
        "kill -9 at a random moment",
        kills,
        lost,
        unreadable,
        resumed,
        f"{len(found.temporaries)} kills cut a write short, {len(survey(folder).temporaries)} leftovers stay for good; "
        f"after {goal // STEPS_PER_UPDATE} updates the model {'equals' if equal else 'DIFFERS FROM'} "
        "that of a run never killed, byte for byte",
    )


def terminate_while_saving(folder: Path, repetitions: int, generator: random.Random, *, signals: int) -> Result:
    """Send SIGTERM, once or twice, while a checkpoint is on its way to the disk."""
    folder.mkdir(parents=True)
    announced: set[int] = set()
    lost = unreadable = resumed = 0
    exits: Counter[int] = Counter()
    found = survey(folder)
    child = Child(folder, slow_disk=True)
    child.wait_for("started")
    for _ in range(repetitions):
        for _ in range(generator.randint(1, 4 * DISK_OPERATIONS)):
            child.wait_for("disk")
        for _ in range(signals):
            time.sleep(generator.uniform(0.0, DISK_SECONDS))
            child.process.terminate()
        reported = child.drain()
        announced |= reported["saved"]
        exits[child.join()] += 1
        found = survey(folder)
        # A newer `model_interrupted.zip` replaces the older one, so of these only the newest is promised.
        lost += found.lost(announced, KEEP) + found.lost(reported["ended"], 1)
        unreadable += found.unreadable
        child = Child(folder, slow_disk=True)
        resumed += child.wait_for("started") == max(found.steps, default=0)
    child.process.kill()
    child.join()
    return Result(
        f"SIGTERM{' twice' if signals == 2 else ''} during a save",
        repetitions,
        lost,
        unreadable,
        resumed,
        f"{_show(exits)}; {len(found.temporaries)} hidden leftovers",
    )


def terminate_during_last_save(folder: Path, repetitions: int) -> Result:
    """Send SIGTERM while `model_final.zip` is on its way to the disk."""
    lost = unreadable = resumed = finals = 0
    exits: Counter[int] = Counter()
    for repetition in range(repetitions):
        run = folder / str(repetition)
        run.mkdir(parents=True)
        child = Child(run, total_timesteps=6 * STEPS_PER_UPDATE, save_freq=4 * STEPS_PER_UPDATE, slow_disk=True)
        announced = {child.wait_for("saved")}
        # The periodic checkpoint is complete; the next report comes from the last one.
        child.wait_for("disk")
        child.process.terminate()
        reported = child.drain()
        exits[child.join()] += 1
        found = survey(run)
        lost += found.lost(announced | reported["saved"], KEEP) + found.lost(reported["ended"], 1)
        unreadable += found.unreadable
        finals += (run / "model_final.zip").exists()
        child = Child(run)
        resumed += child.wait_for("started") == max(found.steps)
        child.process.kill()
        child.join()
    return Result(
        "SIGTERM during the last save",
        repetitions,
        lost,
        unreadable,
        resumed,
        f"{_show(exits)}; model_final.zip saved in {finals} of {repetitions}",
    )


def _show(exits: Counter[int]) -> str:
    return "exit code " + ", ".join(f"{code} ({count} times)" for code, count in sorted(exits.items()))
