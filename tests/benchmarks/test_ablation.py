"""Every variant changes the experiment, and is trained as one."""

import argparse
from pathlib import Path

import pytest

from app.command_line import parse
from app.experiment import Experiment
from benchmarks.ablation import VARIANTS, training
from benchmarks.ideas import IDEAS
from configs.presets import CPU


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_but_the_first_and_the_ideas_changes_the_experiment(variant: str) -> None:
    made = parse(Experiment, CPU, VARIANTS[variant], program="train.py", description="")
    assert (made == CPU) == (variant == "everything" or variant in IDEAS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_trained_under_its_name_with_every_seed(variant: str) -> None:
    options = argparse.Namespace(timesteps=600, evaluations=3, preset="cpu", seeds=2, log_dir=Path("logs"))
    words = training(variant, options)
    before = 3 if variant in IDEAS else 1
    assert words[:before] == (["-m", "benchmarks.ideas", variant] if variant in IDEAS else ["train.py"])
    made = parse(Experiment, CPU, words[before:], program="train.py", description="")
    assert (made.exp_name, made.seeds, made.total_timesteps, made.eval_freq) == (variant, 2, 600, 200)
    changed = parse(Experiment, CPU, VARIANTS[variant], program="train.py", description="")
    assert (made.env, made.ppo) == (changed.env, changed.ppo)
