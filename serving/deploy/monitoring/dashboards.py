"""Writes Grafana's dashboards, which are defined here.

    python -m serving.deploy.monitoring.dashboards

Needs grafana-foundation-sdk, which is installed for development.
"""

import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueGraphMode, LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

FOLDER = Path(__file__).parent / "grafana" / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="atelier-prometheus")
"""The uid stands in provisioning/datasources/prometheus.yml, too."""
_MODEL, _MODEL_NAME, _CALLS = 'model=~"$model"', 'model_name=~"$model"', 'model=~"$model", method=~"Predict|Classify"'
_FAILED = f'{_MODEL}, code!~"OK|CANCELLED"'
_REQUESTS, _LATENCY = "atelier_client_requests_total", "atelier_client_request_duration_seconds"
_SERVED, _QUEUE = "atelier_server_request_duration_seconds", "atelier_server_queue_duration_seconds"
_PREDICTIONS, _CONFIDENCE = "atelier_client_predictions_total", "atelier_client_confidence_ratio"
_TF_REQUESTS, _TF_LATENCY = ":tensorflow:serving:request_count", ":tensorflow:serving:request_latency"
_TF_QUEUE = ":tensorflow:serving:batching_session:queuing_latency"
_WIDTH, _HEIGHT, _STAT_HEIGHT = 8, 7, 4


@dataclass(frozen=True)
class Graph:
    """One panel.

    Attributes:
      title: its heading.
      queries: (PromQL, legend) of each line.
      unit: Grafana's name of it.
      about: what it shows, where the title does not say it all.
      is_stat: one number instead of lines over time.
    """

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    about: str = ""
    is_stat: bool = False


def _build_rate(metric: str, selector: str = _MODEL, by: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{selector}}}[$__rate_interval]))"


def _build_quantile(share: float, metric: str, selector: str, by: str = "") -> str:
    return f"histogram_quantile({share}, {_build_rate(f'{metric}_bucket', selector, f'{by}le')})"


def _build_mean(metric: str) -> str:
    return f"{_build_rate(f'{metric}_sum', by='model')} / {_build_rate(f'{metric}_count', by='model')}"


SERVING = {
    "Now": [
        Graph("Servers up", [('sum(up{role="server"})', "")], is_stat=True),
        Graph("Calls", [(_build_rate(_REQUESTS), "")], "reqps", is_stat=True),
        Graph(
            "Failed calls",
            [(f"({_build_rate(_REQUESTS, _FAILED)} or vector(0)) / {_build_rate(_REQUESTS)}", "")],
            "percentunit",
            is_stat=True,
        ),
        Graph("Slowest 1 % of the calls", [(_build_quantile(0.99, _LATENCY, _CALLS), "")], "s", is_stat=True),
        Graph("Alerts", [('count(ALERTS{alertstate="firing"}) or vector(0)', "")], is_stat=True),
    ],
    "Traffic": [
        Graph(
            "Calls by version",
            [(_build_rate(_REQUESTS, f'{_MODEL}, version!=""', "model, version"), "{{model}} {{version}}")],
            "reqps",
            "From the clients: TensorFlow Serving does not tell which version answered.",
        ),
        Graph("Calls by arm", [(_build_rate(_REQUESTS, f'{_MODEL}, arm!=""', "arm"), "{{arm}}")], "reqps"),
        Graph("Failed calls by code", [(_build_rate(_REQUESTS, f'{_MODEL}, code!="OK"', "code"), "{{code}}")], "reqps"),
    ],
    "Latency": [
        Graph(
            "At the client",
            [(_build_quantile(share, _LATENCY, _CALLS), f"{share:.0%}") for share in (0.5, 0.95, 0.99)],
            "s",
            "Retries and the network are in it.",
        ),
        Graph("95 % by version", [(_build_quantile(0.95, _LATENCY, _CALLS, "version, "), "{{version}}")], "s"),
        Graph(
            "In the local server",
            [
                (_build_quantile(0.95, _SERVED, _CALLS), "95 % of the calls"),
                (_build_quantile(0.95, _QUEUE, _MODEL), "95 % of the queue"),
            ],
            "s",
        ),
    ],
    "Batches and memory": [
        Graph(
            "Images in a batch, on average",
            [
                (_build_mean("atelier_client_batch_images"), "call of {{model}}"),
                (_build_mean("atelier_server_batch_images"), "run of {{model}}"),
            ],
        ),
        Graph("Resident memory", [("atelier:resident_memory:bytes", "{{role}} {{instance}}")], "bytes"),
        Graph("CPU", [("rate(process_cpu_seconds_total[$__rate_interval])", "{{role}} {{instance}}")], "percentunit"),
    ],
    "Versions": [
        Graph(
            "Versions in the local server",
            [(f"atelier_server_version_state{{{_MODEL}}}", "{{model}} {{version}}: {{state}}")],
        ),
        Graph(
            "Labels in the local server",
            [(f"atelier_server_version_label{{{_MODEL}}}", "{{model}} {{version}}: {{label}}")],
        ),
        Graph(
            "Versions in the servers that the guard knows",
            [("atelier_ab_server_version_state", "{{target}} {{version}}: {{state}}")],
        ),
    ],
    "TensorFlow Serving": [
        Graph(
            "Calls by status",
            [(_build_rate(_TF_REQUESTS, _MODEL_NAME, "model_name, status"), "{{model_name}} {{status}}")],
            "reqps",
        ),
        Graph(
            "99 % of the calls",
            [(f"{_build_quantile(0.99, _TF_LATENCY, _MODEL_NAME, 'model_name, ')} / 1e6", "{{model_name}}")],
            "s",
            "Of calls that succeeded.",
        ),
        Graph("99 % of the queue", [(f"{_build_quantile(0.99, _TF_QUEUE, '')} / 1e6", "queue")], "s"),
    ],
}

