"""`biped-robot check`: what is suspicious about a robot."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from app.build import Engine
from app.compiling import compiling
from app.robot.standing import SECONDS, TRAINING, Standing, draw, stand
from biped.robots.checks.findings import Finding, wrong
from biped.robots.checks.mirror import check_mirror
from biped.robots.checks.model import check_model
from biped.robots.checks.pose import check_pose
from biped.robots.robot import Robot
from biped.robots.robot_file import load_robot
from biped.simulators.config import fine
from biped.simulators.mujoco import import_mujoco
from biped.simulators.mujoco_body import read_body


class Picture(NamedTuple):
    """What is to be drawn."""

    file: Path
    engine: Engine
    """That draws it."""


def check_robot_file(name: str, engines: Mapping[str, Engine], picture: Picture | None) -> int:
    """Print what is wrong or suspicious about a robot, let it stand in each engine, and draw it.

    Args:
        name: of a robot that comes with the project, or path of a robot file.
        engines: in which it stands. One that compiles is spared where something is wrong already.
        picture: None to draw nothing.

    Returns:
        Exit code: 0, or 1 where something is wrong or the robot falls.

    Raises:
        ValueError: a file cannot be read, or the only engine that is asked for is missing.
        OSError: the picture cannot be written.
    """
    robot = load_robot(name)
    mujoco, blind = _mujoco(picture is not None)
    body = read_body(mujoco, robot.asset)
    print(f"{robot.name}: {robot.num_joints} joints, {robot.mass:.4g} kg, {robot.asset}", flush=True)
    findings = [*check_model(body, robot), *check_mirror(body, robot), *check_pose(body, robot)]
    for finding in findings:
        print(finding, flush=True)
    stood: dict[str, Standing] = {}
    for engine_name, engine in sorted(engines.items(), key=lambda item: item[1].compiles):
        if engine.compiles and any(finding.kind == "wrong" for finding in findings):
            print(f"{engine_name}: not tried, as what is wrong above comes first", flush=True)
            continue
        failure = _try_standing(engine_name, engine, robot, stood, alone=len(engines) == 1)
        if failure is not None:
            print(failure, flush=True)
            findings.append(failure)
    if picture is not None and stood:
        _draw(picture, robot, next(iter(stood.values())), blind)
    if not findings:
        print("nothing suspicious")
    return int(any(finding.kind == "wrong" for finding in findings))


def _try_standing(
    name: str, engine: Engine, robot: Robot, stood: dict[str, Standing], *, alone: bool
) -> Finding | None:
    """Let the robot stand in an engine; what came out is added to `stood`, what is wrong is returned."""
    try:
        engine.load(camera=False, verbose=False, warn=lambda line: print(line, flush=True))
    except ValueError as error:
        if alone:
            raise
        print(f"{name}: not tried: {error}", flush=True)
        return None
    finer = fine(TRAINING)
    try:
        with compiling(f"{name}, {robot.name}, cpu", print, when=engine.compiles):
            standing = stand(engine, robot)
    except Exception as error:  # Each engine has exceptions of its own for a model that it cannot build.
        text = next(iter(str(error).split("\n")), "") or type(error).__name__
        return wrong(
            f"simulator {name}", f"it cannot build the robot: {text}", f"see what {robot.asset.name} names there"
        )
    stood[name] = standing
    if standing.fell_after is not None:
        fall = f"it falls within {standing.fell_after:.2f} s"
        # Compiling once more would take minutes.
        if not engine.compiles and stand(engine, robot, finer).fell_after is None:
            steps = f"{TRAINING.substeps} physics steps per control step, and stands with {finer.substeps}"
            remedy = f"raise the damping of the stiffest joints, or train with --simulation.substeps {finer.substeps}"
            return wrong(f"standing in {name}", f"{fall} with {steps}", remedy)
        remedy = "correct what is named above, stiffen the ankles, or bend the knees less"
        return wrong(f"standing in {name}", fall, remedy)
    print(
        f"{name}: stands for {SECONDS:g} s; the base at {standing.height:.3f} m, in the file "
        f"{robot.nominal_base_height:.3f} m; tilted by {math.degrees(standing.tilt):.1f} degrees at most",
        flush=True,
    )
    return None


def _mujoco(picture: bool) -> tuple[ModuleType, str | None]:
    """MuJoCo, ready to render if a picture is wanted, and what keeps it from that."""
    chosen = "MUJOCO_GL" in os.environ
    try:
        return import_mujoco(camera=picture), None
    except ValueError as error:
        if chosen or not picture:
            raise
        os.environ.pop("MUJOCO_GL", None)
        return import_mujoco(), str(error)


def _draw(picture: Picture, robot: Robot, standing: Standing, blind: str | None) -> None:
    try:
        if blind is not None:
            raise ValueError(blind)
        draw(picture.engine, robot, standing.end, picture.file)
    except ValueError as error:
        print(f"no picture: {' '.join(str(error).split())}", flush=True)
    else:
        print(f"{picture.file} shows it after {SECONDS:g} s", flush=True)
