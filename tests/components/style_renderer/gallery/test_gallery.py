"""The page: every rendering in its cell, everything escaped, nothing fetched from elsewhere."""

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from PIL import Image

from components.style_renderer.batch.dead_letters import DeadLetter
from components.style_renderer.engine.settings import Settings
from tests.components.style_renderer import fake_engine
from tests.deferred import deferred_imports

with deferred_imports():
    from components.style_renderer.batch import manifest, units
    from components.style_renderer.gallery import gallery

EVIL = "</script><script>alert('x')</script>\"'&"


class Parsed(HTMLParser):
    """Start tags with their attributes, and the text of each element by tag."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self._open = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open.append(tag)

    def handle_endtag(self, tag):
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data):
        self.texts.append((self._open[-1] if self._open else "", data))

    def find_tags(self, tag, class_=None):
        return [
            attributes
            for name, attributes in self.tags
            if name == tag and (class_ is None or class_ in (attributes.get("class") or "").split())
        ]

    def read_texts(self, tag):
        return [data.strip() for name, data in self.texts if name == tag and data.strip()]


@pytest.fixture
def build_page(tmp_path):
    """A page of contents, styles and strengths; without the units whose position in the plan is in `without`."""

    def build(contents=("a.png", "b.png"), strengths=(), without=(), dead=(), width=32, styles=None):
        styles = styles or [fake_engine.make_style(tmp_path, *pair) for pair in (("red", "#f00"), ("blue", "#00f"))]
        shown = [units.Content(name, f"{number:064x}", 20, 32) for number, name in enumerate(contents)]
        recipes = units.make_variants([(style, Settings()) for style in styles], strengths)
        lines = []
        for number, unit in enumerate(units.plan_units(shown, recipes, "jpeg", units.Method(code="1"))):
            file = f"pictures/{unit.stem}.jpg"
            facts = manifest.Facts(
                unit.key, file, "jpeg", 20, width, {"total": 1234.5}, 7, 61.5, 0.25, {}, units.Method()
            )
            if number not in without:
                lines.append(manifest.make_line(unit.content, recipes[unit.variant], facts))
        columns = [gallery.Column(style, Image.new("RGB", (64, 64))) for style in styles]
        return gallery.Page(lines, shown, columns, dead, 512)

    return build


def read_cells(parsed):
    return [
        (int(cell["data-row"]), int(cell["data-column"]), json.loads(cell["data-renderings"]))
        for cell in parsed.find_tags("a", "cell")
    ]


def test_contents_go_down_and_styles_across_with_originals_at_the_edges(build_page):
    built = build_page()
    parsed = Parsed(gallery.render(built))
    found = {(row, column): renderings[0]["file"] for row, column, renderings in read_cells(parsed)}
    assert list(found) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert list(found.values()) == [line["file"] for line in built.lines]
    sources = [image.get("src") for image in parsed.find_tags("img")]
    assert sources[:2] == [f"styles/{c.style.id}--{c.style.sha256[:12]}.jpg" for c in built.styles]
    assert sources[2] == "originals/a--000000000000.jpg"
    assert len(parsed.find_tags("div", "row")) == 2
    assert all(image.get("loading") == "lazy" for image in parsed.find_tags("img")[:8])


def test_a_large_rendering_is_shown_by_its_thumbnail_and_opened_in_full(build_page):
    parsed = Parsed(gallery.render(build_page(width=513)))
    (_, _, (rendering,)), *_ = read_cells(parsed)
    assert rendering["file"].startswith("pictures/a--red--")
    assert rendering["thumbnail"] == "thumbnails/" + rendering["file"]
    assert rendering["thumbnail"] in [image.get("src") for image in parsed.find_tags("img")]
    assert parsed.find_tags("a", "cell")[0]["href"] == rendering["file"]


def test_hovering_tells_parameters_losses_and_seconds(build_page):
    parsed = Parsed(gallery.render(build_page()))
    tooltip = parsed.find_tags("a", "cell")[0]["title"].split("\n")
    expected = {"Strength: 1", "Scales: 128 → 256 → 512", "Iterations: 7 lbfgs", "Loss: total: 1234", "Size: 32 × 20"}
    assert expected | {"Time: 1 min 2 s", "Seam score: 0.25"} <= set(tooltip)


def test_several_strengths_share_a_cell_and_get_a_dial(build_page):
    text = gallery.render(build_page(strengths=(1.0, 0.25)))
    parsed = Parsed(text)
    assert [[each["strength"] for each in renderings] for _, _, renderings in read_cells(parsed)] == [[0.25, 1.0]] * 4
    assert parsed.find_tags("a", "cell")[0]["href"].endswith(".jpg")
    assert "--s1--" in parsed.find_tags("a", "cell")[0]["href"]
    assert len(parsed.find_tags("label", "dial")) == 2
    assert not Parsed(gallery.render(build_page())).find_tags("label", "dial")


def test_what_could_not_be_rendered_keeps_its_place_and_is_listed(build_page):
    dead = (DeadLetter("b.png", "NanError", "not finite", "red", 1.0), DeadLetter("c.png", "truncated", "too short"))
    parsed = Parsed(gallery.render(build_page(without=(2,), dead=dead)))
    assert [(row, column) for row, column, _ in read_cells(parsed)] == [(0, 0), (0, 1), (1, 1)]
    assert len(parsed.find_tags("div", "missing")) == 1
    assert "NanError" in parsed.read_texts("span")
    rows = parsed.read_texts("td")
    assert rows == ["b.png", "red", "NanError", "not finite", "c.png", "every style", "truncated", "too short"]


def test_everything_is_escaped(build_page, tmp_path):
    style = fake_engine.make_style(
        tmp_path, "red", "#f00", title=EVIL, artist=EVIL, licence=EVIL, source=EVIL, year=EVIL
    )
    dead = (DeadLetter(EVIL, EVIL, EVIL, EVIL, 1.0),)
    parsed = Parsed(gallery.render(build_page(contents=(EVIL,), styles=[style], dead=dead)))
    assert [attributes.get("type") for attributes in parsed.find_tags("script")] == ["application/json", None]
    assert all("alert('x')" not in text for text in parsed.read_texts("script")[1:])
    assert [name for tag, attributes in parsed.tags for name in attributes if name.startswith("on")] == []
    (data,) = [text for text in parsed.read_texts("script") if text.startswith("{")]
    assert json.loads(data)["styles"][0]["title"] == EVIL
    assert EVIL in parsed.read_texts("b")


@pytest.mark.parametrize(("source", "linked"), [("https://a.b/c?d=e&f", True), ("javascript:alert(1)", False)])
def test_only_web_addresses_become_links(build_page, tmp_path, source, linked):
    style = fake_engine.make_style(tmp_path, "red", "#f00", source=source)
    parsed = Parsed(gallery.render(build_page(styles=[style])))
    assert (source in [link.get("href") for link in parsed.find_tags("a")]) is linked


def test_nothing_is_fetched_but_the_images_beside_it(build_page):
    text = gallery.render(build_page(strengths=(0.5, 1.0)))
    parsed = Parsed(text)
    named = [attributes.get(name) for _, attributes in parsed.tags for name in ("src", "href")]
    assert all(
        re.fullmatch(r"(pictures|originals|styles|thumbnails)/[\w.-]+|manifest.jsonl|#\w+", n) for n in named if n
    )
    assert not re.search(r"url\(|@import|https?:", text)
    assert not parsed.find_tags("link")


def test_licences_are_credited(build_page):
    parsed = Parsed(gallery.render(build_page()))
    assert sum("CC0" in text for text in parsed.read_texts("span")) >= 2


def test_a_page_has_an_end(build_page, monkeypatch):
    monkeypatch.setattr(gallery, "MOST_ROWS", 1)
    parsed = Parsed(gallery.render(build_page()))
    assert len(parsed.find_tags("div", "row")) == 1
    assert parsed.read_texts("h1") == ["2 images in 2 styles"]
    assert any("The first 1 images are shown" in text for text in parsed.read_texts("p"))


def test_a_batch_of_nothing_but_dead_letters_is_a_page_too(build_page):
    dead = (DeadLetter("c.png", "truncated", "too short"),)
    assert Parsed(gallery.render(build_page(contents=(), dead=dead))).read_texts("td")[0] == "c.png"


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# Chromium gives no way to press keys here, so that the page presses them itself: a key does what it does by itself
# unless a handler has prevented it.
PRESS = """
<script>
addEventListener("load", () => {
  const $ = selector => document.querySelector(selector), told = {};
  const press = (selector, key) => {
    const target = $(selector);
    target.focus();
    const event = new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true});
    const up = new KeyboardEvent("keyup", {key, bubbles: true, cancelable: true});
    const kept = target.dispatchEvent(event);
    return target.dispatchEvent(up) && kept;
  };
  const shown = () => $(".side .of").textContent + $(".side h2").textContent;
  document.querySelector("a.cell").click();
  const first = shown();
  for (const name of ["close", "compare", "after"]) told[name] = press(`dialog .${name}`, " ");
  $("dialog .hold").focus();
  $("dialog .hold").dispatchEvent(new KeyboardEvent("keydown", {key: " ", bubbles: true, cancelable: true}));
  told.held = [$("dialog .frame").classList.contains("held")];
  press("dialog .hold", " ");
  told.held.push($("dialog .frame").classList.contains("held"));
  told.slider = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].map(key => press("dialog input[type=range]", key));
  told.same = shown() === first;
  told.dialogSpace = press("dialog", " ");
  told.buttonArrow = press("dialog .close", "ArrowRight");
  told.next = shown() !== first;
  const result = document.createElement("pre");
  result.id = "told";
  result.textContent = JSON.stringify(told);
  document.body.append(result);
});
</script>
"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_focused_control_in_the_dialog_has_its_own_keys(build_page, tmp_path):
    file = tmp_path / "gallery.html"
    file.write_text(
        gallery.render(build_page(strengths=(0.25, 0.5, 1.0))).replace("</body>", PRESS + "</body>"), encoding="utf-8"
    )
    command = [CHROMIUM or "", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += ["--no-first-run", f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000", "--dump-dom"]
    done = subprocess.run([*command, file.as_uri()], capture_output=True, text=True, check=True, timeout=100)
    found = re.search('<pre id="told">(.*)</pre>', done.stdout)
    assert found, done.stderr
    assert json.loads(html.unescape(found[1])) == {
        "close": True,
        "compare": True,
        "after": True,
        "held": [True, False],  # that button is one to be held down, as the space bar is elsewhere
        "slider": [True] * 4,
        "same": True,
        "dialogSpace": False,  # shows the original as long as it is pressed
        "buttonArrow": False,  # goes to the next rendering
        "next": True,
    }
