"""Two machines that train together, both of them this one."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ppo.checkpoint.sb3_zip import read_zip
from tests.end_to_end.command import ROOT, USER_ENVIRONMENT

NODES = 2
FLAGS = ("--preset", "smoke", "--simulator", "mujoco", "--device", "cpu", "--exp-name", "walk")


@contextlib.contextmanager
def torchrun(*flags: str, folder: Path) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Start `train.py` on every node; what a node says goes to `<number>.txt`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    nodes = []
    for rank in range(NODES):
        group = ("--nnodes", str(NODES), "--node-rank", str(rank), "--nproc-per-node", "1")
        words = (*group, "--master-addr", "127.0.0.1", "--master-port", port, str(ROOT / "train.py"), *FLAGS, *flags)
        with open(folder / f"{rank}.txt", "wb") as file:
            nodes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "torch.distributed.run", *words],
                    cwd=folder,
                    env={**USER_ENVIRONMENT, "OMP_NUM_THREADS": "1"},
                    stdout=file,
                    stderr=file,
                )
            )
    try:
        yield nodes
    finally:
        for node in nodes:
            node.kill()
            node.wait()


def wait_for(nodes: Sequence["subprocess.Popen[bytes]"], seconds: float) -> list[int]:
    """Exit codes of the nodes, which end within so many seconds."""
    end = time.monotonic() + seconds
    return [node.wait(timeout=max(0.1, end - time.monotonic())) for node in nodes]


def trainer_of(node: "subprocess.Popen[bytes]") -> int:
    """Number of the process that trains on a node."""
    (child,) = Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split()
    return int(child)


def test_nodes_train_one_policy(tmp_path: Path) -> None:
    with torchrun(folder=tmp_path) as nodes:
        assert wait_for(nodes, 300.0) == [0, 0]
    model = read_zip(tmp_path / "logs" / "walk" / "model_final.zip")
    assert model.own_facts is not None
    assert (model.own_facts["processes"], model.own_facts["num_envs"]) == (NODES, 16 // NODES)
    # Only the first node talks and writes.
    assert "model_final.zip" in (tmp_path / "0.txt").read_text()
    assert "model_final.zip" not in (tmp_path / "1.txt").read_text()


def test_a_node_that_is_killed_ends_the_others_with_a_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "logs" / "walk"
    with torchrun("--total-timesteps", "100000000", folder=tmp_path) as nodes:
        end = time.monotonic() + 300.0
        while not list(folder.glob("biped_model_*.zip")):
            assert time.monotonic() < end, (tmp_path / "0.txt").read_text()
            time.sleep(0.2)
        os.kill(trainer_of(nodes[1]), signal.SIGKILL)
        # Not the ten minutes after which the libraries give up waiting.
        assert all(wait_for(nodes, 180.0))
    said = (tmp_path / "0.txt").read_text()
    assert len(re.findall(r"^error: .*training process.* has ended.*start all of them again$", said, re.MULTILINE)) == 1
    assert "Traceback" not in said.split("torch/distributed")[0]
    assert read_zip(folder / "model_interrupted.zip").num_timesteps > 0
