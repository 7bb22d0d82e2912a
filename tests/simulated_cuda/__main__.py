"""Run a program, or pytest, on the simulated device: `python -m tests.simulated_cuda train.py --device cuda`.

`without-physics` in the place of `train.py` trains robots that do not fall, and says on which GPU.
"""

import os
import sys

from tests.simulated_cuda import counting, device


def main(arguments: list[str]) -> int:
    """Run what the arguments name; returns its exit code."""
    device.install(counting.note)
    from tests.simulated_cuda import cudnn, graphs

    cudnn.install()
    graphs.install()
    program, *rest = arguments
    if program == "pytest":
        import pytest

        return int(pytest.main(rest))
    from app.playing import main as play
    from app.training import main as train
    from tests.app.fake_engines import parts
    from tests.simulated_cuda import genesis, nccl

    nccl.install()
    # What other processes of the training are started with.
    sys.argv = ["-m", "tests.simulated_cuda", *arguments]
    if program == "without-physics":
        import torch

        code = train(rest, parts())
        print(f"process {os.environ.get('RANK', 0)} has used {torch.cuda.get_device_name()}")
        return code
    genesis.install()
    with counting.counted() as counts:
        code = {"train.py": train, "play.py": play}[program](rest)
    print(counts.crossings().table())
    return code


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # The interpreter's own end would wait for autograd's thread for the device, which has nobody to end it.
    os._exit(code)
