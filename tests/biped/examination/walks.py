"""Walks that are made up: contacts, heights and velocities, and what the gait meter says of them."""

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from biped.examination.criteria import WalkingCriteria
from biped.examination.gait_meter import GaitMeter, GaitSummary
from biped.examination.trials import Command, Schedule, Trial
from biped.robots.library import BIPED
from biped.task.gait import GaitConfig
from tests.biped.simulators.fake_simulator import upright_state

DT = 0.02


PERIOD = 30
"""Control steps of one stride, 0.6 s."""


WARMUP = PERIOD


COUNTED = 5 * PERIOD


STEPS = WARMUP + COUNTED


CRITERIA = WalkingCriteria()


def watch(
    contact: Tensor,
    *,
    command: Command = (0.5, 0.0, 0.0),
    then: tuple[Command, ...] = (),
    course: bool = False,
    action: Tensor | None = None,
    ended: Tensor | None = None,
    mass: float = 2.0,
    fields: Mapping[str, Tensor] | None = None,
) -> GaitSummary:
    """Summary of `N` robots from their contacts `[T, N, 2]` and fields of their states `[T, N, ...]`.

    Fields that are not given are those of a robot that stands still.
    """
    steps, num_envs, _ = contact.shape
    schedule = Schedule([Trial((command, *then), course)], num_envs, steps, torch.device("cpu"))
    robot = dataclasses.replace(BIPED, mass=mass)
    meter = GaitMeter(robot, schedule, DT, GaitConfig(), warmup_s=WARMUP * DT)
    action = torch.zeros(steps, num_envs, 9) if action is None else action
    ended = torch.zeros(steps, num_envs, dtype=torch.bool) if ended is None else ended
    for t in range(steps):
        schedule.advance(t)
        state = upright_state(num_envs)._replace(**{name: value[t] for name, value in (fields or {}).items()})
        meter.step(state, contact[t], action[t], ended[t])
    return meter.summaries()[0]


def strides(right_stance: int, left_stance: int, *, steps: int = STEPS) -> Tensor:
    """Contacts `[T, 1, 2]`: right down from phase 0 on, left from half a period on, for so many control steps."""
    phase = torch.arange(steps) % PERIOD
    right, left = phase < right_stance, (phase - PERIOD // 2) % PERIOD < left_stance
    return torch.stack((right, left), dim=-1).unsqueeze(1)


def lifting(contact: Tensor, height: float) -> dict[str, Tensor]:
    """Places of soles that are `height` m up wherever the foot is in the air."""
    place = torch.zeros(*contact.shape, 3)
    place[..., 2] = torch.where(contact, 0.0, height)
    return {"foot_position": place}


def moving(vx: float, vy: float = 0.0, *, num_envs: int = 1, steps: int = STEPS) -> dict[str, Tensor]:
    """Velocity and places of robots that face along x and move evenly."""
    velocity = torch.tensor([vx, vy, 0.0]).expand(steps, num_envs, 3)
    place = torch.cumsum(velocity * DT, dim=0) + torch.tensor([0.0, 0.0, BIPED.nominal_base_height])
    return {"base_linear_velocity": velocity, "base_position": place}


def turned(yaw: Tensor) -> dict[str, Tensor]:
    """Attitude fields of robots with yaw `[T, N]` in rad."""
    zero = torch.zeros_like(yaw)
    return {
        "roll_pitch_yaw": torch.stack((zero, zero, yaw), dim=-1),
        "base_quaternion": torch.stack(((yaw / 2).cos(), zero, zero, (yaw / 2).sin()), dim=-1),
    }


def everyone(contact: bool, *, num_envs: int = 1, steps: int = STEPS) -> Tensor:
    return torch.full((steps, num_envs, 2), contact)
