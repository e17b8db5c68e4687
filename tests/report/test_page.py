"""A run's page as a file: all of it inside, within its size, and nothing in it that a model or a data set wrote as
HTML. What a browser makes of it is in test_browser.py."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lmms_fast import evaluate
from lmms_fast.errors import UsageError
from lmms_fast.report import browse
from lmms_fast.report.finished import open_run
from lmms_fast.report.html import PAGE, Written, write_page
from tests.report.pages import HOSTILE, hostile, line, make_run
from tests.servers.stand_in import StandIn

_TASK = """\
task: seen
benchmark: seen
about: Pictures.
source: tests
licence: none
dataset: {files: rows.jsonl}
id: "{{ number }}"
prompt: {user: [{image: image}, {text: "What is it?"}]}
target: "{{ number }}"
generation: {max_tokens: 8}
score: {extract: text}
"""


class Seen(HTMLParser):
    """Elements with their attributes, and blocks of data by id."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.blocks: dict[str, str] = {}
        self._block: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Of HTMLParser."""
        found = dict(attrs)
        self.tags.append((tag, found))
        self._block = found.get("id") if tag == "script" else None

    def handle_data(self, data: str) -> None:
        """Of HTMLParser."""
        if self._block:
            self.blocks[self._block] = self.blocks.get(self._block, "") + data.strip()

    def unpacked(self, name: str) -> Any:
        """A block's content."""
        return json.loads(gzip.decompress(base64.b64decode(self.blocks[name])))


def page_of(run: Path, **options: Any) -> tuple[Written, Seen, str]:
    """A run's page."""
    written = write_page(open_run(run), run / "report.html", **options)
    text = written.path.read_text(encoding="utf-8")
    return written, Seen(text), text


def test_all_samples_are_inside(tmp_path: Path) -> None:
    """The table has each, the chunks what it holds."""
    run = make_run(tmp_path / "run", (line(number) for number in range(200)))
    written, seen, _ = page_of(run)
    table = seen.unpacked("table")
    assert written.samples == table["n"] == 200
    assert table["rows"]["id"] == [f"id-{number}" for number in range(200)]
    assert {table["names"]["outcome"][one] for one in table["rows"]["outcome"]} == {"correct", "wrong", "no_answer"}
    assert table["groups"]["subject"]["names"] == [f"subject {number}" for number in range(5)]
    details = [one for number in range(4) for one in seen.unpacked(f"chunk-{number}")]
    assert details[65]["turns"][0]["parts"][0] == line(65)["messages"][0]["parts"][0]
    assert details[65]["response"]["text"] == line(65)["response"]["text"]


