"""Training while another program wants a core: `python -m benchmarks.busy [--json FILE]`.

The `cpu` preset collects and learns on random numbers, without a simulator, first alone and then beside a program that
never sleeps. Threads that wait for each other by spinning make way for nobody: one that is not scheduled holds up all.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from benchmarks.adapters import make_learner
from benchmarks.measurement import (
    Measurement,
    interleave,
    machine,
    make_console,
    make_parser,
    make_table,
    parse,
    print_facts,
    spread,
    write_json,
)
from benchmarks.synthetic import ReplayEnv, random_experience
from configs.presets import PRESETS
from ppo.runtime import Precision

ROOT = Path(__file__).parents[1]
KEPT = 0.45
"""Share of the undisturbed speed that a training beside a busy program shall keep."""
OURS = "ours"
NEVER_SLEEPS = "while True: pass"
OBSERVATIONS, ACTIONS, END_PROBABILITY = 40, 9, 0.01
QUICK = {"seconds": 0.1, "repeats": 1, "num_envs": 16, "spins": []}


def speed(seconds: float, num_envs: int) -> float:
    """Control steps/s of this process over at least so many seconds, after a warm-up; one epoch per update."""
    preset, device = PRESETS["cpu"], torch.device("cpu")
    ppo = replace(preset.ppo, n_epochs=1)
    env = ReplayEnv(num_envs, OBSERVATIONS, ACTIONS, device)
    learner = make_learner(env, preset.policy, ppo, Precision.resolve("fp32", device))
    begin, iterations = 0.0, -1
    while iterations < 1 or time.perf_counter() < begin + seconds:
        if iterations == 0:
            begin = time.perf_counter()
        experience = random_experience(ppo.n_steps, num_envs, OBSERVATIONS, END_PROBABILITY, iterations + 1, device)
        learner.collector.observation = env.play(experience)
        learner.collector.collect(lambda: False)
        learner.improve()
        iterations += 1
    return iterations * num_envs * ppo.n_steps / (time.perf_counter() - begin)


def measure(command: Sequence[str], waits: Mapping[str, str], turn: int) -> Measurement:
    """Control steps/s of a process of its own, alone and beside a program that never sleeps, and the share kept.

    Args:
        command: prints the speed.
        waits: how its threads wait for each other, as variables of the environment.
        turn: not looked at.
    """
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"} | dict(waits)
    run = partial(subprocess.run, command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    alone = float(run().stdout)
    with subprocess.Popen([sys.executable, "-c", NEVER_SLEEPS]) as other:
        try:
            busy = float(run().stdout)
        finally:
            other.kill()
    return {"alone": alone, "busy": busy, "kept": busy / alone}


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare our threads with those that spin longer; fails where ours keep too little of their speed."""
    parser = make_parser("benchmarks.busy", __doc__, repeats=3)
    parser.add_argument("--num-envs", type=int, default=256, help="environments (default: 256)")
    parser.add_argument("--seconds", type=float, default=2.0, help="s that one measurement lasts (default: 2)")
    spins = "values of GOMP_SPINCOUNT to compare with (default: 0 and 300000, which is GNU's own)"
    parser.add_argument("--spins", type=int, nargs="*", default=[0, 300000], help=spins)
    parser.add_argument("--once", action="store_true", help="print the speed of one undisturbed measurement")
    options = parse(parser, arguments, QUICK)
    if options.num_envs < 1 or not 0.0 < options.seconds < 3600.0:
        parser.error("--num-envs must be at least 1, --seconds more than 0 and less than 3600")
    if options.once:
        print(speed(options.seconds, options.num_envs))
        return 0
    console, facts = make_console(), machine(options.device)
    shown = {"environments": options.num_envs, "seconds": options.seconds, "repeats": options.repeats}
    print_facts(console, "Machine", facts)
    print_facts(console, "Settings", shown)
    flags = {"threads": options.threads, "num-envs": options.num_envs, "seconds": options.seconds}
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "benchmarks.busy", "--once", *words]
    waits: dict[str, dict[str, str]] = {OURS: {}}
    waits |= {f"GOMP_SPINCOUNT={count}": {"GOMP_SPINCOUNT": str(count)} for count in options.spins}
    contenders = {name: partial(measure, command, variables) for name, variables in waits.items()}
    results = interleave(
        contenders, options.repeats, warmups=0, progress=partial(console.print, style="dim", highlight=False)
    )
    rows = [
        [name, str(spread(values["alone"])), str(spread(values["busy"])), f"{spread(values['kept']).median:.0%}"]
        for name, values in results.items()
    ]
    columns = ("threads wait", "alone: median (range)", "beside a busy program", "kept")
    console.print(make_table("Control steps/s", columns, rows))
    write_json(options.json, {"command": options.command, "machine": facts, "settings": shown, "rounds": results})
    kept = spread(results[OURS]["kept"]).median
    if kept < KEPT:
        print(
            f"error: beside a busy program {kept:.0%} of the speed are left, {KEPT:.0%} are asked for", file=sys.stderr
        )
    return int(kept < KEPT)


if __name__ == "__main__":
    raise SystemExit(main())
