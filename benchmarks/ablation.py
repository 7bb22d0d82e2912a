"""What each part of the walking recipe contributes: `python -m benchmarks.ablation [--seeds N]`.

Trains the `cpu` preset as it is, with single parts taken out, and with ideas put in (`benchmarks.ideas`), with
`train.py --seeds`, and writes a page of `play.py --compare` for each of them beside the preset. Trainings run side by
side, one process each, so control steps are to be compared, not seconds.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.ideas import IDEAS

ROOT = Path(__file__).parents[1]
REWARD = "--env.rewards."
VARIANTS: Mapping[str, tuple[str, ...]] = {
    "everything": (),
    "without foot alternation": (f"{REWARD}foot-alternation", "0"),
    "without sinusoidal motion": (f"{REWARD}sinusoidal-motion", "0"),
    "without torso stability": (f"{REWARD}torso-stability", "0"),
    "without balance (tilt, roll and pitch rate)": (f"{REWARD}tilt", "0", f"{REWARD}roll-pitch-rate", "0"),
    "without height termination": ("--env.terminations.minimum-height", "0"),
    "without the clock's rewards": (f"{REWARD}clock-contact", "0", f"{REWARD}swing-height", "0"),
    "without the mirror": ("--env.no-mirror-left-stance",),
    "without a clock, air time instead": (
        "--env.no-mirror-left-stance",
        "--env.observations.no-clock",
        *(f"{REWARD}clock-contact", "0", f"{REWARD}swing-height", "0", f"{REWARD}foot-air-time", "2"),
    ),
    "discount 0.97": ("--ppo.gamma", "0.97"),
    "discount 0.99, lambda 0.95": ("--ppo.gamma", "0.99", "--ppo.gae-lambda", "0.95"),
    "normalised observations": ("--ppo.normalize-observation",),
    "commands that grow": (),
    "velocity averaged over a stride": (),
}
WHOLE = "everything"
"""The variant that the others are compared with."""


def main() -> int:
    """Train all variants and write the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timesteps", type=int, default=600_000, help="control steps of each training")
    parser.add_argument("--evaluations", type=int, default=3, help="examinations in each training")
    others = [variant for variant in VARIANTS if variant != WHOLE]
    parser.add_argument("--variants", nargs="+", default=others, choices=others, metavar="NAME")
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each variant")
    parser.add_argument("--log-dir", type=Path, default=Path("logs/ablation"), help="folder for runs and pages")
    options = parser.parse_args()
    options.log_dir = options.log_dir.resolve()
    for variant in (WHOLE, *options.variants):
        run(training(variant, options))
    for variant in options.variants:
        pair = [str(options.log_dir / name) for name in (WHOLE, variant)]
        run(["play.py", "--compare", *pair, "--report", str(options.log_dir / f"{variant}.html")])
    return 0


def training(variant: str, options: argparse.Namespace) -> list[str]:
    """The command line, without Python, that trains a variant with every seed."""
    budget = ["--total-timesteps", str(options.timesteps), "--eval-freq", str(options.timesteps // options.evaluations)]
    place = ["--log-dir", str(options.log_dir), "--exp-name", variant]
    program = ["-m", "benchmarks.ideas", variant] if variant in IDEAS else ["train.py"]
    flags = ["--preset", options.preset, "--processes", "1", "--seeds", str(options.seeds), *budget, *place]
    return [*program, *flags, *VARIANTS[variant]]


def run(words: list[str]) -> None:
    """Run Python with these words in the project's folder; one that fails ends the program with its exit code."""
    code = subprocess.run([sys.executable, *words], cwd=ROOT).returncode
    if code:
        sys.exit(code)


if __name__ == "__main__":
    sys.exit(main())
