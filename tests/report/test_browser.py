"""Pages in a real browser: what a reader does with them, and that nothing in them runs that is not ours.

All runs are made before the browser starts, since its library keeps an event loop in this thread for as long.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmms_fast import evaluate
from lmms_fast.report.finished import open_run
from lmms_fast.report.html import write_page
from lmms_fast.report.serve import application
from tests.judging import work
from tests.report.browser import Browser, Page, started
from tests.report.pages import HOSTILE, hostile, line, make_run
from tests.servers.stand_in import StandIn
from tests.servers.thread import served

N = 300
FIRST_PAINT_MS = 1_000


def written(run: Path) -> str:
    """The address of a run's page."""
    return write_page(open_run(run), run / "report.html").path.as_uri()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs are."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def plain(folder: Path) -> str:
    """A page of some hundred samples of two tasks."""
    lines = [line(number, "letters" if number < 200 else "others") for number in range(N)]
    lines[7]["response"]["text"] = "A needle in the <think>thought of hay</think> stack."
    lines[8]["response"]["reasoning"] = "Step by step."
    return written(make_run(folder / "plain", lines))


@pytest.fixture(scope="module")
def evil(folder: Path) -> str:
    """A page of hostile strings."""
    lines = [hostile(number, text) for number, text in enumerate(HOSTILE)]
    lines.append(hostile(len(HOSTILE), "<b>" + "long " * 200_000))
    session = {"started": HOSTILE[1], "command": list(HOSTILE), "spec": {"include_path": [], "tasks": ["letters"]}}
    return written(make_run(folder / "evil", lines, identity={"model": HOSTILE[1]}, sessions=[session]))


@pytest.fixture(scope="module")
def big(folder: Path) -> str:
    """A page of ten thousand samples."""
    words = "It seems that the picture shows a shape to the left of another, and so the letter may be that. " * 4
    lines = (line(number, response={**line(number)["response"], "reasoning": words}) for number in range(10_000))
    return written(make_run(folder / "big", lines))


@pytest.fixture(scope="module")
def judged(folder: Path) -> str:
    """A page of a run with a judge."""
    with work.servers() as pair:
        return written(work.evaluate(work.write(folder / "essays", 6), pair, folder / "judged", judge_cache=False).path)


@pytest.fixture(scope="module")
def pictured(folder: Path) -> str:
    """A page of a run of the smoke tasks, with their pictures."""
    from aiohttp import web

    server = StandIn()
    app = web.Application(client_max_size=1 << 28)
    app.router.add_get("/v1/models", server.models)
    app.router.add_post("/v1/chat/completions", server.chat)
    with served(app) as server.url:
        return written(evaluate("smoke", server.url, limit="8", output_dir=folder / "pictured").path)


@pytest.fixture(scope="module")
def browser(plain: str, evil: str, big: str, judged: str, pictured: str) -> Iterator[Browser]:
    """Chromium; the runs come first."""
    with started() as found:
        yield found


def samples(page: Page) -> None:
    """Go to the list of samples."""
    page.tab.locator(".top nav a", has_text="Samples").click()
    page.tab.locator(".row").first.wait_for()


def clean(page: Page) -> None:
    """Nothing in its console, and nothing asked of any network."""
    assert page.trouble == []
    assert page.remote == []


def test_overview(browser: Browser, plain: str) -> None:
    """Scores, outcomes, categories; one heading, landmarks, a name for every field."""
    with browser.page(plain) as page:
        assert page.text("h1") == "a-model"
        assert "0.600" in page.text("#overview table")
        assert [page.tab.locator(name).count() for name in ("main", "nav", "h1")] == [1, 1, 1]
        page.waits_for("html[data-ready]", "")
        samples(page)
        for name in ("text", "task", "group", "outcome", "rule", "sort"):
            assert page.tab.locator(f"label:has(#{name})").inner_text().strip()
        clean(page)


