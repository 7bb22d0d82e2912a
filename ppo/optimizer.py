"""Adam over all parameters as one vector: one kernel for a step, one for a norm, one buffer to average.

A small network has dozens of parameters, and handling them one by one took longer than their arithmetic. Parameters and
their gradients become views of two vectors; what is saved and loaded keeps PyTorch's layout, parameter by parameter.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

EPSILON = 1e-5
"""Stable-Baselines3's."""


class FlatAdam:
    """Adam whose parameters are views of one vector; gradients accumulate in `gradient`.

    Args:
        parameters: on one device and of one type. Their storage moves; do not replace `.data` or `.grad` afterwards.
        learning_rate: step size.
    """

    gradient: Tensor
    """`[P]`; the gradients of all parameters, one after the other."""

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float) -> None:
        self._parameters = list(parameters)
        self._sizes = [parameter.numel() for parameter in self._parameters]
        vector = torch.cat([parameter.detach().flatten() for parameter in self._parameters])
        self.gradient = torch.zeros_like(vector)
        for parameter, value, gradient in zip(
            self._parameters, vector.split(self._sizes), self.gradient.split(self._sizes), strict=True
        ):
            parameter.data = value.view_as(parameter)
            parameter.grad = gradient.view_as(parameter)
        self._vector = nn.Parameter(vector)
        self._vector.grad = self.gradient
        # The fused kernel can leave a step out without asking the host.
        self.adam = torch.optim.Adam([self._vector], lr=learning_rate, eps=EPSILON, fused=True)

    @property
    def learning_rate(self) -> float:
        """Step size of the next steps."""
        return float(self.adam.param_groups[0]["lr"])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.adam.param_groups[0]["lr"] = value

    def zero_grad(self) -> None:
        """Set all gradients to zero."""
        self.gradient.zero_()

    def step(self, skip: Tensor) -> None:
        """Take a step along `gradient`, unless `skip`, `[]` float32 on the device, is 1."""
        # This is how gradient scalers leave out a step.
        self.adam.found_inf = skip  # type: ignore[attr-defined]
        self.adam.step()

    def state_dict(self) -> dict[str, Any]:
        """What `torch.optim.Adam` over the parameters would give; the moments are views of its own."""
        saved = self.adam.state_dict()
        group = {**saved["param_groups"][0], "params": list(range(len(self._parameters)))}
        state: dict[int, dict[str, Tensor]] = {}
        if saved["state"]:
            step = saved["state"][0]["step"]
            moments = {name: saved["state"][0][name].split(self._sizes) for name in ("exp_avg", "exp_avg_sq")}
            for index, parameter in enumerate(self._parameters):
                views = {name: pieces[index].view_as(parameter) for name, pieces in moments.items()}
                state[index] = {"step": step.clone(), **views}
        return {"state": state, "param_groups": [group]}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue from the state of a `torch.optim.Adam` over the same parameters.

        A parameter without a state, which never had a gradient, starts with zero moments and the others' step count.
        """
        group = {**saved["param_groups"][0], "params": [0], "fused": True, "foreach": None, "capturable": False}
        state: dict[int, dict[str, Tensor]] = {}
        if saved["state"]:
            moments = {
                name: torch.cat(
                    [
                        torch.as_tensor(saved["state"][index][name]).flatten().to(parameter)
                        if index in saved["state"]
                        else torch.zeros_like(parameter).flatten()
                        for index, parameter in enumerate(self._parameters)
                    ]
                )
                for name in ("exp_avg", "exp_avg_sq")
            }
            steps = [torch.as_tensor(entry["step"], dtype=torch.float32) for entry in saved["state"].values()]
            state[0] = {"step": torch.stack(steps).max(), **moments}
        self.adam.load_state_dict({"state": state, "param_groups": [group]})
