"""The live page in a real browser: what it shows, what it asks for, and what it survives."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from quantum_trader.serve.monitor.config import DEFAULTS
from quantum_trader.serve.monitor.records import Alert
from quantum_trader.serve.service.condensed import report_json

from .page_service import (
    MARKUP,
    NAN,
    NOTHING,
    Answers,
    empty_report,
    figures,
    health,
    latest,
    report,
    served,
    small_service,
)
from .services import SOON_S, own_port

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
# One browser for all of them.
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: install it or name it in CHROMIUM"),
    pytest.mark.xdist_group("browser"),
]

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 780}
EVERY_MS = 5_000
NOTE_QUESTIONS = """
window.open_questions = 0;
const ask = window.fetch;
const later = () => {  // as a task of its own: whatever waits for the answer runs before
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => { window.open_questions -= 1; };
  port2.postMessage(null);
};
window.fetch = async (...given) => {
  window.open_questions += 1;
  try {
    const answer = await ask(...given);
    const text = answer.text.bind(answer);
    answer.text = () => text().finally(later);
    return answer;
  } catch (error) {
    later();
    throw error;
  }
};
"""
"""Counts the page's questions that are not answered and drawn yet."""
SHOWN = "#content:not([hidden])"


@pytest.fixture(scope="module")
def tab() -> Iterator[Any]:
    """One tab for all tests: a new one each time would cost more than most of them."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        found = browser.new_context().new_page()
        found.set_default_timeout(SOON_S * 1_000)
        # The page's time stands still unless a test moves it: on a busy machine it would ask at any moment,
        # and less often.
        found.clock.install(time=0)
        found.clock.pause_at(1_000)
        found.add_init_script(NOTE_QUESTIONS)
        yield found
        browser.close()


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[str, Answers]]:
    answers = Answers()
    with served(small_service(answers)) as address:
        yield address, answers


@pytest.fixture
def port() -> Iterator[int]:
    with own_port() as found:
        yield found


@pytest.fixture
def answers(service: tuple[str, Answers]) -> Answers:
    """What the service says, fresh for every test."""
    found = service[1]
    for field in dataclasses.fields(Answers):
        setattr(found, field.name, getattr(Answers(), field.name))
    return found


@pytest.fixture
def opened(tab: Any, service: tuple[str, Answers], answers: Answers) -> Iterator[Callable[..., Any]]:
    """Opens the page; at the end nothing was asked elsewhere and nothing was complained of."""
    complaints: list[str] = []
    asked: list[str] = []
    listeners = {
        "pageerror": lambda error: complaints.append(str(error)),
        "console": lambda line: complaints.append(line.text),
        "request": lambda request: asked.append(request.url),
    }
    for event, listener in listeners.items():
        tab.on(event, listener)

    def open_page(address: str = service[0], wait: str = SHOWN, viewport: Any = DESK, **media: str) -> Any:
        tab.set_viewport_size(viewport)
        tab.emulate_media(**{"color_scheme": "light", "reduced_motion": "no-preference", **media})
        tab.goto(address)
        tab.wait_for_selector(wait, state="attached")
        settle(tab)
        return tab

    yield open_page
    tab.evaluate("sessionStorage.clear()")
    tab.goto("about:blank")
    for event, listener in listeners.items():
        tab.remove_listener(event, listener)
    # The browser's own note on a refusal or a silent service, which some tests cause.
    own = "Failed to load resource"
    assert [line for line in complaints if not line.startswith(own)] == []
    assert {urlsplit(url).hostname for url in asked if url.startswith("http")} == {"127.0.0.1"}
    assert not [url for url in asked if "secret" in url]


def refresh(page: Any) -> None:
    """Let the page ask again and show what it got."""
    with page.expect_response("**/v1/health*"), page.expect_response("**/v1/monitor*"):
        page.clock.run_for(EVERY_MS + 200)
    settle(page)


def settle(page: Any) -> None:
    """Wait until all that the page has asked is answered and drawn."""
    page.wait_for_function("() => window.open_questions === 0")
    page.clock.run_for(50)  # what is left to the next frame


def marked(page: Any) -> list[dict[str, Any]]:
    """Every number of the answer on the page: where it stands there, its value and how it reads."""
    found: list[dict[str, Any]] = page.eval_on_selector_all(
        "[data-path]",
        """nodes => nodes.map((node) => ({path: node.dataset.path, text: node.tagName === "DATA" ?
        node.textContent : null, value: node.tagName === "DATA" ? node.value : node.dataset.value,
        unit: node.closest("table, dl, p")?.id ?? ""}))""",
    )
    return found


def at_path(plain: Any, path: str) -> Any:
    """The value at "latest.3.confidence"; keys may hold dots themselves."""
    if not path:
        return plain
    if isinstance(plain, list):
        head, _, rest = path.partition(".")
        return at_path(plain[int(head)], rest)
    key = max((key for key in plain if path == key or path.startswith(f"{key}.")), key=len)
    return at_path(plain[key], path[len(key) + 1 :])


def numbers(plain: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number of an answer with its path."""
    if isinstance(plain, dict):
        for key, item in plain.items():
            yield from numbers(item, f"{path}.{key}" if path else key)
    elif isinstance(plain, list):
        for index, item in enumerate(plain):
            yield from numbers(item, f"{path}.{index}" if path else str(index))
    elif isinstance(plain, (int, float)) and not isinstance(plain, bool):
        yield path, plain


