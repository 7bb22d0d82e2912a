"""The loop that steps the robot in real time and does what somebody asks for. It knows no browser and no terminal."""

import math
import queue
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch

from app.real_time import RealTime
from app.steering.frames import Frame, Pose, read_frame
from app.steering.requests import (
    Advance,
    Deflect,
    Friction,
    Nudge,
    Pause,
    Play,
    Push,
    Request,
    Reset,
    Speed,
    Steer,
    Stop,
)
from app.steering.walker import Walker, with_checkpoint
from biped.simulators.state import rotate
from biped.task.commands import CommandConfig

Command = tuple[float, float, float]
"""Forward and leftward velocity in m/s, yaw rate in rad/s."""
LEAST_LIMITS = (0.5, 0.3, 0.5)
"""m/s, m/s and rad/s, either way, that can be asked for whatever the robot was trained to do."""
IDLE_S = 0.1
"""s between two looks for a browser, while there is none."""
MEASURED_S = 1.0
"""s over which the pace is measured."""


class Status(NamedTuple):
    """How things stand, beside the robot."""

    command: Command
    keyed: int
    """How often the command was changed by something else than `Steer`."""
    paused: bool
    speed: float
    """Seconds of the robot per second on the wall that are asked for."""
    pace: float
    """Those of the last second, as a fraction of `speed`; below 1 where the machine is too slow."""
    falls: int
    """Since the policy was chosen."""
    friction: float
    """Coefficient between robot and ground."""


class Audience(Protocol):
    """Whom the loop plays for. It calls from its own thread, one method at a time."""

    def watching(self) -> bool:
        """Whether anybody is there; time stands still otherwise."""
        ...

    def meet(self, walker: Walker) -> None:
        """Another policy, and perhaps another task, is there."""
        ...

    def note(self, frame: Frame) -> None:
        """A control step was made."""
        ...

    def show(self, pose: Pose, status: Status) -> None:
        """Show this now; in slow motion several poses to a control step."""
        ...

    def say(self, message: str) -> None:
        """Tell one line."""
        ...


def command_limits(config: CommandConfig) -> tuple[tuple[float, float], ...]:
    """The least and the largest command that can be asked for: as in training, or a little where that was nothing."""
    trained = config.linear_velocity_x, config.linear_velocity_y, config.yaw_rate
    return tuple((min(low, -least), max(high, least)) for (low, high), least in zip(trained, LEAST_LIMITS, strict=True))


