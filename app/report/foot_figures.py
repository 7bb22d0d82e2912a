"""The ways of the feet."""

from collections.abc import Sequence

from app.report.drawing import LEFT, RIGHT, Drawing, least_range, legend_above, panels, say, to_svg
from app.report.motion import label, steady
from biped.examination.recording import Recording

SHOWN_S = 3.0
"""s of each way: some strides."""
MOST = 4
"""Trials that are shown."""


def stepping(recordings: Sequence[Recording]) -> list[Recording]:
    """Up to `MOST` recordings of one command that ask to go somewhere, as unlike each other as there are."""
    going = [one for one in recordings if len(one.trial.commands) == 1 and not one.trial.on_the_spot]

    def direction(one: Recording) -> tuple[bool, ...]:
        forward, left, yaw_rate = one.trial.commands[0]
        return forward > 0.0, forward < 0.0, left != 0.0, yaw_rate != 0.0

    chosen: dict[tuple[bool, ...], Recording] = {}
    for one in sorted(going, key=lambda each: -each.trial.speed):
        chosen.setdefault(direction(one), one)
    first = list(chosen.values())[:MOST]
    return first + [one for one in going if not any(one is other for other in first)][: MOST - len(first)]


def foot_paths(recordings: Sequence[Recording]) -> Drawing:
    """Soles from the side and from above, one column per trial."""
    title = "Ways of the feet"
    shown = stepping(recordings) or list(recordings[:1])
    figure, axes = panels(2 * len(shown), len(shown), 1.75)
    for column, recording in enumerate(shown):
        side, above = axes[column], axes[len(shown) + column]
        part = steady(recording, SHOWN_S)
        feet = 100.0 * recording.foot_position[part]
        side.set_title(label(recording))
        if len(feet) < 2:
            say(side, "fell at once")
        for foot, (name, look) in enumerate((("right foot", RIGHT), ("left foot", LEFT))):
            side.plot(feet[:, foot, 0], feet[:, foot, 2], **look, label=name)
            above.plot(feet[:, foot, 0], feet[:, foot, 1], **look)
        side.set_ylim(bottom=min(0.0, side.get_ylim()[0]))
        for panel in (side, above):
            panel.set_xlabel("forward, cm")
        least_range(above, 10.0)
    axes[0].set_ylabel("height, cm")
    axes[len(shown)].set_ylabel("leftward, cm")
    legend_above(figure, axes[0])
    caption = (
        f"The centres of the soles, seen from the base, in {SHOWN_S:g} s of steady walking. First row: from the side; "
        "a foot on the ground moves along the bottom, a swinging one above it. Second row: from above. Axes have "
        "different scales."
    )
    return Drawing(title, caption, to_svg(figure, title))
