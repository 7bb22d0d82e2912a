"""On a GPU `train.py` uses CUDA graphs unless it is told not to, and trains on where they do not work."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.build import Parts, build_trainer, make_recorder
from configs.presets import SMOKE
from ppo.checkpoint.folder import CheckpointFolder
from ppo.cuda.graphed_ppo import GraphedPPO
from ppo.processes import Processes
from ppo.report.console import Console
from ppo.runtime import Precision
from ppo.trainer import Trainer
from tests.biped.simulators.fake_simulator import FakeSimulator

DEVICE = torch.device("cuda", 0)


def trainer_of(folder: Path, output: io.StringIO, *, cuda_graphs: bool = True, cpu: bool = False) -> Trainer:
    experiment, parts = replace(SMOKE, cuda_graphs=cuda_graphs), Parts()
    device = torch.device("cpu") if cpu else DEVICE
    env = parts.environment(FakeSimulator(16, device), experiment.env, 1)
    console = Console(total_timesteps=experiment.total_timesteps, stream=output)
    return build_trainer(
        experiment,
        env,
        parts.new_policy(experiment, env),
        precision=Precision.resolve("auto", device),
        processes=Processes(device=device),
        checkpoints=CheckpointFolder(folder, "model", warn=console.message, saved=lambda path: None),
        console=console,
        recorder=make_recorder(experiment, device, console.message),
    )


def test_graphs_are_used_on_a_gpu_alone_and_can_be_switched_off(tmp_path: Path) -> None:
    output = io.StringIO()
    assert isinstance(trainer_of(tmp_path, output).learner.algorithm, GraphedPPO)
    assert not isinstance(trainer_of(tmp_path, output, cuda_graphs=False).learner.algorithm, GraphedPPO)
    assert not isinstance(trainer_of(tmp_path, output, cpu=True).learner.algorithm, GraphedPPO)


def test_a_training_with_graphs_says_nothing_of_them(tmp_path: Path) -> None:
    output = io.StringIO()
    trainer = trainer_of(tmp_path, output)
    trainer.train()
    assert trainer.learner.num_timesteps == SMOKE.total_timesteps
    assert "graphs" not in output.getvalue()


def test_where_they_do_not_work_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise RuntimeError("CUDA driver version is insufficient\nmore of it")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", refuse)
    output = io.StringIO()
    trainer = trainer_of(tmp_path, output)
    trainer.train()
    assert trainer.learner.num_timesteps == SMOKE.total_timesteps
    assert output.getvalue().count("CUDA graphs") == 1
    words = " ".join(output.getvalue().split())
    assert "CUDA graphs do not work here (CUDA driver version is insufficient); this training goes on" in words
