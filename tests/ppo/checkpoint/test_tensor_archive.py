"""Torch files: what torch writes is read the same as by torch, and what could harm is refused."""

import io
import pickle
import struct
from typing import Any

import pytest
import torch

from ppo.checkpoint.tensor_archive import MAX_DEPTH, load_tensors, save_tensors
from tests.ppo.checkpoint.checkpoint_models import assert_same_tree, torch_file, zip_bytes

TREE: dict[str | int, Any] = {
    "numbers": [0, 255, 256, 70_000, -1, 2**31, -(2**100), 1.5, float("inf"), True, False, None],
    "text": ["", "é\n", "x" * 300],
    "empty": [{}, [], ()],
    "tuples": (1, (2, "b"), (3, 4, 5), (6, 7, 8, 9)),
    3: {"scalar": torch.tensor(3.5), "none": torch.zeros(0, 4), "generator": torch.get_rng_state()[:8]},
}


def _torch_bytes(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_tree_survives_both_readers() -> None:
    archive = save_tensors(TREE)
    assert_same_tree(load_tensors(archive), TREE)
    assert_same_tree(torch.load(io.BytesIO(archive), weights_only=True), TREE)


@pytest.mark.parametrize(
    "dtype",
    [
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    ],
)
def test_every_dtype_survives(dtype: torch.dtype) -> None:
    tensor = torch.tensor([[0, 1, 1], [1, 0, 1]]).to(dtype)
    assert_same_tree(load_tensors(save_tensors({"x": tensor})), {"x": tensor})


def test_views_are_saved_alone_and_read_from_shared_storages() -> None:
    base = torch.arange(12.0).view(3, 4)
    views = {"row": base[1], "rows": base[1:], "transposed": base.t()}
    assert_same_tree(load_tensors(save_tensors(views)), {name: view.contiguous() for name, view in views.items()})
    # cuDNN keeps all weights of an LSTM in one storage, which a genuine file then holds once.
    assert_same_tree(load_tensors(_torch_bytes({"a": base[0], "b": base[1:]})), {"a": base[0], "b": base[1:]})


def test_state_dict_with_metadata_is_read() -> None:
    module = torch.nn.LSTM(3, 4)
    assert_same_tree(load_tensors(_torch_bytes(module.state_dict())), dict(module.state_dict()))


def test_equal_trees_give_equal_bytes() -> None:
    def tree(key: str) -> dict[str, Any]:
        return {key: [key, torch.ones(3)], "again": key}

    # The second string is equal to the first without being the same object.
    assert save_tensors(tree("name")) == save_tensors(tree("".join(["na", "me"])))


def test_gradients_and_parameters_are_dropped() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    assert_same_tree(
        load_tensors(save_tensors({"p": parameter, "q": parameter * 2})),
        {
            "p": torch.ones(2),
            "q": torch.full((2,), 2.0),
        },
    )


class _Payload:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("executed",)


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"x": object()}, "object"),
        ({"x": b"bytes"}, "bytes"),
        ({"x": {1.5: 0}}, "key"),
        ({"x": {2**60: 0}}, "key"),
        ({"x": torch.zeros(1, dtype=torch.complex64)}, "complex64"),
        ({"x": torch.eye(2).to_sparse()}, "sparse"),
        ({"x": 2**2000}, "1024 bits"),
        (_nested(MAX_DEPTH + 1), "nested"),
        ({"x": [1.5] * 500_000}, "structure"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(value: Any, message: str) -> None:  # noqa: ANN401
    with pytest.raises(ValueError, match=message):
        save_tensors(value)


def _tensor_pickle(
    *,
    numel: int = 4,
    offset: int = 0,
    size: tuple[int, ...] = (4,),
    stride: tuple[int, ...] = (1,),
    kind: str = "Float",
) -> bytes:
    """Return the pickle of one tensor over the storage "0"."""

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", value) for value in values) + b"t"

    storage = f"(X\7\0\0\0storagectorch\n{kind}Storage\nX\1\0\0\x000X\3\0\0\0cpu".encode() + numbers((numel,))[1:]
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"Q" + numbers((offset,))[1:-1]
        + numbers(size) + numbers(stride) + b"\x89ccollections\nOrderedDict\n)RtR."
    )  # fmt: skip


FOUR = struct.pack("<4f", 1, 2, 3, 4)