def test_every_figure_is_the_answer_s(opened: Callable[..., Any], answers: Answers) -> None:
    """Each number shown is the one in the JSON to the digits shown, and none of the report is missing."""
    found = marked(opened())
    plain = answers.monitor
    for item in found:
        value = at_path(plain, item["path"])
        if value is None:
            assert item["value"] == ""
            assert item["text"] in (None, "–", "no interval yet")
            continue
        assert float(item["value"]) == value, item
        if item["text"] is not None:
            assert_reads_as(item["text"], value, item["path"], also_hundredfold="%" in item["text"])
    shown = {item["path"] for item in found}
    not_figures = r"(_ms|\.level|\.calibration\.\d+\.(low|high)|_left_out)$|^normal\."
    assert {path for path, _ in numbers(plain) if not re.search(not_figures, path)} <= shown


def assert_reads_as(text: str, value: float, path: str, *, also_hundredfold: bool) -> None:
    (written,) = re.findall(r"[−+]?[\d,]+(?:\.\d+)?", text)
    digits = len(written.partition(".")[2])
    read = float(written.replace(",", "").replace("−", "-"))
    # The lower end of an interval shares the percent sign of the upper.
    wanted = [value * 100] if also_hundredfold else [value, value * 100] if path.endswith(".low") else [value]
    assert any(abs(read - each) <= 0.5 * 10**-digits + 1e-9 for each in wanted), (text, value, path)


def test_marks_stand_where_their_numbers_are(opened: Callable[..., Any], answers: Answers) -> None:
    """Bars are as long as their values, and dots lie on one straight scale from left to right."""
    page = opened()
    heights = {
        item["path"]: (item["value"], item["size"])
        for item in page.eval_on_selector_all(
            "#histogram-chart rect, #attention-chart rect, #importance-chart rect",
            """nodes => nodes.map((node) => ({path: node.dataset.path, value: Number(node.dataset.value),
            size: Number(node.getAttribute(node.closest("#importance-chart") ? "width" : "height"))}))""",
        )
    }
    assert len(heights) == 10 + 60 + 14
    for chart in ("confidence_histogram", "explanation.attention", "explanation.importances"):
        marks = [mark for path, mark in heights.items() if path.startswith(chart)]
        top_value, top_size = max(marks)
        for value, size in marks:
            assert size == pytest.approx(top_size * value / top_value, abs=0.02)
    dots = page.eval_on_selector_all(
        "#win-chart [data-path]",
        """nodes => nodes.map((node) => { const box = node.getBBox();
        return [Number(node.dataset.value), box.x + box.width / 2]; })""",
    )
    assert len(dots) == 4
    (low, left), (high, right) = min(dots), max(dots)
    for value, x in dots:
        assert x == pytest.approx(left + (value - low) / (high - low) * (right - left), abs=0.05)


