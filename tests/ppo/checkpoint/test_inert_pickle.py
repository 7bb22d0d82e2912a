"""The hand-written pickles: their bytes, their meaning to Python's own unpickler, and the proof that they are inert."""

import math
import pickle
import struct

import pytest
import torch

from ppo.checkpoint.inert_pickle import (
    ACTIVATIONS,
    ARRAY,
    BOX,
    DEEPCOPY,
    ITER,
    LINEAR,
    NEXT,
    PARTIAL,
    POLICY_CLASS,
    SEQUENTIAL,
    Call,
    Global,
    Value,
    dumps,
    why_not_inert,
)


@pytest.mark.parametrize(
    ("value", "golden"),
    [
        (True, b"\x80\x04\x88."),
        (False, b"\x80\x04\x89."),
        (5, b"\x80\x04J\x05\x00\x00\x00."),
        (-2, b"\x80\x04J\xfe\xff\xff\xff."),
        (1.0, b"\x80\x04G\x3f\xf0\x00\x00\x00\x00\x00\x00."),
        (-math.inf, b"\x80\x04G\xff\xf0\x00\x00\x00\x00\x00\x00."),
        ("pi", b"\x80\x04\x8c\x02pi."),
        ("é", b"\x80\x04\x8c\x02\xc3\xa9."),
        ([1], b"\x80\x04(J\x01\x00\x00\x00l."),
        ((), b"\x80\x04(t."),
        ({"a": True}, b"\x80\x04(\x8c\x01a\x88d."),
        (ACTIVATIONS["elu"], b"\x80\x04\x8c\x08torch.nn\x8c\x03ELU\x93."),
        (ACTIVATIONS["relu"], b"\x80\x04\x8c\x08torch.nn\x8c\x04ReLU\x93."),
        (ACTIVATIONS["tanh"], b"\x80\x04\x8c\x08torch.nn\x8c\x04Tanh\x93."),
        (
            POLICY_CLASS,
            b"\x80\x04\x8c\x25sb3_contrib.common.recurrent.policies\x8c\x1aRecurrentActorCriticPolicy\x93.",
        ),
        (
            Call(BOX, (-math.inf, math.inf, (38,), "float32")),
            b"\x80\x04\x8c\x10gymnasium.spaces\x8c\x03Box\x93"
            b"(G\xff\xf0\0\0\0\0\0\0G\x7f\xf0\0\0\0\0\0\0(J\x26\0\0\0t\x8c\x07float32tR.",
        ),
        (
            Call(ARRAY, ([0.5, -1.0], "float32")),
            b"\x80\x04\x8c\x05numpy\x8c\x05array\x93((G\x3f\xe0\0\0\0\0\0\0G\xbf\xf0\0\0\0\0\0\0l\x8c\x07float32tR.",
        ),
    ],
)
def test_bytes_are_these(value: Value, golden: bytes) -> None:
    assert dumps(value) == golden
    assert why_not_inert(golden) is None


def test_attributes_are_set_on_the_result_of_a_call() -> None:
    module = Call(SEQUENTIAL, (Call(LINEAR, (3, 2)), Call(ACTIVATIONS["tanh"], ())), {"features_dim": 2})
    golden = (
        b"\x80\x04\x8c\x08torch.nn\x8c\x0aSequential\x93("
        b"\x8c\x08torch.nn\x8c\x06Linear\x93(J\3\0\0\0J\2\0\0\0tR"
        b"\x8c\x08torch.nn\x8c\x04Tanh\x93(tRtR"
        b"(\x8c\x0cfeatures_dimJ\2\0\0\0db."
    )
    assert dumps(module) == golden
    made = pickle.loads(golden)
    assert isinstance(made, torch.nn.Sequential)
    assert [str(layer) for layer in made] == ["Linear(in_features=3, out_features=2, bias=True)", "Tanh()"]
    assert made.features_dim == 2


@pytest.mark.parametrize("name", [SEQUENTIAL, LINEAR, PARTIAL, DEEPCOPY, ITER, NEXT], ids=lambda name: name.name)
def test_what_builds_the_features_extractor_is_not_inert_elsewhere(name: Global) -> None:
    assert f"imports '{name.module}.{name.name}'" in (why_not_inert(dumps(Call(name, ()))) or "")


def test_setting_attributes_is_not_inert() -> None:
    pickled = dumps(Call(BOX, (-1.0, 1.0, (3,), "float32"), {"shape": 5}))
    assert why_not_inert(pickled) == "it has the instruction BUILD"


def test_python_reads_plain_values_back() -> None:
    value: Value = {"list": [1, -1, 2.5, True, False, "x"], "empty": [], "tuple": ((), (1,)), "dict": {"a": {"b": "c"}}}
    assert pickle.loads(dumps(value)) == value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (2**31, "32 bits"),
        ("x" * 256, "255 bytes"),
        (Global("os", "system"), r"os\.system is not a class"),
        (Call(Global("builtins", "eval"), ("1",)), r"builtins\.eval"),
    ],
)
def test_refuses_what_it_cannot_write(value: Value, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dumps(value)


class _Payload:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("executed",)


def _string(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


@pytest.mark.parametrize(
    ("evil", "problem"),
    [
        (b"\x80\x04" + _string("os") + _string("system") + b"\x93(" + _string("true") + b"tR.", "imports 'os.system'"),
        # The strings of an allowed import come first; what is on top of the stack is another pair.
        (
            b"\x80\x04" + _string("torch.nn") + _string("ELU") + _string("os") + _string("system") + b"\x93.",
            "imports 'os.system'",
        ),
        # One string from a place that the check does not follow.
        (b"\x80\x04" + _string("torch.nn") + b"(" + _string("ELU") + b"\x93.", "imports"),
        (b"\x80\x04" + _string("torch") + _string("nn.ELU") + b"\x93.", "imports 'torch.nn.ELU'"),
        (b"\x80\x04\x93.", "imports"),
        (b"\x80\x02cos\nsystem\n(S'true'\ntR.", "instruction GLOBAL"),
        (b"\x80\x04(S'true'\nios\nsystem\n.", "instruction STRING"),
        (b"\x80\x04" + _string("ELU") + b"\x94h\x00.", "instruction MEMOIZE"),
        (b"\x80\x04\x82\x01.", "instruction EXT1"),
        (b"\x80\x04" + _string("x") + b"Q.", "instruction BINPERSID"),
        (b"\x80\x04" + _string("x") + b"0" + _string("y") + b".", "instruction POP"),
        (b"\x80\x04N\x88b.", "instruction NONE"),
        (b"\x80\x04\x88.\x80\x04\x88.", "goes on after its end"),
        (b"\x80\x04\x88", "damaged"),
        (b"\x80\x04\xff.", "damaged"),
        (b"\x80\x04J\x01.", "damaged"),
        (b"", "damaged"),
        (pickle.dumps(_Payload(), 4), "instruction FRAME"),
        (pickle.dumps(_Payload(), 0), "instruction GLOBAL"),
    ],
)
def test_anything_else_is_not_inert(evil: bytes, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert problem in (why_not_inert(evil) or "")
    assert "executed" not in capsys.readouterr().out


def test_a_changed_number_stays_inert_but_changes_the_bytes() -> None:
    original = dumps(Call(BOX, (-1.0, 1.0, (3,), "float32")))
    changed = original.replace(struct.pack(">d", -1.0), struct.pack(">d", -2.0))
    assert changed != original
    assert why_not_inert(changed) is None
