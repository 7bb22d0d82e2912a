"""What `--config` names: a YAML of flags, such as the `config.yaml` of a run, that the other flags start from."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from app.command_line import explain
from app.experiment import Experiment, read_plain, to_plain, with_present_names
from configs.presets import PRESETS

OF_ONE_RUN = ("config", "continue_training", "load_model", "seeds")
"""Flags that say what a run began with; another run does not take them over."""


def read_configuration(path: Path) -> Experiment:
    """The experiment of a file: its flags, laid over the preset that it names or over `default`.

    Args:
        path: of a YAML whose flags are at the top or in the section `experiment`, those of the parts in sections:
            `ppo: {learning_rate: 0.001}`.

    Raises:
        ValueError: the file cannot be read, or holds an unknown flag or a bad value.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    except (UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    given = data.get("experiment", data) if isinstance(data, Mapping) else data
    try:
        if not isinstance(given, Mapping):
            raise ValueError("flags are written as `num_envs: 256`")
        began = [name for name in OF_ONE_RUN if name in given]
        if began and given is data:
            raise ValueError(f"{began[0]} belongs on the command line, as it says what one run begins with")
        given = {name: value for name, value in with_present_names(given).items() if name not in OF_ONE_RUN}
        preset = str(given.get("preset", "default"))
        if preset not in PRESETS:
            raise ValueError(f"there is no preset {preset!r}; choose one of {', '.join(PRESETS)}")
        experiment = read_plain(_laid_over(to_plain(PRESETS[preset]), given))
        return experiment.with_schedule("adaptive") if experiment.adaptive_lr else experiment
    except ValueError as error:
        raise ValueError(f"{path}: {explain(Experiment, error)}") from None


def _laid_over(base: Mapping[str, Any], given: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """`base` with the values that are given in the place of its own."""
    result = dict(base)
    for key, value in given.items():
        name, path = str(key).replace("-", "_"), f"{section}{key}"
        if name not in base:
            raise ValueError(f"{path} is no flag; train.py --help lists them")
        before = base[name]
        if isinstance(before, Mapping):
            if not isinstance(value, Mapping):
                raise ValueError(f"{path} is a section, with flags of its own below it")
            result[name] = _laid_over(before, value, f"{path}.")
        elif isinstance(before, list) and not isinstance(value, list):
            raise ValueError(f"{path} is a list, such as {before}")
        else:
            result[name] = _number(value) if isinstance(before, float) else value
    return result


def _number(value: object) -> object:
    """A value as a float where it is one: YAML reads 1 as a whole number, and 1e-3 as text."""
    if isinstance(value, (int, str)) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):
            return float(value)
    return value