def test_text_of_others_stays_text(opened: Callable[..., Any], answers: Answers) -> None:
    """Markup in a symbol, reason, warning, alert, source, hash or error is shown and never run."""
    row = latest(0, symbol=MARKUP, reason=MARKUP, source=MARKUP, warnings=(MARKUP,))
    answers.report = report(
        latest=(row,),
        alerts=(Alert(name=MARKUP, level=MARKUP, message=MARKUP),),
        by_source={MARKUP: 1},
        by_reason={MARKUP: 1},
        model_hashes={MARKUP: 1},
    )
    sick = dataclasses.replace(health().members[0], name=MARKUP, last_error=MARKUP)
    answers.health = health(problems=(MARKUP,), members=(sick,), stale=(MARKUP,), model_hash=MARKUP)
    page = opened()
    refresh(page)
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    assert page.locator("body script").count() == 0
    assert page.locator(".decisions th.symbol").inner_text().startswith(MARKUP)
    for place in ("#alerts", "#sources", "#reasons", "#models", "#members", "#problems", "#health-facts"):
        assert MARKUP in page.locator(place).inner_text(), place
    answers.failing = (503, MARKUP)
    refresh(page)
    assert MARKUP in page.locator("#banner").inner_text()
    assert page.evaluate("window.hacked") is None


def test_the_key_is_asked_for_once(opened: Callable[..., Any], answers: Answers) -> None:
    """A wrong key is said to be wrong, the right one opens the page, lasts a reload, and can be forgotten."""
    answers.key = "secret-of-the-service"
    page = opened(wait="#key-form:not([hidden])")
    assert page.locator("main").is_hidden()
    assert page.evaluate("document.activeElement.id") == "key"
    assert page.get_attribute("#key", "type") == "password"
    for wrong in ("secret-but-wrong", "secret of spaces", "schlüssel"):
        page.fill("#key", wrong)
        page.keyboard.press("Enter")
        page.wait_for_function("() => document.getElementById('key-fault').textContent !== ''")
    page.fill("#key", answers.key)
    page.keyboard.press("Enter")
    page.wait_for_selector(SHOWN)
    assert page.locator("#key-form").is_hidden()
    page.reload()
    page.wait_for_selector(SHOWN)
    kept = page.evaluate("[sessionStorage.length, localStorage.length, document.cookie, location.href]")
    assert kept[:3] == [1, 0, ""]
    assert "secret" not in kept[3]
    assert answers.key not in page.content()
    page.click("#forget")
    page.wait_for_selector("#key-form:not([hidden])")
    assert page.evaluate("sessionStorage.length") == 0


def test_a_key_that_is_changed_is_asked_for_again(opened: Callable[..., Any], answers: Answers) -> None:
    """When the service's key changes under an open page, the figures go and the form comes."""
    page = opened()
    answers.key = "secret-new"
    refresh(page)
    page.wait_for_selector("#key-form:not([hidden])")
    assert page.locator("main").is_hidden()
    asked = len(answers.asked)
    page.clock.run_for(4 * EVERY_MS)
    assert len(answers.asked) == asked


def test_the_last_figures_stay_while_the_service_is_away(opened: Callable[..., Any], port: int) -> None:
    """The page says since when nobody answers, keeps what it knew, and goes on by itself."""
    own = Answers()
    with served(small_service(own), port=port) as address:
        page = opened(address)
        before = page.locator("#tiles").inner_text()
    page.clock.run_for(EVERY_MS + 200)
    page.wait_for_selector("#banner:not([hidden])")
    words = page.inner_text("#banner-words")
    assert re.fullmatch(r"Not reachable since [\d:]{8} UTC\. What you see is from 12:00:05 UTC\.", words)
    assert page.title().startswith("Not reachable")
    assert page.locator("#tiles").inner_text() == before
    own.report = report(arbiter=figures(trades=999))
    with served(small_service(own), port=port):
        page.click("#again")
        page.wait_for_selector("#banner", state="hidden")
        assert "999" in page.locator("#tiles").inner_text()
        assert page.title() == "(2) quantum-trader"


