"""Statistics of observations that Stable-Baselines3 keeps in a file of their own, beside the checkpoint."""

import re
from pathlib import Path

from ppo.checkpoint.sb3_model import Sb3Model

_USUAL_NAMES = ("vecnormalize.pkl", "vec_normalize.pkl")


def warn_of_normalization(path: Path, model: Sb3Model) -> str | None:
    """One line where the checkpoint `path` was probably trained on observations that `VecNormalize` had normalised.

    The checkpoint itself does not tell. What is looked for is the file that `VecNormalize.save` makes, under the names
    that Stable-Baselines3, its callback and its documentation give it; it is a pickle and is never opened.
    """
    if model.own_facts is not None:
        return None
    name = _statistics_beside(path)
    if name is None:
        return None
    return (
        f"warning: {path}: beside it lies {name}, so it was probably trained on observations that VecNormalize had "
        "normalised; that file is not read, the policy gets observations as they are and may act badly"
    )


def _statistics_beside(path: Path) -> str | None:
    """`model_vecnormalize.pkl` and `model_vecnormalize_<steps>_steps.pkl` belong to one model, other names to all."""
    prefix = re.sub(r"_\d+_steps$", "", path.stem)
    steps = path.stem[len(prefix) :]
    own = [
        f"{stem}_{word}{end}.pkl"
        for word in ("vecnormalize", "vec_normalize")
        for stem, end in ((prefix, steps), (path.stem, ""), (prefix, ""))
    ]
    return next((name for name in (*own, *_USUAL_NAMES) if (path.parent / name).is_file()), None)
