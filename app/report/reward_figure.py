"""Which term of the reward pays how much."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from app.report.drawing import LEFT, RIGHT, WIDTH, Drawing, to_svg
from app.report.markup import signed
from biped.examination.recording import Recording


def mean_rates(recordings: Sequence[Recording]) -> NDArray[np.float64]:
    """`[trials, R]` mean reward per second of each term while each robot was up; NaN for one that fell at once."""
    empty = np.full(len(recordings[0].reward_names), np.nan)
    return np.stack([one.rewards.astype(np.float64).mean(axis=0) if len(one.rewards) else empty for one in recordings])


def decomposition(recordings: Sequence[Recording]) -> Drawing:
    """Bars of the terms, the mean and the range over the trials."""
    title = "What the reward is made of"
    names = recordings[0].reward_names
    rates = mean_rates(recordings)
    rates = rates[~np.isnan(rates).any(axis=1)]
    figure = Figure(figsize=(WIDTH, 0.8 + 0.2 * len(names)), layout="constrained")
    axes = figure.subplots()
    if len(rates):
        means, low, high = rates.mean(axis=0), rates.min(axis=0), rates.max(axis=0)
        order = np.argsort(-means, kind="stable")
        for row, term in enumerate(order.tolist()):
            mean = float(means[term])
            paid = mean >= 0.0
            look = RIGHT if paid else LEFT
            axes.barh(
                row,
                mean,
                height=0.62,
                facecolor="#f3c58c" if paid else "white",
                edgecolor=look["color"],
                hatch=None if paid else "//////",
                linewidth=0.7,
            )
            axes.plot([low[term], high[term]], [row, row], color="#1a1a1a", linewidth=0.9)
            axes.annotate(
                signed(mean, "+.3f"),
                (max(float(high[term]), mean, 0.0), row),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
            )
        axes.set_yticks(range(len(order)), [names[term].replace("_", " ") for term in order])
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.margins(x=0.12)
    axes.axvline(0.0, color="#555555", linewidth=0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("reward per second")
    caption = (
        "Mean over the recorded trials of what each term of the task's reward pays (filled) or costs (hatched); the "
        "line reaches from the trial with the least to the one with the most. Terms of weight 0 are left out."
    )
    return Drawing(title, caption, to_svg(figure, title))
