"""What the robot is: its model file, joint order, default pose, servo gains and feet."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Robot:
    """A legged robot with two feet. Every per-joint tuple stands in the order of `joint_names`.

    Raises:
        ValueError: if a per-joint tuple has another length than `joint_names`.
    """

    asset: Path
    """URDF of the robot; its root link floats freely."""
    joint_names: tuple[str, ...]
    """Names of the `J` actuated joints in the URDF; the order of every joint vector."""
    default_joint_position: tuple[float, ...]
    """rad; the pose that actions are relative to and episodes start from."""
    stiffness: tuple[float, ...]
    """N m/rad, proportional gain of each servo."""
    damping: tuple[float, ...]
    """N m s/rad, derivative gain of each servo."""
    effort_limit: tuple[float, ...]
    """N m, largest torque of each servo, either way."""
    armature: tuple[float, ...]
    """kg m^2, inertia of each servo's rotor as seen at the joint (rotor inertia times gear ratio squared)."""
    base_link: str
    """The root link; its frame is the body frame: x forward, y left, z up."""
    foot_links: tuple[str, str]
    """Links of the right and the left foot."""
    sole_offset: tuple[float, float, float]
    """m, from the origin of a foot link to the centre of its sole, in the frame of the foot link."""
    nominal_base_height: float
    """m, height of the upright base at which the soles just touch flat ground in the default pose."""

    def __post_init__(self) -> None:
        for name in ("default_joint_position", "stiffness", "damping", "effort_limit", "armature"):
            if len(getattr(self, name)) != len(self.joint_names):
                raise ValueError(
                    f"Robot.{name} has {len(getattr(self, name))} values for {len(self.joint_names)} joints."
                )

    @property
    def num_joints(self) -> int:
        """`J`."""
        return len(self.joint_names)

    def joint_indices(self, names: Iterable[str]) -> tuple[int, ...]:
        """Positions of the joints `names` in `joint_names`, in the order asked for.

        Raises:
            ValueError: if the robot has no joint of such a name.
        """
        names = tuple(names)
        unknown = [name for name in names if name not in self.joint_names]
        if unknown:
            raise ValueError(f"Unknown joints {unknown}; the robot has {list(self.joint_names)}.")
        return tuple(self.joint_names.index(name) for name in names)


BIPED = Robot(
    asset=Path(__file__).parents[1] / "assets" / "biped.urdf",
    joint_names=(
        "right_hip1",
        "right_hip2",
        "right_knee",
        "right_ankle",
        "left_hip1",
        "left_hip2",
        "left_knee",
        "left_ankle",
        "revolute_torso",
    ),
    default_joint_position=(0.0, -0.652, 1.30, -0.634, 0.0, 0.652, -1.30, 0.634, 0.0),
    stiffness=(15.0,) * 9,
    damping=(0.8,) * 9,
    effort_limit=(12.0,) * 9,
    armature=(0.01,) * 9,
    base_link="base",
    foot_links=("right_foot", "left_foot"),
    sole_offset=(0.02, 0.0, -0.04),
    nominal_base_height=0.434,
)
"""The primitives-only biped of `assets/biped.urdf`, 2.9 kg and about 0.6 m tall.

hip1 abducts about x, hip2, knee and ankle turn about y, `revolute_torso` turns the upper body about z. Opposite angles
left and right are a posture symmetric about the x-z plane.
"""
