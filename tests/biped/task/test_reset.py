import torch

from biped.robots.library import BIPED
from biped.simulators.state import euler_angles
from biped.task.reset import InitialPose, InitialPoses, ResetConfig
from tests.biped.simulators.fake_simulator import DEFAULT_POSITION


def draw(config: ResetConfig, num_envs: int = 4096) -> InitialPose:
    return InitialPoses(config, BIPED, num_envs, torch.Generator().manual_seed(0)).draw()


def test_poses_are_the_default_pose_with_joint_noise_just_above_the_ground() -> None:
    pose = draw(ResetConfig(joint_noise=0.05, clearance=0.01))
    above_ground = torch.tensor([0.0, 0.0, BIPED.nominal_base_height + 0.01])
    torch.testing.assert_close(pose.base_position, above_ground.expand(4096, 3))
    assert pose.base_quaternion.eq(torch.tensor([1.0, 0.0, 0.0, 0.0])).all()
    noise = pose.joint_position - DEFAULT_POSITION
    assert 0.049 < noise.amax().item() <= 0.05001
    assert -0.05001 <= noise.amin().item() < -0.049


def test_random_headings_go_all_round_and_stay_upright() -> None:
    angles = euler_angles(draw(ResetConfig(random_yaw=True)).base_quaternion)
    assert angles[:, :2].abs().amax().item() < 1e-6
    assert angles[:, 2].amax().item() > 3.1
    assert angles[:, 2].amin().item() < -3.1
    assert angles[:, 2].mean().abs().item() < 0.1
