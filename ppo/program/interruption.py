"""SIGINT, SIGTERM and SIGHUP: when they end a program at once, and when it first finishes what it does.

Python runs its handlers between two bytecodes of the main thread, and what one raises inside a library may be lost
there. Compiling the kernels of a simulator is minutes of few bytecodes in such a library. Where there is nothing to
finish, a program therefore ends without either: a thread waits for what Python's own part in C writes down at once
(`signal.set_wakeup_fd`), and for those seconds in which a library lets no thread run, `end_at` of `ppo/cpu/kernels.c`
takes its place.

A signal that was ignored when the program started, as `nohup` and a shell's `&` do it, stays ignored.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What asks a program to end: Ctrl-C, the system, and a terminal that is closed. Windows lacks the last one."""
STARTED_BY = "PPO_STARTED_BY"
"""Variable of the environment: the number of the process that started a helper, and of the signal for its end."""
PARENT_CHECK_SECONDS = 0.5
"""s between two looks of a helper at whether the process that started it is there."""
LEAVE_DISPLAY = "\x1b[?25h\r\x1b[K"
"""Terminal sequence that gives back the cursor that a live display hides, and takes the place of its last line."""


class _State:
    """Signals belong to the whole process, so there is one of these."""

    message = b""
    """Last words."""
    output = -1
    """File descriptor that they go to: libraries redirect number 2 for a while."""
    helpers: Sequence["subprocess.Popen[bytes]"] = ()
    library: ctypes.CDLL | None = None
    requested: int | None = None


_state = _State()
_ending = threading.Lock()


def end_at_signals() -> None:
    """Let the signals end this process at once with exit code 128 + number and one line, here and outside `deferred`.

    Call it in the main thread before anything else is imported. A helper that `helper_environment` was given to says
    nothing, and ends as well when the process that started it is gone.
    """
    started_by = os.environ.pop(STARTED_BY, None)
    if started_by is not None:
        parent, farewell = map(int, started_by.split())
        threading.Thread(target=_end_with, args=(parent, farewell), daemon=True).start()
    elif os.environ.get("RANK", "0") == "0" and sys.stderr is not None:
        with contextlib.suppress(OSError):
            _state.output = os.dup(2)
            _state.message = (LEAVE_DISPLAY if os.isatty(2) else "").encode() + b"interrupted\n"
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in _heeded():
        signal.signal(number, _end)
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()


def use_compiled(library: ctypes.CDLL | None) -> None:
    """Let `end_at` of the compiled kernels, if any, do what `end_at_signals` promises, if that has been called."""
    _state.library = library
    _arm()


def helper_environment(farewell: int = 0) -> dict[str, str]:
    """Variables that tell a helper process who started it.

    Args:
        farewell: signal that the helper gets when that process is gone, to finish what it does; without one it ends at
            once.
    """
    return {STARTED_BY: f"{os.getpid()} {farewell}"}


def end_together_with(helpers: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Kill these processes whenever a signal ends this one at once; an empty sequence forgets them."""
    _state.helpers = helpers
    _arm()


@contextlib.contextmanager
def deferred(handler: Callable[[int, FrameType | None], None] | None = None) -> Iterator[None]:
    """Within, the signals do not end this process; `requested` tells of them.

    Args:
        handler: called with each signal's number and the current frame, in the main thread. Without one, the second
            signal ends the process at once.
    """

    def note(number: int, frame: FrameType | None) -> None:
        second, _state.requested = _state.requested is not None, _state.requested or number
        if handler is not None:
            handler(number, frame)
        elif second:
            end(number)

    _state.requested = None
    wakeup = signal.set_wakeup_fd(-1)
    previous = {number: signal.signal(number, note) for number in _heeded()}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, signal.SIG_DFL if before is None else before)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        _arm()


def requested() -> int | None:
    """The first signal that came in the current or, outside of one, the last `deferred`."""
    return _state.requested


def end(number: int) -> None:
    """End this process as a signal does outside `deferred`."""
    if _ending.acquire(blocking=False):
        for helper in _state.helpers:
            # Not `kill`, which waits for a lock that the main thread may hold.
            if helper.returncode is None:
                with contextlib.suppress(OSError):
                    os.kill(helper.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.write(_state.output, _state.message)
    else:
        # Another thread is doing the same, or this one was when the next signal came.
        time.sleep(1.0)
    os._exit(128 + number)


def _heeded() -> list[int]:
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def _end(number: int, frame: FrameType | None) -> None:
    end(number)


def _watch(reader: int) -> None:
    while True:
        for number in os.read(reader, 1):
            if number in SIGNALS:
                end(number)


def _end_with(parent: int, farewell: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    if farewell:
        os.kill(os.getpid(), farewell)
    else:
        os._exit(1)


def _arm() -> None:
    """Put the compiled handler in the place of every `_end`."""
    if _state.library is None:
        return
    pids = [helper.pid for helper in _state.helpers if helper.returncode is None]
    for number in SIGNALS:
        if signal.getsignal(number) is _end:
            _state.library.end_at(
                number,
                _state.output,
                ctypes.c_char_p(_state.message),
                len(pids),
                (ctypes.c_int * len(pids))(*pids),
            )
