"""Adam over all parameters as one vector: one kernel for a step, one for a norm, one buffer to average.

A small network has dozens of parameters, and handling them one by one took longer than their arithmetic. Parameters and
their gradients become views of two vectors; what is saved and loaded keeps PyTorch's layout, parameter by parameter.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.dlpack import from_dlpack

EPSILON = 1e-5
"""Stable-Baselines3's."""
MOMENTS = ("exp_avg", "exp_avg_sq")
"""PyTorch's names."""
ALIGNMENT = 4
"""Floats: at every 16 bytes a GPU reads as many at once."""


class FlatAdam:
    """Adam whose parameters are views of one vector; gradients accumulate in `gradient`.

    Args:
        parameters: on one device and of one type. Their storage moves; do not replace `.data` or `.grad` afterwards.
        learning_rate: step size.
        packed: groups of them that a GPU wants one after the other from the beginning of a storage.
    """

    gradient: Tensor
    """`[P]`; the gradients of all parameters. On a GPU there are gaps, which stay zero."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float,
        packed: Sequence[Sequence[nn.Parameter]] = (),
    ) -> None:
        self._parameters = list(parameters)
        on_gpu = self._parameters[0].device.type == "cuda"
        groups = [*packed] if on_gpu else []
        grouped = {parameter for group in groups for parameter in group}
        groups += [[parameter] for parameter in self._parameters if parameter not in grouped]
        places = lay_out(groups, ALIGNMENT if on_gpu else 1)
        self._places = [places[parameter] for parameter in self._parameters]
        vector = self._parameters[0].new_zeros(max(place.stop for place in self._places))
        self.gradient = torch.zeros_like(vector)
        for group in groups:
            # The same memory in the name of another storage, which begins with the group.
            room = from_dlpack(vector[places[group[0]].start : places[group[-1]].stop])
            for parameter, value in zip(group, room.split([one.numel() for one in group]), strict=True):
                parameter.data = value.view_as(parameter).copy_(parameter.detach())
                parameter.grad = self.gradient[places[parameter]].view_as(parameter)
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
            for index, (parameter, place) in enumerate(zip(self._parameters, self._places, strict=True)):
                views = {name: saved["state"][0][name][place].view_as(parameter) for name in MOMENTS}
                state[index] = {"step": step.clone(), **views}
        return {"state": state, "param_groups": [group]}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue from the state of a `torch.optim.Adam` over the same parameters.

        A parameter without a state, which never had a gradient, starts with zero moments and the others' step count.
        """
        group = {**saved["param_groups"][0], "params": [0], "fused": True, "foreach": None, "capturable": False}
        state: dict[int, dict[str, Tensor]] = {}
        if saved["state"]:
            moments = {name: torch.zeros_like(self.gradient) for name in MOMENTS}
            for index, entry in saved["state"].items():
                for name, moment in moments.items():
                    moment[self._places[index]] = torch.as_tensor(entry[name]).flatten()
            steps = [torch.as_tensor(entry["step"], dtype=torch.float32) for entry in saved["state"].values()]
            state[0] = {"step": torch.stack(steps).max(), **moments}
        self.adam.load_state_dict({"state": state, "param_groups": [group]})


def lay_out(groups: Sequence[Sequence[nn.Parameter]], alignment: int) -> dict[nn.Parameter, slice]:
    """Places in one vector: parameters in their order, and gaps so that a group begins at a multiple of `alignment`."""
    places: dict[nn.Parameter, slice] = {}
    end = 0
    for group in groups:
        end += -end % alignment
        for parameter in group:
            places[parameter] = slice(end, end + parameter.numel())
            end += parameter.numel()
    return places
