"""Processes with a simulated GPU each, which exchange tensors as those with real ones do through NCCL."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def install() -> None:
    """Let gloo, which knows only the CPU, take NCCL's place."""
    init_process_group, all_reduce = dist.init_process_group, dist.all_reduce

    def init(backend: str, **options: Any) -> None:  # noqa: ANN401
        init_process_group("gloo" if backend == "nccl" else backend, **options)

    def reduce(tensor: Tensor, *options: Any) -> None:  # noqa: ANN401
        all_reduce(torch.ops.simulated_cuda.as_cpu(tensor), *options)

    vars(dist).update(init_process_group=init, all_reduce=reduce)