def test_filters_and_order(browser: Browser, plain: str) -> None:
    """Each narrows the list, the count is told, all are in the address, and Clear undoes them."""
    with browser.page(plain) as page:
        samples(page)
        tab = page.tab
        page.waits_for("#count", f"{N} samples")
        assert tab.locator("#count").get_attribute("aria-live") == "polite"
        tab.select_option("#task", "others")
        page.waits_for("#count", "100 of 300 samples")
        tab.select_option("#outcome", "wrong")
        page.waits_for("#count", "30 of 300")
        tab.select_option("#group", "subject=subject 1")
        page.waits_for("#count", "7 of 300")
        tab.select_option("#rule", "letter: nothing")
        page.waits_for("#count", "0 of 300")
        page.waits_for("#detail", "No sample fits")
        tab.click("#clear")
        page.waits_for("#count", f"{N} samples")
        tab.fill("#text", "NEEDLE in the")
        page.waits_for("#count", "1 of 300")
        page.waits_for("#detail h2", "id-7")
        tab.fill("#text", "")
        page.waits_for("#count", f"{N} samples")
        tab.select_option("#sort", "longest")
        page.waits_for("#detail", "Question 7")
        tab.click(".row >> nth=0")
        assert "tokens" in page.text("#detail")
        assert "sort=longest" in tab.url
        tab.reload()
        page.waits_for("html[data-ready]", "")
        assert tab.input_value("#sort") == "longest"
        clean(page)


def test_a_number_leads_to_its_samples(browser: Browser, plain: str) -> None:
    """Categories, outcomes and rules of the overview are links into the list."""
    with browser.page(plain) as page:
        page.tab.locator(".bars a", has_text="subject 3").first.click()
        page.waits_for("#count", "40 of 300 samples")
        page.tab.go_back()
        page.tab.locator(".legend a", has_text="no answer").first.click()
        page.waits_for("#count", "20 of 300 samples")
        clean(page)


def test_keyboard(browser: Browser, plain: str) -> None:
    """j and k, arrows, page keys in the list, / for the search; the chosen line is told to screen readers."""
    with browser.page(plain) as page:
        samples(page)
        keys = page.tab.keyboard
        for key, number in [("j", 1), ("ArrowRight", 2), ("k", 1), ("ArrowDown", 2), ("End", 299), ("ArrowUp", 298),
                            ("Home", 0), ("k", 0)]:  # fmt: skip
            keys.press(key)
            page.waits_for("#detail h2", f"id-{number}")
            chosen = page.tab.locator("#list").get_attribute("aria-activedescendant")
            row = page.tab.locator(f"#{chosen}")
            assert row.get_attribute("aria-selected") == "true"
            assert row.get_attribute("aria-setsize") == str(N)
        keys.press("/")
        keys.type("needle")
        page.waits_for("#count", "1 of 300")
        assert page.tab.input_value("#text") == "needle"
        keys.press("Escape")
        assert page.tab.evaluate("document.activeElement.id") == "list"
        page.tab.click("#clear")
        page.waits_for("#count", f"{N} samples")
        page.tab.locator("#detail button", has_text="Next").click()
        page.waits_for("#detail h2", "id-8")
        assert page.text("#detail details summary").startswith("Reasoning")
        clean(page)


def test_reasoning_is_folded(browser: Browser, plain: str) -> None:
    """That of the server's field and that inside the text alike; what was answered is in sight."""
    with browser.page(f"{plain}#samples?at=letters%2Fid-7%230") as page:
        page.waits_for("#detail h2", "id-7")
        thought = page.tab.locator("#detail", has_text="thought of hay").locator("details .text").first
        assert not thought.is_visible()
        assert page.tab.locator("#detail .text", has_text="A needle in the").first.is_visible()
        page.tab.locator("#detail details summary").first.click()
        assert thought.is_visible()
        clean(page)