def test_a_refusal_is_told_and_not_hammered(opened: Callable[..., Any], answers: Answers) -> None:
    """A service that loads its models says so on the page, and what it knows is shown when it does."""
    answers.failing = (503, "The models are being loaded.")
    page = opened(wait="#banner:not([hidden])")
    assert "The models are being loaded." in page.inner_text("#banner")
    assert page.inner_text("#updated") == "No figures so far."
    assert page.locator("#content").is_hidden()
    answers.failing = None
    refresh(page)
    page.wait_for_selector(SHOWN)
    assert page.locator("#banner").is_hidden()


@pytest.mark.parametrize("strange", [{}, {"alerts": [], "latest": [{}]}])
def test_an_answer_of_another_kind_is_told(
    opened: Callable[..., Any], answers: Answers, strange: Any
) -> None:
    """A service of another version leaves no dead page: it says so, and goes on once it understands."""
    answers.raw = strange
    page = opened(wait="#banner:not([hidden])")
    assert "does not understand" in page.inner_text("#banner")
    answers.raw = None
    refresh(page)
    page.wait_for_selector("#banner", state="hidden")
    assert page.locator("#win-chart svg").count() == 1


def test_a_fresh_journal_is_explained(opened: Callable[..., Any], answers: Answers) -> None:
    """Nothing decided yet: words instead of empty charts, no undefined, no NaN; then the first decision."""
    answers.report = empty_report()
    answers.health = health(status="ok", problems=(), stale=(), drift=(), decisions={})
    page = opened()
    text = page.locator("body").inner_text()
    assert "No decision in the last 24 hours." in text
    assert "One appears here as soon as a bot sends a closed bar" in text
    assert not re.search(r"undefined|NaN|null|Infinity|\[object", text)
    assert page.locator("#measured").is_hidden()
    answers.report = report(
        symbols=1, shadow=None, difference=None, arbiter=figures(trades=3, win_rate=NOTHING, break_even=NAN)
    )
    refresh(page)
    page.wait_for_selector("#measured:not([hidden])")
    text = page.locator("body").inner_text()
    assert "too few to tell skill from luck" in text
    assert "XGBoost was not asked" in text
    assert not re.search(r"undefined|NaN|null|Infinity|\[object", text)


# Ages are text that runs with the clock; whatever else is touched is noted.
WATCH = """() => {
window.touched = [];
const note = ({ target }) => target.parentElement?.closest(".age") || window.touched.push(target.textContent);
new MutationObserver((changes) => changes.forEach(note)).observe(document.querySelector("main"),
  { childList: true, subtree: true, attributes: true, characterData: true });
}"""


def test_two_hundred_symbols_cost_little(opened: Callable[..., Any], answers: Answers) -> None:
    """An unchanged answer changes nothing on the page, one new decision touches one row only."""
    answers.report = report(symbols=200)
    page = opened()
    rows = page.locator("#decisions-body tr")
    assert rows.count() == 200
    assert page.evaluate("document.querySelectorAll('*').length") < 8_000
    page.evaluate(WATCH)
    refresh(page)
    assert page.evaluate("window.touched") == []
    answers.report = report(
        symbols=200,
        latest=tuple(
            dataclasses.replace(row, reason="another", decided_ms=row.decided_ms + 1) if index == 7 else row
            for index, row in enumerate(answers.report.latest)
        ),
    )
    refresh(page)
    page.locator("#decisions-body tr.fresh").wait_for()
    assert "C007USDT" in page.locator("#decisions-body tr.fresh").inner_text()
    touched = page.evaluate("window.touched")
    assert 0 < len(touched) < 20
    assert not [text for text in touched if "C006USDT" in text]


def test_more_symbols_than_anyone_reads(opened: Callable[..., Any], answers: Answers) -> None:
    """Of 2,000 symbols the 1,000 with the newest decisions are asked for, 500 of these drawn and the others
    said to exist; the filter finds those that were asked for."""
    answers.report = report(symbols=2_000)
    name = report_json(answers.report, DEFAULTS, latest=1_000)["latest"][-1]["symbol"]
    page = opened()
    assert page.locator("#decisions-body tr").count() == 500
    assert page.inner_text("#filter-count") == (
        "1,000\u00a0symbols, the first 500 shown; 1,000 more with older decisions left out"
    )
    page.fill("#filter-words", name)
    assert page.locator("#decisions-body tr").all_inner_texts()[0].startswith(name)
    assert page.locator("#decisions-body tr").count() == 1


