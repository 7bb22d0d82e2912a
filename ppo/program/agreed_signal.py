"""The signal at which the processes of a training stop together."""

from types import FrameType

import torch

from ppo.processes import Processes


class AgreedSignal:
    """Notes the signals that this process gets, and lets all processes stop at the same one.

    Args:
        processes: this process among those that train together.
        device: where they train.
    """

    def __init__(self, processes: Processes, device: torch.device) -> None:
        self._processes = processes
        self._on_cuda = device.type != "cpu"
        self._received = False
        self._ending = False
        self.number: int | None = None
        """Of the signal to stop at, the same in all processes once they have asked each other; None without one."""

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Note a signal, as a handler of `ppo.program.interruption.deferred`.

        Raises:
            KeyboardInterrupt: it is the second one, which ends this process at once.
        """
        # One that another process got first is not a second.
        if self._received and not self._ending:
            raise KeyboardInterrupt
        self._received = True
        self.number = self.number or number

    def end(self) -> None:
        """Let signals only be noted from now on: what is being done is the last thing, and must be done."""
        self._ending = True

    def agreed(self) -> bool:
        """Whether any process has got a signal; all of them ask at the same time."""
        if not self._processes.any(self.number is not None):
            return False
        self.number = self._processes.largest(self.number or 0)
        return True

    def stops(self) -> bool:
        """On CUDA, several processes would have to wait for the device to agree, so they go on to the end."""
        return (self._processes.count == 1 or not self._on_cuda) and self.agreed()