def test_nothing_remote_and_nothing_but_our_script(tmp_path: Path) -> None:
    """The policy names the digests of the one style and the one script; no element asks for anything."""
    _, seen, text = page_of(make_run(tmp_path / "run", [line(1)]))
    [policy] = [held["content"] for tag, held in seen.tags if held.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert len(scripts) == len(styles) == 1
    for kind, content in (("script", scripts[0]), ("style", styles[0])):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    wanted = {name: value for _, held in seen.tags for name, value in held.items() if name in ("src", "href", "action")}
    assert all((value or "").startswith(("#", "data:")) for value in wanted.values())
    assert not [name for _, held in seen.tags for name in held if name.startswith("on") or name == "style"]


def test_hostile_strings_are_text(tmp_path: Path) -> None:
    """None of them is an element, an attribute or the end of a block, wherever it stood."""
    evil = HOSTILE[1]
    lines = [hostile(number, text) for number, text in enumerate(HOSTILE)]
    session = {"started": evil, "command": [evil], "spec": {"endpoint": [evil], "include_path": [], "tasks": [evil]},
               "machine": evil, "stopped": evil, "versions": {evil: evil}, "data": {evil: evil}}  # fmt: skip
    run = make_run(tmp_path / "run", lines, identity={"model": evil}, sessions=[session])
    results = json.loads((run / "results.json").read_text())
    results["tasks"]["letters"] |= {"no_answer": {evil: 1}, "prompt_variant": evil, "drawn": {evil: 1}}
    results |= {"not_measured": {evil: 1}, "pictures_changed": {evil: 1}}
    (run / "results.json").write_text(json.dumps(results))
    _, seen, text = page_of(run)
    assert "hacked" in text
    for one in HOSTILE:
        assert "<" not in one or one not in text
    assert [tag for tag, _ in seen.tags if tag in ("img", "iframe", "object")] == []
    assert sum(tag == "script" for tag, _ in seen.tags) == 3  # ours, the table, a chunk
    assert not [name for _, held in seen.tags for name in held if name.startswith("on")]
    assert "\x00" not in text
    assert "\u202e" not in text
    held = json.dumps([seen.unpacked("chunk-0"), seen.unpacked("table")], ensure_ascii=False)
    assert not re.search("[\x00-\x08\x1b\x7f-\x9f\u202a-\u202e\u2066-\u2069]", held)
    assert "⟨U+202E⟩" in held
    assert "⟨U+0000⟩" in held


def test_long_texts_are_cut(tmp_path: Path) -> None:
    """A megabyte here and there makes no page of megabytes, and the page says what it left out."""
    long = "word " * 200_000
    one = line(1)
    one["response"]["text"] = one["response"]["reasoning"] = long
    one["messages"][0]["parts"] = [long]
    one["prediction"]["answer"], one["target"], one["groups"] = long, [long], {"subject": long}
    written, seen, _ = page_of(make_run(tmp_path / "run", [one] * 30))
    assert written.size < 500_000
    assert "980,000 more characters" in seen.unpacked("chunk-0")[0]["response"]["text"]


def test_a_page_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples beyond it keep their line in the table; beyond another, not even that; the page says both."""
    monkeypatch.setattr(browse, "_TEXT_BYTES", 1)
    monkeypatch.setattr(browse, "_ROWS", 150)
    written, seen, text = page_of(make_run(tmp_path / "run", (line(number) for number in range(200))))
    assert written.samples == 200
    assert seen.unpacked("table")["n"] == 150
    assert [len([one for one in seen.unpacked(f"chunk-{n}") if one]) for n in range(3)] == [64, 0, 0]
    assert "The texts of 86 samples found no room" in text
    assert "50 samples are not in the list" in text


@pytest.fixture
def pictured(tmp_path: Path, stand_in: StandIn) -> Path:
    """A run of the smoke task's pictures."""
    return evaluate("smoke_choice", stand_in.url, limit="12", output_dir=tmp_path / "run").path


def test_pictures_come_from_the_data(pictured: Path) -> None:
    """A thumbnail each, as WebP."""
    written, seen, text = page_of(pictured)
    assert (written.pictures, written.thumbnails, written.why) == (12, 12, ())
    small = [base64.b64decode(one) for one in seen.blocks["pictures-0"].split("\n")]
    assert all(one.startswith(b"RIFF") and one[8:12] == b"WEBP" for one in small)
    assert seen.unpacked("table")["rows"]["picture"] == list(range(12))
    assert "12 of 12 pictures are inside" in text


def test_pictures_keep_to_their_budget(pictured: Path) -> None:
    """The first have one, the others none, and the page says so; without a budget there are none."""
    written, seen, text = page_of(pictured, pictures=1_000)
    assert 0 < written.thumbnails < 12
    assert sum(map(len, seen.blocks["pictures-0"].split("\n"))) <= 1_000
    assert f"Room for {written.thumbnails} of 12 pictures" in text
    assert page_of(pictured, pictures=0)[0].why == ("The pictures were left out.",)


def own_task(folder: Path, stand_in: StandIn) -> Path:
    """A run of a task of one's own, with a picture beside its rows."""
    from PIL import Image

    (folder / "data").mkdir()
    Image.new("RGB", (40, 30), "red").save(folder / "data" / "red.png")
    (folder / "data" / "rows.jsonl").write_text("".join(
        f'{{"number": {number}, "image": "red.png"}}\n' for number in range(2)
    ))
    (folder / "data" / "seen.yaml").write_text(_TASK)
    return evaluate(str(folder / "data" / "seen.yaml"), stand_in.url, output_dir=folder / "run").path


def test_without_the_data_a_page_has_no_pictures(tmp_path: Path, stand_in: StandIn) -> None:
    """And says why. A picture that two samples share is there once."""
    run = own_task(tmp_path, stand_in)
    assert page_of(run)[0].thumbnails == 1
    (tmp_path / "data" / "rows.jsonl").unlink()
    written, _, text = page_of(run)
    assert written.thumbnails == 0
    assert "rows.jsonl" in written.why[0]
    assert "does not exist" in text
    (tmp_path / "data" / "seen.yaml").unlink()
    assert "seen.yaml" in page_of(run)[0].why[0]


def test_pictures_that_changed_are_left_out(tmp_path: Path, stand_in: StandIn) -> None:
    """What is shown is what was sent."""
    from PIL import Image

    run = own_task(tmp_path, stand_in)
    Image.new("RGB", (40, 30), "blue").save(tmp_path / "data" / "red.png")
    written, _, _ = page_of(run)
    assert written.thumbnails == 0
    assert "not those that were sent" in written.why[0]


def test_hooks_of_a_run_do_not_run_unasked(tmp_path: Path, stand_in: StandIn) -> None:
    """A run may be someone else's; a folder that is named is trusted."""
    run, data, ran = own_task(tmp_path, stand_in), tmp_path / "data", tmp_path / "ran"
    touch = f"import pathlib\npathlib.Path({str(ran)!r}).touch()\n"
    (data / "hooks.py").write_text(f"{touch}def prepare(doc): return doc\n")
    (data / "seen.yaml").write_text(_TASK + "hooks: hooks.py\n")
    assert "--include-path" in page_of(run)[0].why[0]
    assert not ran.exists()
    assert page_of(run, include=[data])[0].thumbnails == 1
    assert ran.exists()


def test_damaged_runs_are_one_sentence(tmp_path: Path) -> None:
    """Also one whose files lead elsewhere."""
    run = make_run(tmp_path / "run", [line(1)])
    with pytest.raises(UsageError, match="not as a run leaves it"):
        page_of(make_run(tmp_path / "odd", [{**line(1), "messages": 3}]))
    samples = run / "samples_letters.jsonl"
    samples.rename(tmp_path / "elsewhere.jsonl")
    samples.symlink_to(tmp_path / "elsewhere.jsonl")
    with pytest.raises(UsageError, match="leads out"):
        page_of(run)
    assert not (run / "report.html").exists()
    assert not list(run.glob("*.tmp"))


def test_the_command(tmp_path: Path) -> None:
    """Where the page is, what it holds; one sentence for what is wrong."""
    run = make_run(tmp_path / "run", (line(number) for number in range(5)))

    def said(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lmms_fast.cli.app", "report", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = said(str(run), "--out", str(tmp_path / "page.html"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path}/page.html: 5 samples, 0 of 0 pictures")
    for words, why in [((str(tmp_path),), "not a run directory"), ((str(run), "--pictures", "many"), "20MB"),
                       ((str(run), "--format", "pdf"), "--format pdf")]:  # fmt: skip
        done = said(*words)
        assert done.returncode == 1
        assert why in done.stderr
        assert "Traceback" not in done.stderr


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_can_be_told_apart() -> None:
    """WCAG 2.2: text 4.5 to 1, signs and edges of fields 3 to 1, on every ground that they stand on, light and dark."""
    style = (PAGE / "style.css").read_text()
    found = {name: (light, dark) for name, light, dark in
             re.findall(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\)", style)}  # fmt: skip
    outcomes = ("correct", "graded", "wrong", "no_answer", "not_measured", "not_judged", "withheld", "together")
    for theme in (0, 1):
        for ground in ("page", "card", "sunk", "chosen"):
            for name, least in [("ink", 4.5), ("dim", 4.5), ("accent", 4.5), ("edge", 3.0),
                                *((one, 3.0) for one in outcomes)]:  # fmt: skip
                contrast = _contrast(found[name][theme], found[ground][theme])
                assert contrast >= least, (name, ground, theme, contrast)