def test_hostile_strings_do_not_run(browser: Browser, evil: str) -> None:
    """Every sample looked at, every fold opened: nothing ran, nothing was asked for, and all of it is there to read."""
    with browser.page(evil) as page:
        samples(page)
        for number, text in enumerate(HOSTILE):
            page.waits_for("#detail h2", f"{number} ")
            for fold in page.tab.locator("#detail details > summary").all():
                fold.click()
            if text.isprintable() and len(text) < 100:
                assert text in page.tab.locator("#detail .text").last.inner_text()
            page.tab.keyboard.press("j")
        page.waits_for("#detail", "980,003 more characters")
        page.tab.fill("#text", "hacked")
        page.waits_for("#count", "5 of 14")
        assert page.tab.evaluate("window.hacked") is None
        assert page.tab.locator("#detail :is(img, svg, iframe, b)").count() == 0
        assert page.tab.locator("script:not([type])").count() == 1
        assert page.tab.title().startswith("</script>")
        assert page.tab.evaluate("getComputedStyle(document.body).display") == "block"
        clean(page)


def test_the_policy_stops_what_should_get_in_nevertheless(browser: Browser, plain: str) -> None:
    """Were something of it to become an element: no script, no handler, no picture from elsewhere, no request."""
    with browser.page(plain) as page:
        page.tab.evaluate("""() => {
            const made = document.createElement("div");
            made.innerHTML = "<img src=x onerror='window.hacked=1'><a href='javascript:window.hacked=2'>x</a>";
            document.body.append(made);
            const script = document.createElement("script");
            script.textContent = "window.hacked = 3";
            document.body.append(script);
            made.querySelector("a").click();
        }""")
        page.tab.wait_for_timeout(200)
        assert page.tab.evaluate("window.hacked") is None
        assert page.tab.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'stopped')") == "stopped"
        assert any("Content Security Policy" in one for one in page.trouble)
        assert page.remote == []


