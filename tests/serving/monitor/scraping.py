"""What an endpoint for Prometheus says."""

import urllib.request

from prometheus_client.parser import text_string_to_metric_families


def scrape(url):
    """All samples, as {name: {labels: value}}; labels that are empty are left out, as Prometheus does."""
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310  # of loopback
        assert response.headers["Content-Type"].startswith("text/plain")
        text = response.read().decode()
    found: dict[str, dict] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            labels = tuple(sorted((name, value) for name, value in sample.labels.items() if value))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def labeled(**labels):
    """The labels of a sample; `class_` is `class`."""
    return tuple(sorted((name.rstrip("_"), value) for name, value in labels.items()))
