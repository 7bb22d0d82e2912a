"""Steering until Ctrl-C or Ctrl-D, with one line that says what is asked for and what the robot does."""

import contextlib
import sys
from collections import deque
from collections.abc import Callable

import numpy as np

from app.command_line import fail
from app.keyboard.terminal import DOWN, END, LEFT, RIGHT, UP, Terminal
from app.progress import StatusLine
from app.session import Session
from app.steering.frames import Frame, Pose
from app.steering.keys import KEYS
from app.steering.loop import Loop, Status
from app.steering.requests import Request
from app.steering.walker import Walker, make_walker
from ppo.program.interruption import deferred, requested

HELP = """W S faster forward, backward   A D leftward, rightward   Q E turn left, right
X or space stop   F push   R start anew   P pause   Ctrl-C end   arrows as W S Q E
below: forward and leftward velocity in m/s, yaw rate in rad/s, feet on the ground"""
OTHER_KEYS = {" ": "X", UP: "W", DOWN: "S", LEFT: "Q", RIGHT: "E"}
"""The keys of a terminal that mean the same as a letter."""
MEAN_S = 0.5
"""s that the velocities are a mean over: a single step says little."""


class Onlooker:
    """Whoever sits at the terminal: sees one line.

    Args:
        line: that is shown.
        control_dt: s of a control step.
    """

    def __init__(self, line: StatusLine, control_dt: float) -> None:
        self._line = line
        self._frames: deque[Frame] = deque(maxlen=max(1, round(MEAN_S / control_dt)))

    def watching(self) -> bool:
        """Always."""
        return True

    def meet(self, walker: Walker) -> None:
        """There is one policy only."""

    def note(self, frame: Frame) -> None:
        """Remember a control step."""
        self._frames.append(frame)

    def show(self, pose: Pose, status: Status) -> None:
        """Let the line say how things stand."""
        velocity = np.mean([frame.velocity for frame in self._frames], axis=0)
        self._line.show(describe(status, velocity.tolist(), self._frames[-1].contact))

    def say(self, message: str) -> None:
        """Print a line that stays."""
        print(message, flush=True)


def describe(status: Status, velocity: list[float], contact: tuple[bool, bool]) -> str:
    """How things stand, in one line.

    Args:
        status: of the loop.
        velocity: forward and leftward in m/s, yaw rate in rad/s.
        contact: whether the right and the left foot are on the ground.
    """
    # Adding zero makes no number of -0.
    asked, found = (" ".join(f"{round(one, 2) + 0.0:+.2f}" for one in three) for three in (status.command, velocity))
    right, left = contact
    feet = f"{'L' if left else '-'}{'R' if right else '-'}"
    falls = f"  falls {status.falls}" if status.falls else ""
    return f"asked {asked}  is {found}  feet {feet}{falls}{'  paused' if status.paused else ''}"


def steer(session: Session) -> None:
    """Steer the robot of a session until Ctrl-D; what is wrong ends the program with one line.

    Raises:
        KeyboardInterrupt: a signal came; the terminal is as it was.
    """
    try:
        loop = Loop(make_walker(session), session.options.command)
    except ValueError as error:
        fail(str(error))
    requests: dict[str, Request] = {key.letter: key.request for key in KEYS}
    requests |= {other: requests[letter] for other, letter in OTHER_KEYS.items()}
    with contextlib.ExitStack() as stack:
        stack.callback(loop.close)
        line = StatusLine()
        stack.callback(line.close)
        onlooker = Onlooker(line, loop.walker.env.control_dt)
        # Before the terminal is touched, as an engine may compile in it for long.
        loop.turn(onlooker)
        line.close()
        print(HELP, flush=True)
        # A step is over in moments: a second signal need not end what the first one does.
        stack.enter_context(deferred(lambda number, frame: None))
        terminal = stack.enter_context(Terminal(sys.stdin.fileno()))
        loop.run(onlooker, until(terminal, loop.submit, requests))
    if requested() is not None:
        raise KeyboardInterrupt


def until(terminal: Terminal, submit: Callable[[Request], None], requests: dict[str, Request]) -> Callable[[], bool]:
    """What asks for what the keys mean, and says whether one of them or a signal ends it."""

    def over() -> bool:
        for key in terminal.pressed():
            if key == END:
                return True
            request = requests.get(key.upper(), requests.get(key))
            if request is not None:
                submit(request)
        return requested() is not None

    return over
