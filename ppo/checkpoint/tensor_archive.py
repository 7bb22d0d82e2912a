"""Tensors in torch's file format: written by `torch.save`, read without unpickling.

A torch file is a zip of raw storages and one pickle, `data.pkl`, that names their types, shapes and places in a tree
of dicts, lists and plain values. A pickle is a program; here its few harmless instructions are followed by hand and
everything else is refused, so a hostile file cannot run anything, and takes memory and time in proportion to its size.

`torch.load(weights_only=True)` cannot take its place. Behind the same limits of size, in torch 2.13:

- a call of `bytearray` with a number, in a file of 300 bytes, takes 4 GiB;
- a call of `_codecs.encode` for punycode takes seconds over 15 kB of text, and time that grows with its square;
- a dict key of 200 000 nested tuples overflows the C stack and ends the process;
- integers of equal hash as dict keys take seconds over 130 kB of them, and time that grows with its square;
- thirty tuples, each of the one before twice, are 2**30 values to whoever walks through them.

Before 2.10 it also believes the storage sizes, and sets items of tensors (GHSA-63cw-57p8-fm3p). A look through the
instructions beforehand can refuse the calls, but what becomes a key of a dict can be told on the stack alone.
"""

import enum
import io
import math
import pickletools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias, TypeGuard

import torch
from torch import Tensor

from ppo.checkpoint.stored_zip import StoredZip

Tree: TypeAlias = Any
"""Dicts (keys: strings, or integers of `MAX_KEY_BITS`), lists and tuples of tensors, strings, numbers and None."""

MAX_PICKLE_BYTES = 4 * 2**20
"""Largest `data.pkl`; it grows by about 200 bytes per tensor."""
MAX_DEPTH = 32
"""Deepest nesting of dicts, lists and tuples."""
MAX_KEY_BITS = 60
"""Longest integer as the key of a dict. Longer ones can be chosen so that their hashes are equal."""
MAX_NUMEL = 2**48
"""Most numbers in a tensor."""
MAX_SIZE_FACTOR = 3
"""Times the size of the file that its tensors may take; Stable-Baselines3 saves a features extractor under three names
over the same storages."""

_STORAGE_TYPES = {
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "ShortStorage": torch.int16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
}


class _Function(enum.Enum):
    """The two functions that a file of tensors calls."""

    REBUILD_TENSOR = enum.auto()
    ORDERED_DICT = enum.auto()


_GLOBALS: dict[str, torch.dtype | _Function] = {
    "torch._utils _rebuild_tensor_v2": _Function.REBUILD_TENSOR,
    "collections OrderedDict": _Function.ORDERED_DICT,
    **{f"torch {name}": dtype for name, dtype in _STORAGE_TYPES.items()},
}

_MARK = object()


class _Storage(NamedTuple):
    values: Tensor
    """`[numel]` on the CPU."""


