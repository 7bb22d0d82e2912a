"""What a check has found."""

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """One thing about a robot that is wrong, or that may be."""

    kind: Literal["wrong", "suspicious"]
    where: str
    """Entry of the robot file, or element of the model."""
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.what}; {self.remedy}"


def wrong(where: str, what: str, remedy: str) -> Finding:
    """What a robot cannot be trained with."""
    return Finding("wrong", where, what, remedy)


def suspicious(where: str, what: str, remedy: str) -> Finding:
    """What is unusual, and may be right."""
    return Finding("suspicious", where, what, remedy)
