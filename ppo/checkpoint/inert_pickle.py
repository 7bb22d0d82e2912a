"""The few pickles that Stable-Baselines3 insists on, written byte by byte, and a check that a pickle is one of them.

Stable-Baselines3 unpickles four entries of a checkpoint: the policy class, its arguments and the two spaces. They are
written here as constructor calls, from fourteen instructions of pickle protocol 4, so that neither Stable-Baselines3
nor gymnasium is needed to write them, and so that they hold for every version of both. Instructions and their bytes:
https://github.com/python/cpython/blob/main/Lib/pickletools.py
"""

import pickletools
import struct
import warnings
from dataclasses import dataclass, field
from typing import TypeAlias, Union


@dataclass(frozen=True)
class Global:
    """A class or function, named by where it is imported from."""

    module: str
    """Module path."""
    name: str
    """Name in the module."""


@dataclass(frozen=True)
class Call:
    """The result of calling `function` with `arguments` when the pickle is loaded."""

    function: Global
    """What is called."""
    arguments: tuple["Value", ...]
    """Positional arguments."""
    attributes: dict[str, int] = field(default_factory=dict)
    """Attributes that the result is given afterwards."""


Value: TypeAlias = Union[bool, int, float, str, "list[Value]", "tuple[Value, ...]", "dict[str, Value]", Global, Call]
"""What can be pickled here: plain values, containers, classes and calls of them."""

POLICY_CLASS = Global("sb3_contrib.common.recurrent.policies", "RecurrentActorCriticPolicy")
BOX = Global("gymnasium.spaces", "Box")
ARRAY = Global("numpy", "array")
ACTIVATIONS = {"elu": Global("torch.nn", "ELU"), "relu": Global("torch.nn", "ReLU"), "tanh": Global("torch.nn", "Tanh")}
SEQUENTIAL = Global("torch.nn", "Sequential")
LINEAR = Global("torch.nn", "Linear")
PARTIAL = Global("functools", "partial")
DEEPCOPY = Global("copy", "deepcopy")
ITER = Global("builtins", "iter")
NEXT = Global("builtins", "next")

_INERT_GLOBALS = frozenset({POLICY_CLASS, BOX, ARRAY, *ACTIVATIONS.values()})
_GLOBALS = _INERT_GLOBALS | {SEQUENTIAL, LINEAR, PARTIAL, DEEPCOPY, ITER, NEXT}
_INERT_INSTRUCTIONS = frozenset(
    {"PROTO", "STOP", "NEWTRUE", "NEWFALSE", "BININT", "BINFLOAT", "SHORT_BINUNICODE", "MARK", "LIST", "TUPLE", "DICT"}
    | {"STACK_GLOBAL", "REDUCE"}
)


def dumps(value: Value) -> bytes:
    """Return the pickle of `value`; equal values give equal bytes.

    Raises:
        ValueError: an integer needs more than 32 bits, a string more than 255 bytes, or a class is not one of ours.
    """
    return b"\x80\x04" + _encode(value) + b"."


def _encode(value: Value) -> bytes:
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        if not -(2**31) <= value < 2**31:
            raise ValueError(f"the integer {value} needs more than 32 bits")
        return b"J" + struct.pack("<i", value)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        if len(text) > 255:
            raise ValueError(f"the string {value:.20}... is longer than 255 bytes")
        return b"\x8c" + bytes([len(text)]) + text
    if isinstance(value, list):
        return b"(" + b"".join(map(_encode, value)) + b"l"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_encode, value)) + b"t"
    if isinstance(value, dict):
        return b"(" + b"".join(_encode(key) + _encode(item) for key, item in value.items()) + b"d"
    if isinstance(value, Global):
        if value not in _GLOBALS:
            raise ValueError(f"{value.module}.{value.name} is not a class that a checkpoint names")
        return _encode(value.module) + _encode(value.name) + b"\x93"
    build = _encode(dict(value.attributes)) + b"b" if value.attributes else b""
    return _encode(value.function) + _encode(value.arguments) + b"R" + build


def why_not_inert(pickle: bytes) -> str | None:
    """Tell what in `pickle` could run code, or return None if nothing can. Nothing is executed.

    A pickle is inert if it consists of instructions that `dumps` writes and imports only classes that `dumps` imports:
    without a memo every import is one instruction that follows the two strings it is given, so reading the
    instructions once is a proof. Pickles written by Stable-Baselines3 itself are not inert in this sense: they embed
    whole functions. Nor is a features extractor: functions that call functions and attributes that are set could be
    put together in other ways, so it is known by its bytes alone, which must be those that `dumps` writes.
    """
    try:
        with warnings.catch_warnings():
            # Pickletools warns of odd strings in instructions, which are refused a moment later.
            warnings.simplefilter("ignore")
            return _first_problem(pickle)
    except ValueError:
        return "it is damaged"


def _first_problem(pickle: bytes) -> str | None:
    previous: list[object] = [None, None]
    for opcode, argument, position in pickletools.genops(pickle):
        if opcode.name not in _INERT_INSTRUCTIONS:
            return f"it has the instruction {opcode.name}"
        if opcode.name == "STACK_GLOBAL":
            module, name = previous
            if not (isinstance(module, str) and isinstance(name, str)) or Global(module, name) not in _INERT_GLOBALS:
                return f"it imports {str(module) + '.' + str(name)!a:.80}"
        if opcode.name == "STOP" and position != len(pickle) - 1:
            return "it goes on after its end"
        previous = [previous[1], argument if opcode.name == "SHORT_BINUNICODE" else None]
    return None
