"""The `config.yaml` in the folder of a run: what it was told, and what program ran."""

import pickle
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from ppo.checkpoint.atomic import atomic_write
from ppo.checkpoint.run_folder import CLAIM
from ppo.report.provenance import describe_run


def write_configuration(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Write the resolved configuration as `config.yaml`, and as `cfgs.pkl` for tools that expect it.

    Returns:
        What `config.yaml` says.
    """
    document = {"experiment": config, "run": describe_run()}
    with atomic_write(folder / CLAIM) as file:
        file.write(yaml.safe_dump(document, sort_keys=False).encode())
    with atomic_write(folder / "cfgs.pkl") as file:
        pickle.dump(dict(config), file)
    return document


def read_configuration(folder: Path, part: str) -> dict[str, Any]:
    """One part of what `write_configuration` has written: `experiment` or `run`.

    Raises:
        ValueError: the folder holds no run, or its `config.yaml` cannot be read.
    """
    try:
        plain = yaml.safe_load((folder / CLAIM).read_text(encoding="utf-8"))[part]
    except FileNotFoundError:
        raise ValueError(f"{folder} holds no run: it has no {CLAIM}") from None
    except OSError as error:
        raise ValueError(f"{folder} cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, yaml.YAMLError):
        plain = None
    if not isinstance(plain, dict):
        raise ValueError(f"{folder} cannot be read: {CLAIM} is damaged")
    return plain


def stored_name(folder: Path) -> str | None:
    """The name that the run in this folder was started with; None where its `config.yaml` does not say."""
    name = None
    with suppress(ValueError):
        name = read_configuration(folder, "experiment").get("exp_name")
    return name if isinstance(name, str) else None


def training_run(folder: Path) -> dict[str, Any] | None:
    """What the folder of a run says about the program that trained; None where it says nothing of the kind."""
    with suppress(ValueError):
        run = read_configuration(folder, "run")
        return run if isinstance(run.get("packages"), dict) else None
    return None