def test_the_table_sorts_and_filters(opened: Callable[..., Any], answers: Answers) -> None:
    """By every column both ways, by words in any column, by signal; the state survives a refresh."""
    answers.report = report(symbols=30)
    page = opened()
    rows = page.locator("#decisions-body tr:visible")

    def column(name: str) -> list[str]:
        texts: list[str] = page.locator(f"#decisions-body tr:visible .{name}:not(span)").all_inner_texts()
        return texts

    assert [text[1:].strip() for text in column("action")] == ["BUY"] * 10 + ["SELL"] * 10 + ["HOLD"] * 10
    page.click("[data-column=confidence]")
    stated = [float(text.rstrip("\u00a0 %")) for text in column("confidence")]
    assert stated == sorted(stated, reverse=True)
    assert page.locator("th[aria-sort=descending]").inner_text().strip() == "Confidence"
    page.focus("[data-column=confidence]")
    page.keyboard.press("Enter")
    stated = [float(text.rstrip("\u00a0 %")) for text in column("confidence")]
    assert stated == sorted(stated)
    page.click("[data-column=symbol]")
    assert column("symbol") == sorted(column("symbol"))
    page.fill("#filter-words", "drift c004")
    assert column("symbol") == ["C004USDT"]
    assert page.inner_text("#filter-count") == "1 of 30\u00a0symbols"
    refresh(page)
    assert rows.count() == 1
    page.fill("#filter-words", "")
    page.select_option("#filter-action", "SELL")
    assert rows.count() == 10
    page.select_option("#filter-action", "warning")
    assert column("symbol") == ["C004USDT", "C015USDT", "C026USDT"]


def test_the_range_is_what_is_asked_for(opened: Callable[..., Any], answers: Answers) -> None:
    """24 hours at first, then what is chosen; the address keeps the choice for a reload."""
    page = opened()
    assert "/v1/monitor?hours=24&latest=1000" in answers.asked
    with page.expect_response(lambda response: "hours=168&" in response.url):
        page.get_by_text("7 d", exact=True).click()
    with page.expect_response(lambda response: "/v1/monitor?latest" in response.url):
        page.get_by_text("All", exact=True).click()
    page.get_by_text("In everything in the journal").wait_for()
    answers.asked.clear()
    page.reload()
    page.wait_for_selector(SHOWN)
    assert "/v1/monitor?latest=1000" in answers.asked


