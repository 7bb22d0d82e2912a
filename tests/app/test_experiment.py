"""An experiment as plain values: what was stored under older names is read, and nothing else that does not fit."""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from app.experiment import OLD_NAMES, from_plain, to_plain
from configs.presets import CPU, PRESETS
from ppo.checkpoint.sb3_zip import read_zip
from tests.app.older_policy import OLDER_POLICY


def older(plain: Mapping[str, Any]) -> dict[str, Any]:
    """A stored configuration in which every field has the name that it had once."""
    result: dict[str, Any] = yaml.safe_load(yaml.safe_dump(plain))
    for path, present in OLD_NAMES.items():
        *sections, old = path.split(".")
        place = result
        for section in sections:
            place = place[section]
        place[old] = place.pop(present)
    return result


def test_a_configuration_under_old_names_is_read() -> None:
    for preset in PRESETS.values():
        assert from_plain(older(to_plain(preset))) == preset


def test_an_older_policy_is_read() -> None:
    facts = read_zip(OLDER_POLICY).own_facts
    assert facts is not None
    rewards = facts["config"]["env"]["rewards"]
    assert rewards["fall"] == 0.0
    assert "large_tilt" not in rewards
    experiment = from_plain(facts["config"])
    assert (experiment.env.rewards.large_tilt, experiment.env.rewards.large_tilt_limit_deg) == (0.0, 25.0)


def test_old_and_new_name_side_by_side_are_refused() -> None:
    plain = to_plain(CPU)
    plain["env"]["rewards"]["fall"] = -1.0
    with pytest.raises(ValueError, match="fall"):
        from_plain(plain)


@pytest.mark.parametrize("stored", [[1], {"env": 3}, {"env": {"rewards": [1]}}, {"env": {"rewards": {"fall": "x"}}}])
def test_what_is_read_under_an_old_name_is_checked(stored: Any) -> None:  # noqa: ANN401
    with pytest.raises(ValueError, match="does not fit this version"):
        from_plain(stored)
