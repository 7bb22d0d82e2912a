"""What reward terms need to know of earlier control steps."""

from collections.abc import Collection

import torch
from torch import Tensor

from biped.robots.robot import Robot
from biped.simulators.state import State
from biped.task.buffers import Buffers
from biped.task.gait import FootAlternation, GaitConfig
from biped.task.harmonic_motion import HarmonicMotion, HarmonicMotionConfig
from biped.task.mean_velocity import MeanVelocityError
from biped.task.reward_terms import RewardParameters


class RewardMemory(Buffers):
    """Follows `N` robots for the terms that are paid for; what none of them needs is neither computed nor saved."""

    def __init__(
        self,
        needs: Collection[str],
        gait: GaitConfig,
        harmonic_motion: HarmonicMotionConfig,
        parameters: RewardParameters,
        robot: Robot,
        num_envs: int,
        control_dt: float,
        device: torch.device,
    ) -> None:
        """Follow what is among the `needs` of the terms, see `biped.task.rewards.term`, of robots at rest."""
        self.foot_alternation: FootAlternation | None = None
        self.harmonic_motion: HarmonicMotion | None = None
        self.mean_velocity_error: MeanVelocityError | None = None
        if "alternation" in needs:
            self.foot_alternation = FootAlternation(gait, num_envs, control_dt, device)
        if "harmonic_motion" in needs:
            tracked = robot.joint_indices(harmonic_motion.joints or robot.rhythmic_joints)
            default_joint_position = torch.tensor(robot.default_joint_position, device=device)
            self.harmonic_motion = HarmonicMotion(
                harmonic_motion, tracked, default_joint_position, num_envs, control_dt
            )
        if "mean_velocity_error" in needs:
            self.mean_velocity_error = MeanVelocityError(
                parameters.mean_time_constant, parameters.mean_settling_time, num_envs, control_dt, device
            )
        unknown = torch.full((num_envs, 3), torch.nan, device=device)
        self._unknown = {
            "alternation": unknown[:, 0],
            "harmonic_motion": unknown[:, 0],
            "mean_velocity_error": unknown,
        }

    @property
    def parts(self) -> dict[str, Buffers]:
        """What is followed, by name."""
        return {name: part for name, part in vars(self).items() if isinstance(part, Buffers)}

    def step(self, state: State, contact: Tensor, command: Tensor) -> dict[str, Tensor]:
        """Take in a control step with the contacts `[N, 2]` bool under `command` `[N, 3]`.

        Returns:
            Fields of `biped.task.reward_terms.RewardInputs`; NaN for what is not followed.
        """
        values = dict(self._unknown)
        if self.foot_alternation:
            values["alternation"] = self.foot_alternation.step(contact)
        if self.harmonic_motion:
            values["harmonic_motion"] = self.harmonic_motion.step(state.joint_position, state.joint_velocity)
        if self.mean_velocity_error:
            values["mean_velocity_error"] = self.mean_velocity_error.step(state, command)
        return values

    def reset(self, mask: Tensor, joint_position: Tensor) -> None:
        """Begin anew for the robots in `mask` `[N]` bool, at rest in `joint_position` `[N, J]` rad."""
        if self.foot_alternation:
            self.foot_alternation.reset(mask)
        if self.harmonic_motion:
            self.harmonic_motion.reset(mask, joint_position)
        if self.mean_velocity_error:
            self.mean_velocity_error.reset(mask)
