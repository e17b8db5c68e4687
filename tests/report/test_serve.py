"""Runs served on loopback: who may ask, and for what."""

from __future__ import annotations

import html
import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmms_fast.report.serve import application, runs_below
from tests.report.pages import line, make_run
from tests.servers.thread import served


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two runs, and what is none of anybody's business."""
    (tmp_path / "secret").write_text("secret")
    for name in ("one", "two"):
        make_run(tmp_path / "runs" / name, (line(number) for number in range(4)))
    return tmp_path / "runs"


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    """The server's address."""
    with application(folder, 1_000_000) as app, served(app) as found:
        yield found


def ask(url: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), dict(error.headers)


def test_index_and_report(url: str, folder: Path) -> None:
    """The runs by name; each one's page, made when it is asked for, and again when its results are newer."""
    assert "script-src 'sha256-" in html.unescape(ask(url)[1])
    runs = json.loads(ask(f"{url}/runs.json")[1])
    assert sorted(one["name"] for one in runs) == ["one", "two"]
    name = next(one["run"] for one in runs if one["name"] == "one")
    status, page, headers = ask(f"{url}/run/{name}/report.html")
    assert status == 200
    assert "a-model" in page
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers
    results = folder / "one" / "results.json"
    results.write_text(results.read_text().replace('"samples": 4', '"samples": 4321'))
    assert "4,321" in ask(f"{url}/run/{name}/report.html")[1]


def test_a_run_without_results_shows_how_far_it_is(url: str, folder: Path) -> None:
    """In place of a report."""
    (folder / "one" / "results.json").unlink()
    name = next(name for name, run in runs_below(folder).items() if run.name == "one")
    status, page, _ = ask(f"{url}/run/{name}/report.html")
    assert (status, "Latest answers" in page) == (200, True)
    assert json.loads(ask(f"{url}/run/{name}/progress.json")[1])["state"] == "complete"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "[::1]"])
def test_another_hosts_name_is_refused(url: str, host: str) -> None:
    """A page elsewhere that gave its name this address (DNS rebinding) learns nothing."""
    for path in ("/", "/runs.json", "/nothing"):
        status, text, _ = ask(url + path, Host=host)
        assert (status, text) == (421, "This is for this machine only.")
    assert ask(f"{url}/runs.json", Host=f"localhost:{url.rpartition(':')[2]}")[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/../secret", "/%2e%2e/secret", "/run/../secret", "/run/..%2f..%2fsecret/report.html", "/run/one/report.html",
     "/run/0123456789abcdef/report.html", "/run/0123456789abcdef/", "/run/0123456789abcdef/progress.json",
     "/run/{run}/../../secret", "/run/{run}/journal.jsonl", "/run/{run}/manifest.json", "/page/style.css"],
)  # fmt: skip
def test_nothing_else_can_be_read(url: str, folder: Path, path: str) -> None:
    """No part of an address is part of a path."""
    status, text, _ = ask(url + path.replace("{run}", next(iter(runs_below(folder)))))
    assert status == 404
    assert "secret" not in text


def test_the_command(folder: Path) -> None:
    """Says where, on loopback alone, and ends with Ctrl-C."""
    command = [sys.executable, "-m", "lmms_fast.cli.app", "view", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert found
        assert ask(found[0])[0] == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""
    done = subprocess.run([*command[:-1], str(folder / "nothing")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no such folder" in done.stderr
