"""Keeping pace with the clock on the wall."""

import time


class RealTime:
    """Lets a loop take no less than `control_dt` seconds per turn."""

    def __init__(self, control_dt: float) -> None:
        self._control_dt = control_dt
        self._next = time.perf_counter()

    def wait(self) -> float:
        """Wait until the next turn is due; one that comes late is not made up for.

        Returns:
            s that there were to wait.
        """
        now = time.perf_counter()
        self._next = max(now, self._next + self._control_dt)
        pause = self._next - now
        time.sleep(pause)
        return pause
