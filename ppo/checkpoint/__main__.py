"""`python -m ppo.checkpoint`: describe a checkpoint, or strip it to what Stable-Baselines3 knows."""

import base64
import binascii
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ppo.checkpoint.inert_pickle import dumps, why_not_inert
from ppo.checkpoint.sb3_data import PICKLE_KEY, parse_json, pickled_values
from ppo.checkpoint.sb3_model import CheckpointError, Sb3Model
from ppo.checkpoint.sb3_zip import MAX_DATA_BYTES, open_members, read_zip, write_zip
from ppo.checkpoint.stored_zip import StoredZip
from ppo.checkpoint.tensor_archive import load_tensors
from ppo.program.one_line_parser import OneLineParser
from ppo.program.standard_output import printing

_CRITICS = {
    "lstm": "an LSTM of its own",
    "shared": "the actor's LSTM",
    "linear": "one linear layer",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, 2 where a file cannot be read or written."""
    parser = OneLineParser(
        prog="python -m ppo.checkpoint",
        description="Look into a Stable-Baselines3 checkpoint without running it.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    inspect = commands.add_parser("inspect", help="describe a checkpoint, and tell whether it is safe to load")
    inspect.add_argument("file", type=Path)
    export = commands.add_parser("export", help="write a plain Stable-Baselines3 checkpoint, without our own additions")
    export.add_argument("source", metavar="in", type=Path)
    export.add_argument("target", metavar="out", type=Path, help="a file that does not exist yet")
    export.add_argument(
        "--without-optimizer", action="store_true", help="a third of the size; training starts Adam anew"
    )
    options = parser.parse_args(arguments)
    try:
        if options.command == "export":
            export_zip(options.source, options.target, without_optimizer=options.without_optimizer)
            return 0
        description = describe(options.file)
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"cannot write {options.target}: {error.strerror or error}; choose another folder", file=sys.stderr)
        return 2
    print(description)
    return 0


def export_zip(source: Path, target: Path, *, without_optimizer: bool) -> None:
    """Write `source` to the new file `target` without facts and state of our own, on request without moments.

    Raises:
        CheckpointError: `source` cannot be read, or `target` exists.
        OSError: `target` cannot be written.
    """
    model = replace(read_zip(source), own_facts=None, own_state=None)
    if target.exists():
        raise CheckpointError(f"cannot write {target}: it exists; choose a new name or remove it first")
    if without_optimizer and model.optimizer is not None:
        model = replace(model, optimizer={**model.optimizer, "state": {}})
    write_zip(target, model)


def describe(path: Path) -> str:
    """Return a description of the checkpoint `path` for people; raises CheckpointError where it cannot be read."""
    model = read_zip(path)
    with open_members(path) as members:
        findings = pickle_findings(members, model)
    if all(finding.startswith("inert") for finding in findings.values()):
        safety = "safe to load with Stable-Baselines3: every pickle is inert"
    else:
        safety = (
            "not proven safe to load with Stable-Baselines3, which would run the pickles marked NOT PROVEN; "
            "genuine files of Stable-Baselines3 look like this too, so load it only if you trust its source"
        )
    return "\n".join(
        [
            str(path),
            *_section("Network", _network(model)),
            *_section("Training", _training(model)),
            *_section("Hyper-parameters (- : off, or not told)", model.hyperparameters),
            *_section("Pickles (small programs that Stable-Baselines3 runs at load; nothing was run here)", findings),
            *_section("Members", {name: f"{size:,} bytes" for name, size in members.sizes.items()}),
            "",
            f"Conclusion: {safety}.",
        ]
    )


def pickle_findings(members: StoredZip, model: Sb3Model) -> dict[str, str]:
    """Tell of every pickle in the zip whether it is inert; nothing is executed."""
    findings = {}
    expected = {key: dumps(value) for key, value in pickled_values(model).items()}
    for key, entry in parse_json(members.read("data", MAX_DATA_BYTES)).items():
        if isinstance(entry, dict) and PICKLE_KEY in entry:
            findings[f"data: {key}"] = _finding(entry[PICKLE_KEY], expected.get(key))
    for name in members.sizes:
        if name.endswith((".pth", ".pt")):
            try:
                load_tensors(members.read(name))
                findings[name] = "inert: tensors only"
            except ValueError as error:
                findings[name] = f"NOT PROVEN: {error}"
    return findings


def _finding(serialized: object, expected: bytes | None) -> str:
    """Judge one base64 pickle; `expected` is what the plain facts beside it, of which it holds only numbers, become."""
    try:
        pickle = base64.b64decode(str(serialized), validate=True)
    except (binascii.Error, ValueError):
        return "NOT PROVEN: it is not base64"
    if pickle == expected:
        return "inert: it is what the plain text beside it is written as"
    problem = why_not_inert(pickle)
    if problem is not None:
        return f"NOT PROVEN: {problem}"
    if expected is not None:
        return "NOT PROVEN: it differs from the plain text beside it"
    return "inert: it names classes and numbers only"


def _network(model: Sb3Model) -> dict[str, object]:
    policy = model.policy
    bounds = zip(model.action_low, model.action_high, strict=True)
    in_front = f", through {_widths(policy.features)} in front of actor and critic" if policy.features else ""
    return {
        "observation": f"{model.observation_dim} numbers{in_front}",
        "action": f"{len(model.action_low)} numbers, within " + ", ".join(f"[{a:g}, {b:g}]" for a, b in bounds),
        "actor": f"LSTM of {policy.n_lstm_layers} x {policy.lstm_hidden_size}, then {_widths(policy.pi)}",
        "critic": f"{_CRITICS[policy.critic]}, then {_widths(policy.vf)}",
        "activation": policy.activation,
        "parameters": f"{sum(tensor.numel() for tensor in model.parameters.values()):,}",
    }


def _widths(widths: Sequence[int]) -> str:
    return "an MLP of " + ", ".join(map(str, widths)) if widths else "no MLP"


def _training(model: Sb3Model) -> dict[str, object]:
    state = model.optimizer["state"] if model.optimizer else {}
    return {
        "environment steps": f"{model.num_timesteps:,}",
        "epochs of optimisation": f"{model.n_updates:,}",
        "optimiser": f"Adam after {state[0]['step'].item():,.0f} steps" if state else "none; Adam starts anew",
        "our own facts": ", ".join(map(ascii, model.own_facts)) if model.own_facts else "none",
        "our own state": ", ".join(map(ascii, model.own_state)) if model.own_state else "none",
    }


def _section(title: str, rows: Mapping[str, Any]) -> list[str]:
    """Return the lines of a titled table; names from the file are shown in ASCII."""
    shown = [(ascii(name)[1:-1][:60], "-" if value is None else str(value)) for name, value in rows.items()]
    width = max((len(name) for name, _ in shown), default=0)
    return ["", title, *(f"  {name:<{width}}  {value}" for name, value in shown)]


def run() -> int:
    """The program."""
    with printing():
        return main()


if __name__ == "__main__":
    raise SystemExit(run())