MODEL = {
    "Answers": [
        Graph(
            "Predicted classes",
            [(f"{_build_rate(_PREDICTIONS, by='class')} / scalar({_build_rate(_PREDICTIONS)})", "{{class}}")],
            "percentunit",
        ),
        Graph(
            "Confidence",
            [
                (_build_quantile(share, _CONFIDENCE, _MODEL, "version, "), f"{{{{version}}}}: {share:.0%} are below")
                for share in (0.1, 0.5)
            ],
            "percentunit",
            "Probability of the predicted class.",
        ),
        Graph(
            "Answers of NaN or infinity",
            [(_build_rate("atelier_client_unusable_answers_total", by="version"), "{{version}}")],
            "cps",
        ),
    ],
    "Accuracy and drift": [
        Graph(
            "Accuracy",
            [("atelier_accuracy_ratio", "{{version}} {{arm}}")],
            "percentunit",
            "Of the last 1,000 answers whose truth came in.",
        ),
        Graph(
            "Drift of the predicted classes",
            [("atelier_prediction_drift", "effect size"), ("atelier_prediction_drift_limit", "limit")],
        ),
        Graph(
            "Drift of the images, in limits",
            [("atelier_input_drift / atelier_input_drift_limit", "{{feature}}")],
            about="Above 1 it matters.",
        ),
    ],
    "A/B test": [
        Graph("Verdict", [("atelier_ab_verdict == 1", "{{verdict}}")]),
        Graph("E-value of the errors", [("atelier_ab_e_value", "E-value")], about="25 decides, at an alpha of 0.05."),
        Graph("Errors", [("atelier_ab_errors / atelier_ab_requests", "{{arm}} {{version}}")], "percentunit"),
    ],
}


def build(title: str, uid: str, rows: dict[str, list[Graph]]) -> str:
    """Returns a dashboard as JSON."""
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["atelier"])
        .readonly()
        .refresh("30s")
        .time("now-3h", "now")
        .with_variable(
            dashboard.QueryVariable("model")
            .label("Model")
            .datasource(SOURCE)
            .query("label_values(atelier:requests:rate5m, model)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".*")
        )
    )
    ids = itertools.count(1)
    for name, graphs in rows.items():
        made = made.with_row(dashboard.Row(name).id(next(ids)))
        for graph in graphs:
            made = made.with_panel(_build_panel(graph).id(next(ids)))
    return json.dumps(made.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _build_panel(graph: Graph) -> stat.Panel | timeseries.Panel:
    panel: stat.Panel | timeseries.Panel
    if graph.is_stat:
        panel = stat.Panel().graph_mode(BigValueGraphMode.AREA).height(_STAT_HEIGHT).span(24 // 5)
    else:
        legend = (
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
        )
        panel = timeseries.Panel().legend(legend).height(_HEIGHT).span(_WIDTH)
    panel = panel.title(graph.title).description(graph.about).unit(graph.unit).min(0).datasource(SOURCE)
    for number, (expression, legend_format) in enumerate(graph.queries):
        query = prometheus.Dataquery().expr(expression).legend_format(legend_format).ref_id(chr(ord("A") + number))
        panel = panel.with_target(query.datasource(SOURCE))
    return panel


def build_all() -> dict[str, str]:
    """Returns the dashboards by the names of their files."""
    return {
        "serving.json": build("Atelier: serving", "atelier-serving", SERVING),
        "model.json": build("Atelier: model", "atelier-model", MODEL),
    }


if __name__ == "__main__":
    for file, text in build_all().items():
        (FOLDER / file).write_text(text)
        sys.stdout.write(f"{FOLDER / file}\n")
