"""What a log shows of a run beside its scalars: charts in groups, flags beside results, the configuration as text."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata  # type: ignore[import-untyped]
from tensorboard.compat.proto.tensor_pb2 import TensorProto  # type: ignore[import-untyped]
from tensorboard.compat.proto.types_pb2 import DT_STRING  # type: ignore[import-untyped]
from tensorboard.plugins.custom_scalar import metadata as custom_scalar
from tensorboard.plugins.custom_scalar.layout_pb2 import Category, Chart, Layout, MultilineChartContent
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.plugins.hparams.api_pb2 import (
    DATA_TYPE_FLOAT64,
    DATA_TYPE_STRING,
    Experiment,
    HParamInfo,
    MetricInfo,
    MetricName,
)
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo
from tensorboard.plugins.text import metadata as markdown


@dataclass(frozen=True)
class Dashboard:
    """How the scalars of a run are arranged."""

    charts: Mapping[str, Mapping[str, Sequence[str]]]
    """Regular expressions of the tags in a chart, by group and title."""
    results: Sequence[str]
    """Tags whose last values are the results of a run; their best ones count, too."""


def summaries(dashboard: Dashboard, config: Mapping[str, Any], document: Mapping[str, Any]) -> list[Summary]:
    """What TensorBoard reads once per run: for its tabs "custom scalars", "hparams" and "text".

    Args:
        dashboard: how scalars are arranged.
        config: flags, in sections of sections.
        document: what is shown as text.
    """
    layout = Layout(
        category=[
            Category(
                title=group,
                chart=[Chart(title=title, multiline=MultilineChartContent(tag=tags)) for title, tags in charts.items()],
            )
            for group, charts in dashboard.charts.items()
        ]
    )
    values = dict(flags(config))
    experiment = Experiment(
        hparam_infos=[
            HParamInfo(name=name, type=DATA_TYPE_STRING if isinstance(value, str) else DATA_TYPE_FLOAT64)
            for name, value in values.items()
        ],
        # Their values are those of the run's scalars.
        metric_infos=[MetricInfo(name=MetricName(tag=tag)) for tag in dashboard.results],
    )
    start = SessionStartInfo(start_time_secs=time.time())
    for name, value in values.items():
        setattr(start.hparams[name], "string_value" if isinstance(value, str) else "number_value", value)
    # Four blanks make it code in Markdown.
    text = "".join(f"    {line}\n" for line in yaml.safe_dump(dict(document), sort_keys=False).splitlines())
    plugin_data = {
        hparams.EXPERIMENT_TAG: HParamsPluginData(experiment=experiment),
        hparams.SESSION_START_INFO_TAG: HParamsPluginData(session_start_info=start),
    }
    return [
        _summary(custom_scalar.CONFIG_SUMMARY_TAG, custom_scalar.create_summary_metadata(), layout.SerializeToString()),
        _summary("configuration", markdown.create_summary_metadata("configuration", ""), text.encode()),
        *(_summary(tag, hparams.create_summary_metadata(data)) for tag, data in plugin_data.items()),
    ]


def _summary(tag: str, metadata: SummaryMetadata, content: bytes | None = None) -> Summary:
    tensor = hparams.NULL_TENSOR if content is None else TensorProto(dtype=DT_STRING, string_val=[content])
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])


def flags(config: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, float | str]]:
    """Every flag by its full name; numbers stay numbers, and all else is text."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from flags(value, f"{section}{name}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{section}{name}", value
        else:
            yield f"{section}{name}", " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
