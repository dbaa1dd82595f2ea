"""The files of serving/deploy/monitoring: what can be said of them without running them for long."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from serving.deploy.monitoring import dashboards

ROOT = Path(__file__).resolve().parents[3]
MONITORING = ROOT / "serving/deploy/monitoring"
PAGE = (ROOT / "docs/how-to/monitor.md").read_text()


def read(name):
    return yaml.safe_load((MONITORING / name).read_text())


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load((MONITORING.parent / "compose.yaml").read_text())["services"]


def rules(kind):
    return [rule for group in read("alerts.yml")["groups"] for rule in group["rules"] if kind in rule]


@pytest.mark.parametrize(
    "command",
    [
        ("promtool", "check", "config", "prometheus.yml"),
        ("promtool", "check", "rules", "alerts.yml"),
        ("promtool", "test", "rules", str(Path(__file__).with_name("alerts_test.yml"))),
        ("amtool", "check-config", "alertmanager.yml"),
    ],
    ids=lambda command: " ".join(command[:3]),
)
def test_the_tools_of_prometheus_find_no_fault(command):
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed (apt install prometheus prometheus-alertmanager)")
    done = subprocess.run(command, cwd=MONITORING, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboards_are_those_of_the_source():
    """Made again by `python -m serving.deploy.monitoring.dashboards`."""
    there = {file.name: file.read_text() for file in dashboards.FOLDER.iterdir()}
    assert there == dashboards.build_all()


def test_every_panel_asks_the_source_that_is_provisioned():
    (source,) = read("grafana/provisioning/datasources/prometheus.yml")["datasources"]
    for text in dashboards.build_all().values():
        made = json.loads(text)
        panels = [each for each in made["panels"] if each["type"] != "row"]
        asked = {target["datasource"]["uid"] for panel in panels for target in panel["targets"]}
        assert asked == {source["uid"]}
        ids = [each["id"] for each in made["panels"]]
        assert len(set(ids)) == len(ids) > len(panels) > 5


def test_panels_and_alerts_ask_for_metrics_that_there_are():
    """Metrics of ours are in the documentation's table, which another test compares with the code; or are recorded."""
    known = set(re.findall(r"`(atelier_\w+)`", PAGE)) | {
        name.replace("*", side) for name in re.findall(r"`(atelier_\*\w+)`", PAGE) for side in ("client", "server")
    }
    known |= {rule["record"] for rule in rules("record")}
    expressions = [rule["expr"] for rule in rules("expr")]
    expressions += [
        query
        for rows in (dashboards.SERVING, dashboards.MODEL)
        for graphs in rows.values()
        for graph in graphs
        for query, _ in graph.queries
    ]
    asked = {name for each in expressions for name in re.findall(r"\batelier[_:][\w:]+", each)}
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in asked} <= known
    assert len(asked) > 20


def test_every_alert_is_explained_by_the_page():
    table = PAGE.split("## Alerts")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert listed == [rule["alert"] for rule in rules("alert")]
    for rule in rules("alert"):
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"].endswith(".")


def test_prometheus_scrapes_where_the_servers_publish(services):
    scrapes = {each["job_name"]: each for each in read("prometheus.yml")["scrape_configs"]}
    (entry,) = read("targets/model-server.yml")
    (published,) = [each for each in services["model-server"]["ports"] if each.endswith(":8501")]
    assert [published] == [f"{target}:8501" for target in entry["targets"]]
    config = (MONITORING.parent / "monitoring.config").read_text()
    assert f'path: "{scrapes["model-server"]["metrics_path"]}"' in config
    for target in [each for entry in read("targets/atelier.yml") for each in entry["targets"]]:
        assert re.search(rf"\b{target.split(':')[1]}\b", PAGE), target


def test_compose_starts_what_the_files_name(services):
    watching = {name: each for name, each in services.items() if each.get("profiles") == ["monitoring"]}
    assert set(watching) == {"prometheus", "alertmanager", "grafana"} == set(services) - {"model-server"}
    for name, service in watching.items():
        image, _, tag = service["image"].partition(":")
        assert (name in image, re.fullmatch(r"v?\d+\.\d+\.\d+", tag) is not None) == (True, True)
        assert service["network_mode"] == "host"
        assert service["cap_drop"] == ["ALL"]
        assert service["mem_limit"]
        for volume in service["volumes"]:
            if volume["type"] == "bind":
                assert (MONITORING.parent / volume["source"]).is_dir()
                assert volume["read_only"]
    for name, port in (("prometheus", 9090), ("alertmanager", 9093)):
        assert f"--web.listen-address=127.0.0.1:{port}" in watching[name]["command"]
    assert watching["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    (source,) = read("grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["url"] == "http://127.0.0.1:9090"
    (manager,) = read("prometheus.yml")["alerting"]["alertmanagers"]
    assert manager["static_configs"] == [{"targets": ["127.0.0.1:9093"]}]
    (provider,) = read("grafana/provisioning/dashboards/atelier.yml")["providers"]
    assert provider["options"]["path"] in [each["target"] for each in watching["grafana"]["volumes"]]


def test_the_pod_monitor_scrapes_the_pods_of_kubernetes_yaml_under_the_names_of_the_alerts():
    monitor = yaml.safe_load((MONITORING / "pod_monitor.yaml").read_text())
    documents = yaml.safe_load_all((MONITORING.parent / "kubernetes.yaml").read_text())
    (pod,) = [each["spec"]["template"] for each in documents if each["kind"] == "Deployment"]
    (container,) = pod["spec"]["containers"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert monitor["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    annotations = pod["metadata"]["annotations"]
    assert ports[endpoint["port"]] == annotations["prometheus.io/port"]
    assert endpoint["path"] == annotations["prometheus.io/path"]
    added = {each["targetLabel"]: each["replacement"] for each in endpoint["relabelings"]}
    scrapes = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    (targets,) = yaml.safe_load((MONITORING / "targets/model-server.yml").read_text())
    assert added == {"job": scrapes["scrape_configs"][0]["job_name"], **targets["labels"]}
    assert endpoint["interval"] == scrapes["global"]["scrape_interval"]