def test_nobody_is_asked_where_nobody_looks(opened: Callable[..., Any], answers: Answers) -> None:
    """A hidden tab and a paused page are silent; shown again they ask at once."""
    page = opened()
    hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true}); %s"
    event = "document.dispatchEvent(new Event('visibilitychange'))"
    page.evaluate(hide % ("true", event))
    asked = len(answers.asked)
    page.clock.run_for(10 * EVERY_MS)
    assert len(answers.asked) == asked
    with page.expect_response(lambda response: "/v1/monitor" in response.url):
        page.evaluate(hide % ("false", event))
    settle(page)
    assert "asks every" in page.inner_text("#updated")
    page.click("#pause")
    asked = len(answers.asked)
    page.clock.run_for(10 * EVERY_MS)
    assert len(answers.asked) == asked
    assert "paused" in page.inner_text("#updated")
    with page.expect_response(lambda response: "/v1/monitor" in response.url):
        page.click("#pause")
    settle(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_can_be_read(opened: Callable[..., Any], answers: Answers, scheme: str) -> None:
    """At 360 pixels nothing but a table's own frame scrolls sideways, and every text has contrast 4.5."""
    long = "C" * 40 + "USDT"
    answers.report = report(latest=(latest(4, symbol=long, reason="r" * 90), latest(0), latest(2)))
    page = opened(viewport=PHONE, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    outside = page.evaluate(
        """width => [...document.querySelectorAll("main *")].filter((node) => {
        const box = node.getBoundingClientRect();
        return box.width && !node.closest(".scroll") && !node.closest(".unseen") && box.right > width + 0.5;
        }).map((node) => node.outerHTML.slice(0, 80))""",
        PHONE["width"],
    )
    assert outside == []
    assert page.evaluate("document.querySelector('.scroll').scrollWidth") <= PHONE["width"] - 32
    assert page.evaluate(POOR_CONTRAST) == []
    page.set_viewport_size(DESK)
    page.clock.run_for(100)
    page.wait_for_function(
        "() => document.querySelector('#win-chart svg').getBoundingClientRect().width > 400"
    )
    assert page.evaluate(POOR_CONTRAST) == []


POOR_CONTRAST = """() => {
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgba = (colour) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
const behind = (node) => {
  const colour = rgba(getComputedStyle(node).backgroundColor);
  return colour[3] > 250 ? colour : behind(node.parentElement);
};
const poor = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const words = walker.currentNode.textContent.trim();
  const node = walker.currentNode.parentElement;
  if (!words || !node.getClientRects().length || node.closest("title, option, .skip")) continue;
  const colour = getComputedStyle(node)[node.closest("svg") ? "fill" : "color"];
  const [dark, bright] = [light(rgba(colour)), light(behind(node))].sort((a, b) => a - b);
  const ratio = (bright + 0.05) / (dark + 0.05);
  if (ratio < 4.5) poor.push(`${words.slice(0, 40)}: ${ratio.toFixed(2)}`);
}
return poor;
}"""
"""WCAG 2 contrast of every text against the colour behind it; those below 4.5 are returned."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_documentation_fits_a_phone(
    opened: Callable[..., Any], service: tuple[str, Answers], scheme: str
) -> None:
    """/docs works under the same policy, scrolls one way only, and can be read in both schemes."""
    page = opened(f"{service[0]}/docs", wait="main", viewport=PHONE, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.locator("section.operation").count() == 3
    assert page.evaluate("getComputedStyle(document.querySelector('.method')).borderStyle") == "solid"
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate(POOR_CONTRAST) == []


def test_it_can_be_used_without_sight_colour_or_motion(opened: Callable[..., Any]) -> None:
    """Charts have names, controls have labels, headings follow, signals have words, nothing moves unasked."""
    page = opened(reduced_motion="reduce")
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.locator("svg[role=img]").count() == 6
    names = "nodes => nodes.map((node) => node.getAttribute('aria-label'))"
    assert min(map(len, page.eval_on_selector_all("svg", names))) > 30
    unnamed = "nodes => nodes.filter((n) => !(n.labels?.length || n.textContent.trim())).map((n) => n.id)"
    assert page.eval_on_selector_all("input, select, button", unnamed) == []
    levels = page.eval_on_selector_all("h1, h2, h3", "nodes => nodes.map((node) => node.tagName)")
    assert levels[0] == "H1"
    assert set(levels[1:]) == {"H2"}
    for action in ("BUY", "SELL", "HOLD"):
        assert page.locator(f"#decisions-body span.action:has-text('{action}')").count() == 3
    scrolling = "nodes => nodes.filter((n) => n.scrollWidth > n.clientWidth + 1 && n.tabIndex < 0).length"
    assert page.eval_on_selector_all(".scroll", scrolling) == 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.getAnimations().length") == 0


def test_words_follow_the_figures(opened: Callable[..., Any]) -> None:
    """A win rate is only called good or bad where its whole interval lies on one side of break-even."""
    page = opened()

    def label(**changes: Any) -> str:
        rate = {"estimate": 0.55, "low": 0.5, "high": 0.6}
        agent = {"trades": 200, "resolved": 300, "break_even": 0.52, "win_rate": rate, **changes}
        found: str = page.evaluate(
            "async (agent) => (await import('/static/words.js')).winRateVerdict(agent, 30).label", agent
        )
        return found

    assert label() == "undecided"
    assert label(break_even=0.49) == "above"
    assert label(break_even=0.61) == "below"
    assert label(break_even=None) == "no mark"
    assert label(trades=29, break_even=0.1) == "too few"
    assert label(trades=0) == label(resolved=0) == "too early"
    assert label(win_rate={"estimate": 0.5, "low": None, "high": None}) == "no interval"
    band = "async (share) => (await import('/static/words.js')).bandWord(share, [0.25, 0.35])"
    assert [page.evaluate(band, share) for share in (0.2499, 0.25, 0.35, 0.3501, None)] == [
        *("below", "within", "within", "above", "–")
    ]