def test_hand_made_tensor_is_read() -> None:
    assert_same_tree(load_tensors(torch_file(_tensor_pickle(), {"0": FOUR})), torch.tensor([1.0, 2.0, 3.0, 4.0]))
    archive = torch_file(_tensor_pickle(offset=1, size=(1, 3), stride=(9, 1)), {"0": FOUR})
    assert_same_tree(load_tensors(archive), torch.tensor([[2.0, 3.0, 4.0]]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_tensor_pickle(numel=5), "wrong size"),
        (_tensor_pickle(kind="Double"), "wrong size"),
        (_tensor_pickle(kind="Untyped"), "import"),
        (_tensor_pickle(offset=1), "larger than its storage"),
        (_tensor_pickle(size=(5,)), "larger than its storage"),
        (_tensor_pickle(size=(2**62,)), "malformed"),
        (_tensor_pickle(size=(-1,)), "malformed"),
        (_tensor_pickle(offset=-1), "malformed"),
        (_tensor_pickle(size=(1,) * 9, stride=(1,) * 9), "malformed"),
        (_tensor_pickle(size=(2, 2), stride=(1,)), "malformed"),
        # One number seen as 2**40 of them: small in the file, four terabytes outside of it.
        (_tensor_pickle(size=(2**40,), stride=(0,)), "not contiguous"),
        (_tensor_pickle(size=(2, 2), stride=(1, 2)), "not contiguous"),
        (_tensor_pickle(size=(0, 2**40, 2**40), stride=(0, 2**40, 1)), "larger than its storage"),
    ],
)
def test_lying_tensors_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_tensors(torch_file(data, {"0": FOUR}))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pickle.dumps({"x": _Payload()}, 2), r"import '(__builtin__|builtins) print'"),
        (b"\x80\x02cos\nsystem\n(X\4\0\0\0truetR.", "import 'os system'"),
        (b"\x80\x02ctorch\nload\n(X\1\0\0\0xtR.", "import 'torch load'"),
        # Both are allowed by torch.load(weights_only=True): the first takes 4 GiB, the second quadratic time.
        (b"\x80\x02cbuiltins\nbytearray\n(\x8a\5\0\0\0\0\1tR.", "import 'builtins bytearray'"),
        (b"\x80\x02c_codecs\nencode\n(X\1\0\0\0xX\x08\0\0\0punycodetR.", "import '_codecs encode'"),
        (b"\x80\x02ccollections\nOrderedDict\n(]tR.", "calls something"),
        (b"\x80\x02}(X\1\0\0\0aK\1u(tR.", "calls something"),
        (_tensor_pickle().replace(b"ccollections\nOrderedDict\n)R", b"}K\1K\1s"), "calls something"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "instruction SHORT_BINUNICODE"),
        (b"\x80\x02(S'true'\nios\nsystem\n.", "instruction STRING"),
        (b"\x80\x02]q\0h\0a.", "repeats an object"),
        (b"\x80\x02)" + b"".join(b"q%ch%c\x86" % (n, n) for n in range(30)) + b".", "repeats an object"),
        (b"\x80\x02K\1K\2.", "damaged"),
        (b"\x80\x02a.", "damaged"),
        (b"\x80\x02h\5.", "damaged"),
        (b"\x80\x02}]K\1s.", "a key that is not"),
        # Hashing it would overflow the C stack and end the process.
        (b"\x80\x02})" + b"\x85" * 500_000 + b"K\1s.", "a key that is not"),
        # Multiples of 2**61 - 1 all have the hash 0: to look up one is to compare it with all.
        (b"\x80\x02}\x8a\x08" + (2**61 - 1).to_bytes(8, "little") + b"K\1s.", "a key that is not"),
        (b"\x80\x02K\1K\2K\3s.", "not a dict"),
        (b"\x80\x02K\1K\2a.", "not a list"),
        (b"\x80\x02}(K\1u.", "not a dict"),
        (b"\x80\x02K\1}b.", "attributes"),
        (b"\x80\x02X\1\0\0\0aQ.", "not a storage"),
        (b"\x80\x02(K\1K\1K\1K\1K\1tQ.", "not a storage"),
        (b"\x80\x02ctorch\nFloatStorage\n.", "neither a tensor"),
        (b"\x80\x02" + b"]" * 50 + b"a" * 49 + b".", "nested"),
        (b"\x80\x02", "pickle exhausted"),
        (b"", "pickle exhausted"),
    ],
)
def test_anything_but_tensors_is_refused(data: bytes, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=message):
        load_tensors(torch_file(data, {"0": FOUR}))
    assert "executed" not in capsys.readouterr().out


def test_tensors_may_not_multiply_a_shared_storage() -> None:
    many = _torch_bytes([torch.zeros(100_000)] * 2)
    with pytest.raises(ValueError, match="repeats an object"):
        load_tensors(many)
    storage = torch.zeros(100_000)
    three = load_tensors(_torch_bytes([storage.view(-1) for _ in range(3)]))
    assert len({tensor.data_ptr() for tensor in three}) == 3
    with pytest.raises(ValueError, match="more than 3 times the file"):
        load_tensors(_torch_bytes([storage.view(-1) for _ in range(4)]))


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (b"", "not a zip"),
        (pickle.dumps([1]), "not a zip"),
        (zip_bytes({"archive/other": b""}), "not a torch file"),
        (zip_bytes({"a/x": b"", "b/data.pkl": b"\x80\x02}."}), "not a torch file"),
        (zip_bytes({"a/data.pkl": b"\x80\x02}.", "a/DATA.pkl": b"\x80\x02}."}), "twice"),
        (zip_bytes({"a/data.pkl": b"\x80\x02}.", "a/byteorder": b"big"}), "little-endian"),
        (zip_bytes({"a/data.pkl": b"\x80\x02" + b"]0" * 2**21 + b"}."}), "larger than 4194304 bytes"),
    ],
)
def test_foreign_archives_are_refused(archive: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_tensors(archive)
