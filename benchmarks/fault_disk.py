"""Disks that are full, read-only or gone, and files that are damaged after they were saved."""

import errno
import os
import random
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

from benchmarks.fault_harness import PPO, PREFIX, Result, make_trainer, resumes, survey
from benchmarks.recall_env import RecallEnv
from ppo.checkpoint.folder import CheckpointFolder, newest_checkpoint
from ppo.checkpoint.sb3_model import Sb3Model
from ppo.checkpoint.sb3_zip import write_zip

KEEP = 2
NUM_ENVS = 16
UPDATES = 8
TMPFS_BYTES = 1024 * 1024
"""Size of the disk that is filled; a checkpoint has about 90 kB."""
BROKEN_SAVES = frozenset({2, 3, 5})
"""Saves that the fault hits, of 0..7 periodic ones and the last."""
REASON = re.compile(r"could not be saved \((.*)\); |could not be removed: (.*)$")
"""What a warning says has happened."""

Fault = Callable[[Path], AbstractContextManager[object]]
"""Given the run folder, breaks something for as long as the context lasts."""


class BreakingFolder(CheckpointFolder):
    """A run folder in which some saves meet a fault; it keeps account of all of them."""

    def __init__(self, folder: Path, fault: Fault) -> None:
        super().__init__(folder, PREFIX, keep=KEEP, warn=self._note, saved=lambda path: None)
        self.fault = fault
        self.attempts = self.failures = 0
        self.announced: set[int] = set()
        self.warnings: list[str] = []

    def save(self, name: str, model: Sb3Model) -> Path | None:
        """Save, with the fault if it is its turn."""
        if self.attempts in BROKEN_SAVES:
            with self.fault(self.folder):
                path = super().save(name, model)
        else:
            path = super().save(name, model)
        self.attempts += 1
        if path is None:
            self.failures += 1
        else:
            self.announced.add(model.num_timesteps)
        return path

    def _note(self, line: str) -> None:
        self.warnings.append(line)


def disk_fault(name: str, folder: Path, repetitions: int, fault: Fault) -> Result:
    """Train while some saves meet the fault, then look at what is left and continue from it."""
    lost = unreadable = resumed = temporaries = failed = warned = finished = 0
    reasons: set[str] = set()
    goal = UPDATES * NUM_ENVS * PPO.n_steps
    for repetition in range(repetitions):
        run = folder / str(repetition)
        run.mkdir(parents=True)
        checkpoints = BreakingFolder(run, fault)
        trainer = make_trainer(RecallEnv(NUM_ENVS), checkpoints, goal, seed=repetition)
        trainer.train()
        found = survey(run)
        finished += trainer.learner.num_timesteps == goal
        warned += sum(str(run) in line for line in checkpoints.warnings)
        reasons |= {
            reason for line in checkpoints.warnings for match in REASON.findall(line) for reason in match if reason
        }
        failed += checkpoints.failures
        lost += found.lost(checkpoints.announced, KEEP)
        unreadable += found.unreadable
        temporaries += len(found.temporaries)
        resumed += resumes(run, partial(RecallEnv, NUM_ENVS))
        # The small disk has room for the files of one training.
        shutil.rmtree(run)
    return Result(
        name,
        repetitions,
        lost,
        unreadable,
        resumed,
        f"{failed} saves failed, {warned} warnings ({', '.join(sorted(reasons))}); {finished} trainings finished; "
        f"{temporaries} hidden leftovers",
    )


def failing(target: Any, function: str, number: int) -> Fault:  # noqa: ANN401
    """A fault under which `target.function` raises the OSError of this number."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return lambda folder: patch.object(target, function, fail)


@contextmanager
def write_cut_short(folder: Path) -> Iterator[None]:
    """The kernel refuses to let a file grow beyond 10 kB, so the write itself fails halfway."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def folder_gone(folder: Path) -> Iterator[None]:
    """The folder is not there, as when a network disk drops out."""
    elsewhere = folder.with_name(f"{folder.name}-elsewhere")
    folder.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(folder)