class Loop:
    """One robot in real time.

    Args:
        walker: the first robot; the loop closes what it was given and what it makes.
        command: what it is asked to do at first; half of its fastest walk if None.
    """

    def __init__(self, walker: Walker, command: Command | None) -> None:
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._speed, self._paused, self._advance = 1.0, False, False
        self._pace = Pace()
        self._keyed = self._falls = 0
        drawn = walker.env.randomization.lasting.get("friction")
        self._friction = 1.0 if drawn is None else round(float(drawn[0]), 2)
        self._noise = torch.Generator().manual_seed(walker.session.options.seed)
        fastest = max(0.0, walker.env.config.commands.linear_velocity_x[1])
        self._command = command or (round(0.5 * fastest, 2), 0.0, 0.0)
        self._walker = walker
        self._lay_ground()
        self._observation = walker.env.reset()
        self._starts = torch.ones(1, dtype=torch.bool, device=walker.env.device)
        self._before: Pose | None = None
        self._after: Pose | None = None
        self._fraction = 1.0
        """How far the picture is on the way from the step before to the last one."""
        self._begin_episode()

    def submit(self, request: Request) -> None:
        """Have the loop do something before its next step; from any thread."""
        self._requests.put(request)

    def run(self, audience: Audience, until: Callable[[], bool] = lambda: False) -> None:
        """Play until `until` says so, in real time while somebody watches."""
        audience.meet(self._walker)
        clock, control_dt = None, 0.0
        while not until():
            if not audience.watching():
                clock = None
                time.sleep(IDLE_S)
                continue
            if clock is None or control_dt != self._walker.env.control_dt:
                control_dt = self._walker.env.control_dt
                clock = RealTime(control_dt)
                self._pace = Pace()
            self.turn(audience)
            clock.wait()
            self._pace.turned(control_dt)

    def turn(self, audience: Audience) -> None:
        """Do what was asked for, let `control_dt` times the speed pass for the robot, and show it."""
        while not self._requests.empty():
            self._do(self._requests.get(), audience)
        if self._advance or not self._paused:
            self._fraction += 1.0 if self._advance else self._speed
            # Speeds add up to 1 not quite exactly.
            if self._advance or self._fraction > 1.0 + 1e-6:
                audience.note(self._step())
                self._fraction = 1.0 if self._advance else self._fraction - 1.0
            self._advance = False
        if self._after is not None:
            pose = self._after if self._before is None else self._before.between(self._after, self._fraction)
            audience.show(pose, self.status)

    @property
    def walker(self) -> Walker:
        """Whoever walks now."""
        return self._walker

    @property
    def status(self) -> Status:
        """How things stand."""
        return Status(
            self._command, self._keyed, self._paused, self._speed, self._pace.value, self._falls, self._friction
        )

    def close(self) -> None:
        """Close the simulator."""
        self._walker.env.close()

    def _step(self) -> Frame:
        """Make one control step."""
        env = self._walker.env
        action = self._walker.controller(self._observation, self._starts)
        step = env.step(action.clamp(env.action_low, env.action_high))
        fell = bool(step.terminated)
        began = bool(self._starts)
        frame = read_frame(env, self._command, env.actuators.output, step.metrics, fell)
        self._observation, self._starts = step.observation, step.terminated | step.truncated
        self._falls += fell
        # Nothing lies between the end of one episode and the beginning of the next.
        self._before = None if began else self._after
        self._after = frame.pose
        return frame

    def _do(self, request: Request, audience: Audience) -> None:
        match request:
            case Steer(command):
                self._follow(command)
            case Nudge(change):
                limits = command_limits(self._walker.env.config.commands)
                vx, vy, yaw_rate = (
                    round(min(max(value + by, low), high), 3)
                    for value, by, (low, high) in zip(self._command, change, limits, strict=True)
                )
                self._key((vx, vy, yaw_rate))
            case Deflect(deflection):
                limits = command_limits(self._walker.env.config.commands)
                vx, vy, yaw_rate = (
                    round(part * (high if part > 0.0 else -low), 2)
                    for part, (low, high) in zip(deflection, limits, strict=True)
                )
                self._key((vx, vy, yaw_rate))
            case Stop():
                self._key((0.0, 0.0, 0.0))
            case Pause(paused):
                self._paused = not self._paused if paused is None else paused
            case Advance():
                self._advance = self._paused
            case Speed(factor):
                self._speed = factor
            case Reset():
                self._begin_episode()
            case Push(speed):
                self._push(speed)
            case Friction(coefficient):
                self._friction = coefficient
                self._lay_ground()
            case Play(path):
                try:
                    self._change(with_checkpoint(self._walker, path))
                except ValueError as error:
                    audience.say(str(error))
                else:
                    audience.meet(self._walker)

    def _follow(self, command: Command) -> None:
        self._command = command
        self._walker.env.set_command(torch.tensor(command, device=self._walker.env.device))

    def _key(self, command: Command) -> None:
        self._keyed += 1
        self._follow(command)

    def _begin_episode(self) -> None:
        """Put the robot back to where episodes begin; one step shows it."""
        env = self._walker.env
        self._follow(self._command)
        self._observation = env.reset()
        self._starts = torch.ones(1, dtype=torch.bool, device=env.device)
        self._before = self._after = None
        self._fraction, self._advance = 1.0, True

    def _push(self, speed: float) -> None:
        env = self._walker.env
        state = env.state
        velocity = torch.stack((state.base_linear_velocity, state.base_angular_velocity), dim=1)
        if self._starts:
            # The state is that at the end of the last episode.
            velocity = torch.zeros_like(velocity)
        linear, angular = rotate(state.base_quaternion.unsqueeze(1), velocity).unbind(1)
        direction = 2.0 * math.pi * float(torch.rand((), generator=self._noise))
        push = speed * torch.tensor([[math.cos(direction), math.sin(direction), 0.0]])
        self._walker.simulator.set_velocity(linear + push.to(linear), angular)

    def _lay_ground(self) -> None:
        friction = torch.full((1,), self._friction, device=self._walker.env.device)
        self._walker.simulator.set_properties({"friction": friction})

    def _change(self, walker: Walker) -> None:
        """Go on with another policy, and with another robot where its task is another one."""
        before, self._walker = self._walker, walker
        self._falls = 0
        if walker.env is before.env:
            return
        before.env.close()
        self._lay_ground()
        self._begin_episode()


class Pace:
    """How much of its time a loop keeps, measured over `MEASURED_S`."""

    def __init__(self) -> None:
        self.value = 1.0
        """1 where each turn takes as long as it should."""
        self._began = time.perf_counter()
        self._due = 0.0

    def turned(self, seconds: float) -> None:
        """One more turn is over, which should take `seconds`."""
        self._due += seconds
        taken = time.perf_counter() - self._began
        if taken >= MEASURED_S:
            self.value = min(1.0, self._due / taken)
            self._began += taken
            self._due = 0.0
