"""What the robot is: its model file, joint order, default pose, servo gains, feet and mirror image."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Robot:
    """A legged robot with two feet. Every per-joint tuple stands in the order of `joint_names`.

    Raises:
        ValueError: if a per-joint tuple has another length than `joint_names`, a group names a joint that there is not,
            or mirroring twice does not give the robot back.
    """

    name: str
    """What it is called."""
    asset: Path
    """URDF or MJCF (`.xml`) of the robot; its root link floats freely."""
    joint_names: tuple[str, ...]
    """Names of the `J` actuated joints in the model file; the order of every joint vector."""
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
    joint_range: tuple[tuple[float, float], ...]
    """rad, lowest and highest position of each joint; infinite where there is no limit."""
    mirror_joints: tuple[int, ...]
    """For each joint the one on the other side, itself in the middle."""
    mirror_signs: tuple[float, ...]
    """1 or -1: the factor between an angle and that of the other side in a posture symmetric about the x-z plane."""
    base_link: str
    """The root link; its frame is the body frame: x forward, y left, z up."""
    foot_links: tuple[str, str]
    """Links of the right and the left foot."""
    sole_offsets: tuple[tuple[float, float, float], tuple[float, float, float]]
    """m, from the origin of each foot link to the centre of its sole, in the frame of the foot link."""
    nominal_base_height: float
    """m, height of the upright base at which the soles just touch flat ground in the default pose."""
    low_height: float
    """m, height of the base below which the robot crouches more than walking needs."""
    lowest_height: float
    """m, height of the base below which it has fallen."""
    mass: float
    """kg, of the whole robot."""
    base_mass: float
    """kg, of the base link."""
    turns: bool
    """Whether the body can turn on the spot: it has hip joints about the vertical, or the like."""
    observed_groups: tuple[tuple[str, tuple[str, ...]], ...]
    """Names and joints of the groups whose positions and velocities every policy observes, in their order."""
    torso_joints: tuple[str, ...] = ()
    """Joints that a policy observes only where it is told to (`observations.torso`)."""
    sideways_joints: tuple[str, ...] = ()
    """Joints that walking straight ahead does not need."""
    rhythmic_joints: tuple[str, ...] = ()
    """Joints that swing at one common frequency in a steady walk."""

    def __post_init__(self) -> None:
        per_joint = ("default_joint_position", "stiffness", "damping", "effort_limit", "armature", "joint_range")
        for name in (*per_joint, "mirror_joints", "mirror_signs"):
            if len(getattr(self, name)) != len(self.joint_names):
                raise ValueError(
                    f"Robot.{name} has {len(getattr(self, name))} values for {len(self.joint_names)} joints."
                )
        groups = (joints for _, joints in self.observed_groups)
        for joints in (*groups, self.torso_joints, self.sideways_joints, self.rhythmic_joints):
            self.joint_indices(joints)
        for joint, (other, sign) in enumerate(zip(self.mirror_joints, self.mirror_signs, strict=True)):
            if self.mirror_joints[other] != joint or sign * self.mirror_signs[other] != 1.0:
                pair = f"{self.joint_names[joint]} and {self.joint_names[other]}"
                raise ValueError(f"{pair} are not each other's mirror image with one sign of 1 or -1.")

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
