"""The page in headless Chromium, by what it shows."""

import os

import pytest

from tests.deferred import deferred_imports
from tests.serving.monitor.page.conftest import scrape_of, watch, write_reference, write_traffic

with deferred_imports():
    from playwright.sync_api import expect

    from serving.web import packages

pytestmark = pytest.mark.slow

WIDTHS = {"laptop": (1300, 900), "phone": (390, 844)}


def read_tile(page, name):
    tile = page.locator(".tile", has=page.get_by_role("heading", name=name, exact=True))
    return tile.locator(".value").inner_text(), tile.locator(".note").inner_text()


def read_drift(page):
    rows = [row.inner_text().split("\n") for row in page.locator("#drift li").all()]
    return {cells[0]: cells[-1] for cells in rows}


def test_nothing_yet_is_no_data_everywhere(output, serve, open_page):
    page = open_page(serve(watch(output)))
    assert page.inner_text("#state") == "Live"
    for name in ("Accuracy", "Requests", "Failed", "Latency", "Memory", "Drift"):
        assert read_tile(page, name)[0] == "no data"
    assert "answers.jsonl: no client has logged an answer" in page.inner_text("#problems")
    for card in (
        "#chart-traffic",
        "#chart-accuracy",
        "#chart-latency",
        "#chart-memory",
        "#versions",
        "#mistakes",
        "#test",
    ):
        assert "no data" in page.inner_text(card)
    assert "atelier models reference 1" in page.inner_text("#drift")
    assert page.locator("canvas").count() == 0
    assert page.faults == []


@pytest.fixture
def busy(output, serve):
    """The address of a page with traffic, drifted images, memory and a worse canary."""
    write_reference(output, brightness=0.8)
    write_traffic(output)
    return serve(watch(output, memory=scrape_of(700, 800, 812)))


def test_numbers_of_traffic_test_drift_and_mistakes(busy, open_page):
    page = open_page(busy)
    accuracy, note = read_tile(page, "Accuracy")
    assert 65 < float(accuracy.removesuffix(" %")) < 85
    assert "600 answers with truth" in note
    assert read_tile(page, "Requests") == ("2.0 /s", "600, last 5 min")
    assert read_tile(page, "Failed")[0] == "0.0 %"
    assert read_tile(page, "Memory")[0] == "812 MB"
    assert read_tile(page, "Latency")[0].endswith(" ms")
    rows = page.locator("#versions tbody tr")
    assert [row.split("\t")[0].split() for row in rows.all_inner_texts()] == [["1", "stable"], ["2", "canary"]]
    assert page.inner_text(".verdict .chip") == "roll back"
    assert "the canary makes more errors" in page.inner_text(".reasons")
    states = read_drift(page)
    assert states == {
        "predictions": "steady",
        "brightness": "drift",
        "contrast": "steady",
        "sharpness": "steady",
        "size": "steady",
        "format": "steady",
        "features": "no data",
    }
    assert page.locator("#mistakes li").count() == 12
    assert page.locator("#mistakes img").count() > 6
    expect(page.locator("#mistakes img").first).to_have_js_property("complete", True)
    assert page.locator("#mistakes img").first.evaluate("each => each.naturalWidth") > 0
    assert "<b>yak</b>" in page.inner_text("#mistakes")  # a class's name is text, never markup
    assert page.locator("#mistakes b").count() == 0
    assert page.locator("canvas").count() == 5
    assert "1: " in page.get_attribute("#chart-traffic .chart", "aria-label")
    assert page.faults == []


def test_it_is_live(output, serve, open_page):
    write_traffic(output, 40)
    page = open_page(serve(watch(output)))
    assert read_tile(page, "Requests")[1] == "40, last 5 min"
    write_traffic(output, 20, start=40)
    expect(page.locator("#tiles")).to_contain_text("60, last 5 min")
    os.truncate(output / "answers.jsonl", 0)
    write_traffic(output, 10, start=100)
    expect(page.locator("#tiles")).to_contain_text("70, last 5 min")


def test_a_lost_connection_is_told(output, open_page):
    from tests.serving.monitor.page.conftest import Served

    running = Served(watch(output))
    page = open_page(running.address)
    running.stop()
    page.wait_for_selector("#state[data-state=lost]")
    assert "Connection lost" in page.inner_text("#state")


def test_the_keyboard_chooses_the_range(busy, open_page):
    page = open_page(busy)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "1 hour"
    page.keyboard.press("Enter")
    expect(page.locator("#tiles")).to_contain_text("last hour")
    assert page.get_attribute("#ranges button >> nth=1", "aria-pressed") == "true"
    assert page.evaluate("document.activeElement.textContent") == "1 hour"


def test_the_chart_tells_the_values_below_the_cursor(busy, open_page):
    page = open_page(busy)
    box = page.locator("#chart-latency .u-over").bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + box["height"] / 2)
    expect(page.locator("#chart-latency .legend b").first).to_have_text("no data")
    page.mouse.move(box["x"] + box["width"] - 12, box["y"] + box["height"] / 2)
    expect(page.locator("#chart-latency .legend b").first).to_contain_text(" ms")


def test_elsewhere_the_token_opens_the_page(output, serve, open_page):
    address = serve(watch(output), token="a-token")  # noqa: S106
    page = open_page(f"{address}?token=a-token")
    assert page.url == address  # the token is out of the address bar
    assert page.inner_text("#state") == "Live"
    assert page.faults == []


def test_nothing_is_loaded_from_elsewhere(busy, open_page):
    page = open_page(busy)
    assert len(page.requested) > 8
    assert [url for url in page.requested if not url.startswith(busy)] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_and_nothing_is_cut_off(busy, open_page, width, scheme):
    wide, high = WIDTHS[width]
    page = open_page(busy, viewport={"width": wide, "height": high}, color_scheme=scheme)
    page.wait_for_timeout(200)
    page.evaluate((packages.install("axe-core") / "axe.min.js").read_text())
    found = page.evaluate("axe.run()")
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= wide
    for box in page.locator(".card").all():
        assert box.evaluate("each => each.scrollWidth <= each.clientWidth + 1")
