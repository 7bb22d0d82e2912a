"""The biped as a Gymnasium vector environment, for other trainers and tools."""

from typing import Any, Literal

import numpy as np
import torch
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from biped.env import BipedEnv

Array = Tensor | NDArray[Any]


class BipedVectorEnv(VectorEnv[Array, Array, Array]):
    """Steps a `BipedEnv` through Gymnasium's interface, resetting in the step that ends an episode.

    `infos` of a step follow Gymnasium's same-step convention: `final_obs` is the last observation of the episodes that
    ended, and the mask `_final_obs` `[N]` says which did. With `output="torch"` nothing waits for the device, so both
    are always there, `final_obs` as `[N, D]`. With `output="numpy"` they are there only when an episode ended, and
    `final_obs` is an object array `[N]` of vectors `[D]` and None.
    """

    def __init__(self, env: BipedEnv, output: Literal["torch", "numpy"] = "torch") -> None:
        """Wrap `env`; observations, rewards and flags come out as tensors on its device or as numpy arrays.

        Raises:
            ValueError: `output` is neither "torch" nor "numpy".
        """
        if output not in ("torch", "numpy"):
            raise ValueError(f'output: must be "torch" or "numpy", got {output!r}')
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
        self.env = env
        self.output = output
        self.num_envs = env.num_envs
        limit = env.config.observations.limit
        self.single_observation_space = Box(-limit, limit, (env.observation_dim,), np.float32)
        self.single_action_space = Box(env.action_low.cpu().numpy(), env.action_high.cpu().numpy(), dtype=np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start a new episode in every environment, or in some.

        Args:
            seed: reseeds the random numbers of all environments.
            options: `{"reset_mask": mask}`, a bool array or tensor `[N]` with at least one True, restricts the reset to
                those environments, as in Gymnasium's own vector environments; the others stay where they are and give
                their last observation again. Reset all of them once before. Other options are ignored.

        Raises:
            TypeError: the mask is neither a bool array nor a bool tensor.
            ValueError: it has another shape, or is False everywhere.
        """
        super().reset(seed=seed)
        if seed is not None:
            self.env.seed(seed)
        if options is None or "reset_mask" not in options:
            return self._out(self.env.reset()), {}
        return self._out(self.env.reset_some(self._checked_mask(options["reset_mask"]))), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Apply `actions` `[N, A]` for one control step."""
        step = self.env.step(torch.as_tensor(actions, dtype=torch.float32, device=self.env.device))
        done = step.terminated | step.truncated
        if self.output == "torch":
            infos: dict[str, Any] = {"final_obs": step.final_observation, "_final_obs": done}
        else:
            infos = _final_infos(step.final_observation, done)
        return (
            self._out(step.observation),
            self._out(step.reward),
            self._out(step.terminated),
            self._out(step.truncated),
            infos,
        )

    def close_extras(self, **kwargs: object) -> None:
        """Close the environment."""
        self.env.close()

    def _checked_mask(self, mask: object) -> Tensor:
        if not isinstance(mask, (np.ndarray, Tensor)) or mask.dtype not in (np.bool_, torch.bool):
            kind = f"an array of {mask.dtype}" if isinstance(mask, (np.ndarray, Tensor)) else type(mask).__name__
            raise TypeError(f'options["reset_mask"]: must be a bool array, got {kind}')
        if mask.shape != (self.num_envs,):
            raise ValueError(f'options["reset_mask"]: must have shape [{self.num_envs}], got {list(mask.shape)}')
        if not mask.any():
            raise ValueError('options["reset_mask"]: must be True for at least one environment')
        return torch.as_tensor(mask, device=self.env.device)

    def _out(self, tensor: Tensor) -> Array:
        return tensor if self.output == "torch" else tensor.cpu().numpy().copy()


def _final_infos(final_observation: Tensor, done: Tensor) -> dict[str, Any]:
    """Gymnasium's entries for the episodes that ended, empty if none did."""
    mask = done.cpu().numpy().copy()
    if not mask.any():
        return {}
    final_obs = np.full(mask.shape, None, dtype=object)
    for index, observation in zip(np.flatnonzero(mask), final_observation.cpu().numpy()[mask], strict=True):
        final_obs[index] = observation
    return {"final_obs": final_obs, "_final_obs": mask}