def plain_tree(value: Tree, copy_tensor: Callable[[Tensor], Tensor]) -> Tree:
    """Copy a tree of dicts, lists, tuples, tensors, strings, numbers and None.

    Equal strings become one object, so that equal trees give equal pickles.

    Raises:
        ValueError: there is something else in the tree, or it is nested deeper than `MAX_DEPTH`.
    """
    strings: dict[str, str] = {}

    def visit(value: Tree, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
        if isinstance(value, Tensor):
            if value.dtype not in _STORAGE_TYPES.values() or value.layout != torch.strided:
                raise ValueError(f"it holds a tensor of {value.dtype} and {value.layout}, which is not supported")
            return copy_tensor(value)
        if isinstance(value, Mapping):
            if not all(map(_is_key, value)):
                raise ValueError(f"a dict in it has a key that is not a string or integer of up to {MAX_KEY_BITS} bits")
            return {visit(key, depth + 1): visit(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [visit(item, depth + 1) for item in value]
        if isinstance(value, tuple):
            return tuple(visit(item, depth + 1) for item in value)
        if type(value) is str:
            return strings.setdefault(value, value)
        if type(value) is int and value.bit_length() > 1024:
            raise ValueError("it holds an integer of more than 1024 bits")
        if value is None or type(value) in (bool, int, float):
            return value
        raise ValueError(f"it holds {type(value).__name__!a:.60}, which is neither a tensor nor a plain value")

    return visit(value, 0)


def save_tensors(value: Tree) -> bytes:
    """Return the torch file of a tree of tensors and plain values; equal trees give equal bytes.

    Tensors are copied to the CPU, each with a storage of its own.

    Raises:
        ValueError: the tree cannot be read back (see `plain_tree`), or is too large.
    """
    buffer = io.BytesIO()
    torch.save(plain_tree(value, lambda tensor: tensor.detach().to("cpu", copy=True).contiguous()), buffer)
    archive = buffer.getvalue()
    if StoredZip(io.BytesIO(archive)).sizes["archive/data.pkl"] > MAX_PICKLE_BYTES:
        raise ValueError(f"its structure without the tensors is larger than {MAX_PICKLE_BYTES} bytes")
    return archive


def load_tensors(archive: bytes) -> Tree:
    """Return the tree in a torch file, its tensors on the CPU. Nothing in the file is executed.

    Raises:
        ValueError: the file is damaged, or holds anything but tensors and plain values.
    """
    records = StoredZip(io.BytesIO(archive))
    # Torch takes the folder of the first member.
    folder = next(iter(records.sizes), "").partition("/")[0] + "/"
    if folder + "data.pkl" not in records.sizes:
        raise ValueError("it is not a torch file")
    if folder + "byteorder" in records.sizes and records.read(folder + "byteorder") != b"little":
        raise ValueError("its numbers are not little-endian")
    reader = _PickleReader(records, folder + "data/", limit=MAX_SIZE_FACTOR * len(archive))
    pickle = records.read(folder + "data.pkl", MAX_PICKLE_BYTES)
    try:
        with warnings.catch_warnings():
            # Pickletools warns of odd strings in instructions, which are refused a moment later.
            warnings.simplefilter("ignore")
            tree = reader.run(pickle)
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError("its pickle is damaged") from error
    return plain_tree(tree, lambda tensor: tensor)


class _PickleReader:
    """Follows the instructions of one `data.pkl`."""

    def __init__(self, records: StoredZip, folder: str, limit: int) -> None:
        """Take storages from the members of `records` under `folder`; tensors may take `limit` bytes in all."""
        self._records = records
        self._folder = folder
        self._bytes_left = limit
        self._stack: list[Any] = []
        self._memo: dict[Any, Any] = {}
        self._storages: dict[str, _Storage] = {}

    def run(self, pickle: bytes) -> Tree:
        """Return the tree that `pickle` builds; damaged ones raise ValueError, IndexError, KeyError or TypeError."""
        stack, memo = self._stack, self._memo
        for opcode, argument, _ in pickletools.genops(pickle):
            match opcode.name:
                case "PROTO" | "STOP":
                    pass
                case "MARK":
                    stack.append(_MARK)
                case "BINUNICODE" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                    stack.append(argument)
                case "NONE":
                    stack.append(None)
                case "NEWTRUE" | "NEWFALSE":
                    stack.append(opcode.name == "NEWTRUE")
                case "EMPTY_DICT":
                    stack.append({})
                case "EMPTY_LIST":
                    stack.append([])
                case "EMPTY_TUPLE":
                    stack.append(())
                case "TUPLE1" | "TUPLE2" | "TUPLE3":
                    count = int(opcode.name[-1])
                    stack.append(tuple([stack.pop() for _ in range(count)][::-1]))
                case "TUPLE":
                    stack.append(tuple(self._pop_to_mark()))
                case "APPEND":
                    self._extend([stack.pop()])
                case "APPENDS":
                    self._extend(self._pop_to_mark())
                case "SETITEM":
                    self._update([stack.pop(), stack.pop()][::-1])
                case "SETITEMS":
                    self._update(self._pop_to_mark())
                case "BINPUT" | "LONG_BINPUT":
                    memo[argument] = stack[-1]
                case "BINGET" | "LONG_BINGET":
                    # Containers may not be repeated: a list that holds itself, or twice a list that holds twice a
                    # list, would be small in the file and endless outside of it.
                    if not isinstance(memo[argument], (str, torch.dtype, _Function)):
                        raise ValueError("its pickle repeats an object")
                    stack.append(memo[argument])
                case "GLOBAL":
                    if argument not in _GLOBALS:
                        raise ValueError(f"its pickle would import {argument!a:.60}")
                    stack.append(_GLOBALS[argument])
                case "BINPERSID":
                    stack.append(self._storage(stack.pop()))
                case "REDUCE":
                    arguments, function = stack.pop(), stack.pop()
                    stack.append(self._call(function, arguments))
                case "BUILD":
                    # The `_metadata` of a module's state_dict, an attribute that no reader of weights needs.
                    stack.pop()
                    if type(stack[-1]) is not dict:
                        raise ValueError("its pickle sets attributes of an object")
                case _:
                    raise ValueError(f"its pickle has the instruction {opcode.name}")
        if len(stack) != 1:
            raise ValueError("its pickle is damaged")
        return stack[0]

    def _pop_to_mark(self) -> list[Any]:
        items = []
        while (item := self._stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def _extend(self, items: list[Any]) -> None:
        if type(self._stack[-1]) is not list:
            raise ValueError("its pickle appends to something that is not a list")
        self._stack[-1].extend(items)

    def _update(self, items: list[Any]) -> None:
        if type(self._stack[-1]) is not dict or len(items) % 2:
            raise ValueError("its pickle sets an item of something that is not a dict")
        # Before they are hashed: nested tuples are hashed recursively, and colliding keys one against all others.
        if not all(map(_is_key, items[::2])):
            raise ValueError(f"its pickle has a key that is not a string or integer of up to {MAX_KEY_BITS} bits")
        self._stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def _call(self, function: object, arguments: object) -> Tree:
        if function is _Function.ORDERED_DICT and type(arguments) is tuple and not arguments:
            return {}
        if function is _Function.REBUILD_TENSOR and type(arguments) is tuple and len(arguments) == 6:
            storage, offset, size, stride, _, hooks = arguments
            if type(hooks) is dict and not hooks:
                return self._tensor(storage, offset, size, stride)
        raise ValueError("its pickle calls something that builds no tensor")

    def _storage(self, identity: object) -> _Storage:
        """Return the storage that the tuple `("storage", type, key, location, numel)` names."""
        if type(identity) is not tuple or len(identity) != 5 or type(identity[0]) is not str:
            raise ValueError("its pickle names something that is not a storage")
        kind, dtype, key, _, numel = identity
        if kind != "storage" or not isinstance(dtype, torch.dtype) or type(key) is not str or not _is_count(numel):
            raise ValueError("its pickle names a malformed storage")
        if key not in self._storages:
            name = self._folder + key
            size = numel * dtype.itemsize
            if self._records.sizes.get(name) != size:
                raise ValueError(f"its storage {key!a:.60} is missing or has the wrong size")
            # torch warns about memory that it may not write to, hence bytearray, and refuses empty memory.
            memory = bytearray(self._records.read(name)) or bytearray(dtype.itemsize)
            values = torch.frombuffer(memory, dtype=torch.uint8)[:size]
            self._storages[key] = _Storage(values.ne(0) if dtype == torch.bool else values.view(dtype))
        storage = self._storages[key]
        if storage.values.dtype != dtype or storage.values.numel() != numel:
            raise ValueError(f"its storage {key!a:.60} is described in two ways")
        return storage

    def _tensor(self, storage: object, offset: object, size: object, stride: object) -> Tensor:
        """Copy a contiguous tensor of shape `size` out of a storage."""
        if not (isinstance(storage, _Storage) and _is_count(offset) and _is_shape(size) and _is_shape(stride)):
            raise ValueError("its pickle describes a malformed tensor")
        if len(size) != len(stride):
            raise ValueError("its pickle describes a malformed tensor")
        expected = 1
        for length, step in zip(reversed(size), reversed(stride), strict=True):
            if length > 1 and step != expected:
                raise ValueError("it holds a tensor that is not contiguous")
            expected *= max(length, 1)
        numel = math.prod(size)
        # `expected` is at least numel; it is checked because torch overflows on shapes like (0, 2**40, 2**40).
        if offset + numel > storage.values.numel() or expected > MAX_NUMEL:
            raise ValueError("it holds a tensor that is larger than its storage")
        values = storage.values[offset : offset + numel].clone().view(size)
        self._bytes_left -= values.nbytes
        if self._bytes_left < 0:
            raise ValueError(f"its tensors add up to more than {MAX_SIZE_FACTOR} times the file")
        return values


def _is_key(value: object) -> bool:
    return type(value) is str or (type(value) is int and value.bit_length() <= MAX_KEY_BITS)


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= MAX_NUMEL


def _is_shape(value: object) -> TypeGuard[tuple[int, ...]]:
    return type(value) is tuple and len(value) <= 8 and all(map(_is_count, value))
