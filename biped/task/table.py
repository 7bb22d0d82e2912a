"""Tables that are configurations: a field holds what the user chooses, and its metadata what the choice is about."""

import dataclasses
from typing import Any, TypeVar

E = TypeVar("E")
V = TypeVar("V")


def entry(default: V, about: object) -> V:
    """The default of a field of a dataclass that stands for an entry of a table.

    Args:
        default: value of the field.
        about: the entry; a field has one of each type.
    """
    return dataclasses.field(default=default, metadata={type(about): about})


def entries(config: type[Any], kind: type[E]) -> dict[str, E]:
    """The entries of type `kind` by the names of their fields, in the order of the fields.

    A derived class that only gives a field another default keeps the entry.

    Raises:
        TypeError: a class has an entry and is not a dataclass, so that its fields are none.
    """
    found: dict[str, E] = {}
    for owner in reversed(config.__mro__):
        if any(isinstance(value, dataclasses.Field) for value in vars(owner).values()):
            raise TypeError(f"{owner.__name__} has fields: put @dataclass(frozen=True) above it")
        for name, field in vars(owner).get("__dataclass_fields__", {}).items():
            if kind in field.metadata:
                found[name] = field.metadata[kind]
    return {field.name: found[field.name] for field in dataclasses.fields(config) if field.name in found}