def full_disk(generator: random.Random) -> Fault:
    """The disk has room for a random part of one checkpoint."""

    @contextmanager
    def fault(folder: Path) -> Iterator[None]:
        filler = folder.parent / "filler"
        space = os.statvfs(folder)
        room = generator.randrange(0, 80_000)
        filler.write_bytes(bytes(max(0, space.f_bavail * space.f_frsize - room)))
        try:
            yield
        finally:
            filler.unlink()

    return fault


@contextmanager
def small_disk(mount_point: Path) -> Iterator[bool]:
    """Mount a disk of 1 MiB in memory; False where only the superuser of a whole machine may."""
    mount_point.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(mount_point)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(mount_point)], check=True)


def disk_faults(folder: Path, repetitions: int, generator: random.Random) -> Iterator[Result]:
    """All faults of disks, the real ones first."""
    with small_disk(folder / "disk") as mounted:
        if mounted:
            yield disk_fault("disk full, a real one of 1 MiB", folder / "disk", repetitions, full_disk(generator))
    faults: list[tuple[str, Fault]] = [
        ("write cut short by a file size limit", write_cut_short),
        ("disk full at fsync", failing(os, "fsync", errno.ENOSPC)),
        ("disk full at the rename", failing(os, "replace", errno.ENOSPC)),
        ("input/output error at fsync", failing(os, "fsync", errno.EIO)),
        ("read-only disk (EROFS)", failing(Path, "open", errno.EROFS)),
        ("folder without permission (EACCES)", failing(Path, "open", errno.EACCES)),
        ("rename without permission (EACCES)", failing(os, "replace", errno.EACCES)),
        ("old files cannot be removed (EACCES)", failing(Path, "unlink", errno.EACCES)),
        ("folder disappears for a while", folder_gone),
    ]
    for number, (name, fault) in enumerate(faults):
        yield disk_fault(name, folder / f"fault-{number}", repetitions, fault)


def damage_newest(folder: Path, repetitions: int, generator: random.Random) -> Result:
    """Damage the newest files of a finished training, and continue with fewer robots than before, keeping one file.

    The new checkpoints then lie between the damaged ones and their predecessor, and must not be taken for old ones.
    """
    damages: list[Callable[[bytes], bytes]] = [
        lambda content: b"",
        lambda content: content[: generator.randrange(len(content))],
        lambda content: _replace(content, generator, bytes(4096)),
        lambda content: _replace(content, generator, generator.randbytes(1)),
    ]
    resumed = lost = unreadable = passed_over = altered = 0
    steps = NUM_ENVS * PPO.n_steps
    for repetition in range(repetitions):
        run = folder / str(repetition)
        run.mkdir(parents=True)
        checkpoints = CheckpointFolder(run, PREFIX, keep=2, warn=lambda line: None, saved=lambda path: None)
        make_trainer(RecallEnv(NUM_ENVS), checkpoints, 3 * steps, seed=repetition).train()
        newest = run / f"{PREFIX}_{3 * steps}_steps.zip"
        originals = {path: path.read_bytes() for path in run.iterdir()}
        for path in (newest, run / "model_final.zip"):
            path.write_bytes(damages[repetition % len(damages)](originals[path]))
        warnings: list[str] = []
        path, model = newest_checkpoint(run, PREFIX, warnings.append)
        passed_over += len(warnings)
        write_zip(folder / "again.zip", model)
        altered += (folder / "again.zip").read_bytes() != originals[path]

        saved: list[Path] = []
        checkpoints = CheckpointFolder(run, PREFIX, keep=1, warn=warnings.append, saved=saved.append)
        env = RecallEnv(NUM_ENVS // 2)
        trainer = make_trainer(env, checkpoints, model.num_timesteps + steps // 2)
        trainer.learner.restore(model)
        trainer.train()
        resumed += trainer.learner.num_timesteps == model.num_timesteps + steps // 2
        lost += sum(not path.exists() for path in saved)
        unreadable += survey(run).unreadable - (newest.exists() and newest not in saved)
    return Result(
        "newest two files damaged on the disk",
        repetitions,
        lost,
        unreadable,
        resumed,
        f"{passed_over} files passed over with a warning, {altered} taken for whole though they were not",
    )


def _replace(content: bytes, generator: random.Random, part: bytes) -> bytes:
    """The content with `part` written over it at a random place."""
    position = generator.randrange(len(content) - len(part))
    return content[:position] + part + content[position + len(part) :]