def test_ten_thousand_samples(browser: Browser, big: str) -> None:
    """On screen within a second, and few elements however many there are; search and scrolling answer."""
    paints = []
    for _ in range(3):
        with browser.page(big) as page:
            page.waits_for("html[data-ready]", "")
            paints.append(page.tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    assert min(paints) < FIRST_PAINT_MS, paints
    with browser.page(f"{big}#samples") as page:
        page.waits_for("#count", "10,000 samples")
        page.tab.locator("#list").focus()
        page.tab.keyboard.press("End")
        page.waits_for("#detail h2", "id-9999")
        assert page.tab.locator(".row").count() < 60
        page.tab.fill("#text", "Question 4321")
        page.waits_for("#count", "1 of 10,000")
        page.waits_for("#detail h2", "id-4321")
        clean(page)


def test_light_and_dark(browser: Browser, plain: str) -> None:
    """As the machine has it, and the other way at the press of a button, which is remembered."""

    def ground(page: Page) -> int:
        said = page.tab.evaluate("getComputedStyle(document.body).backgroundColor")
        return int(said.partition("(")[2].partition(",")[0])

    for theme in ("light", "dark"):
        with browser.page(plain, theme=theme) as page:
            assert (ground(page) > 128) == (theme == "light")
            page.tab.click("#theme")
            assert (ground(page) > 128) == (theme == "dark")
            page.tab.reload()
            assert (ground(page) > 128) == (theme == "dark")
            clean(page)


def test_on_a_phone(browser: Browser, plain: str, pictured: str) -> None:
    """Nothing is wider than the screen; a sample takes the place of the list, and gives it back."""
    for address in (plain, pictured):
        with browser.page(address, width=360, height=700) as page:
            width = "document.documentElement.scrollWidth"
            page.waits_for("html[data-ready]", "")
            assert page.tab.evaluate(width) <= 360
            samples(page)
            assert page.tab.evaluate(width) <= 360
            assert not page.tab.locator("#detail").is_visible()
            page.tab.locator(".row").nth(1).click()
            page.tab.locator("#detail").wait_for(state="visible")
            assert not page.tab.locator("#list").is_visible()
            assert page.tab.evaluate(width) <= 360
            page.tab.keyboard.press("Escape")
            page.tab.locator("#list").wait_for(state="visible")
            page.tab.locator(".row").nth(1).click()
            page.tab.click("#back")
            page.tab.locator("#list").wait_for(state="visible")
            clean(page)


def test_pictures(browser: Browser, pictured: str) -> None:
    """In the list as they come into sight, and in the prompt where they stood."""
    with browser.page(f"{pictured}#samples") as page:
        page.tab.locator(".row img").first.wait_for()
        assert page.tab.evaluate("document.querySelector('.row img').decode().then(() => true)")
        large = page.tab.locator("#detail .turn img").first
        assert large.get_attribute("alt") == "picture of the prompt"
        assert page.tab.evaluate("document.querySelector('#detail .turn img').naturalWidth") > 0
        clean(page)


def test_what_a_judge_said(browser: Browser, judged: str) -> None:
    """Who, by which rubric, and the reply."""
    with browser.page(judged) as page:
        assert "stand-in" in page.text("section[aria-labelledby=judges]")
        samples(page)
        page.waits_for("#detail", "Judge stand-in, rubric")
        clean(page)


def test_runs_in_a_folder(browser: Browser, folder: Path) -> None:
    """The index, a report, and a run without results; nothing asked of anyone but the server."""
    (folder / "big" / "results.json").rename(folder / "big" / "kept.json")
    with application(folder, 1_000_000) as app, served(app) as url, browser.page(url) as page:
        page.waits_for("#count", "5 runs")
        assert page.tab.locator("#runs tr").count() == 5
        page.tab.locator("#runs a", has_text="plain").click()
        page.waits_for("html[data-ready]", "")
        samples(page)
        page.waits_for("#count", f"{N} samples")
        page.tab.locator(".top a", has_text="All runs").click()
        page.tab.locator("#runs a", has_text="big").click()
        page.waits_for("#state", "complete")
        page.tab.goto(url)
        page.tab.locator("#runs a", has_text="evil").click()
        page.waits_for("html[data-ready]", "")
        assert page.tab.evaluate("window.hacked") is None
        assert page.trouble == []
        assert [one for one in page.remote if not one.startswith(url)] == []


_SLOW = """\
import sys, time
from aiohttp import web
from lmms_fast import evaluate
from tests.servers.stand_in import StandIn
from tests.servers.thread import served
server = StandIn()
server.delay_s = 0.15
app = web.Application(client_max_size=1 << 28)
app.router.add_get("/v1/models", server.models)
app.router.add_post("/v1/chat/completions", server.chat)
with served(app) as server.url:
    evaluate("smoke_count", server.url, concurrency=2, output_dir=sys.argv[1])
"""


def test_a_run_that_goes_on(browser: Browser, tmp_path: Path) -> None:
    """Its answers come into the page as they are made; in the end there is a report."""
    run = tmp_path / "runs" / "slow"
    (tmp_path / "runs").mkdir()
    with subprocess.Popen([sys.executable, "-c", _SLOW, str(run)]) as process, \
            application(run.parent, 1_000_000) as app, served(app) as url, browser.page(url) as page:  # fmt: skip
        try:
            page.waits_for("#runs", "going on")
            page.tab.locator("#runs a").click()
            page.waits_for("#state", "going on")
            page.waits_for("#tasks", "of 80")
            page.tab.locator("#latest tr").nth(3).wait_for(timeout=15_000)
            page.waits_for("#state", "complete")
            page.waits_for("#tasks", "80 of 80")
            page.tab.locator("#report").click()
            page.waits_for("html[data-ready]", "")
            assert page.trouble == []
        finally:
            process.terminate()
