"""`lmms-fast show`: one sample, with its picture where the terminal can."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import pytest
from aiohttp import web
from PIL import Image

from lmms_fast import evaluate
from lmms_fast.cli.app import main
from tests.servers.stand_in import StandIn, completion


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, standard output and error."""
    with pytest.raises(SystemExit) as ended:
        main(["show", *words])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


@pytest.fixture
def run(tmp_path: Path, stand_in: StandIn) -> Path:
    """Two samples, answered with terminal commands."""
    stand_in.behave = lambda number, body: web.json_response(completion("\x1b]0;owned\x07 yes \x1b[2J"))
    return evaluate("smoke_yesno,smoke_count", endpoint=stand_in.url, limit=2, output_dir=tmp_path / "run").path


def test_text(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was asked and answered, what became of it; no command of the model reaches the terminal."""
    line = json.loads((run / "samples_smoke_yesno.jsonl").read_text().splitlines()[1])
    code, out, _ = shown(capsys, str(run), line["id"])
    assert code == 0
    assert out.startswith(f"smoke_yesno/{line['id']}#0\n\nuser:\n[picture ")
    assert "Answer yes or no." in out
    assert f"outcome: {line['outcome']}" in out
    assert "\x1b" not in out
    assert "\x07" not in out


def test_picture(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The stored picture, out of the data."""
    line = json.loads((run / "samples_smoke_count.jsonl").read_text().splitlines()[0])
    code, out, _ = shown(capsys, str(run), f"smoke_count/{line['id']}#0", "--pictures", "kitty")
    assert code == 0
    data = base64.b64decode("".join(re.findall(r"\x1b_G[^;]*;([^\x1b]*)\x1b\\", out)))
    assert min(Image.open(io.BytesIO(data)).size) > 1
    assert out.count("\x1b") == 2 * len(re.findall(r"\x1b_G", out))  # no others


def test_data_that_are_gone(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Why there is no picture, and all the rest."""
    line = json.loads((run / "samples_smoke_count.jsonl").read_text().splitlines()[0])
    changed = {**json.loads((run / "manifest.json").read_text())}
    changed["sessions"][-1]["spec"]["tasks"] = ["gone"]
    (run / "manifest.json").write_text(json.dumps(changed))
    code, out, _ = shown(capsys, str(run), f"smoke_count/{line['id']}#0", "--pictures", "sixel")
    assert code == 0
    assert "unknown task 'gone'" in out
    assert "outcome:" in out


def test_hooks_of_others_do_not_run(tmp_path: Path, stand_in: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    """A run directory may be someone else's; their code runs when its folder is named."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    (folder / "p.png").write_bytes(buffer.getvalue())
    (folder / "rows.jsonl").write_text(json.dumps({"id": "1", "a": "yes", "picture": "p.png"}) + "\n")
    code = f"import pathlib\n\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n\n\ndef prepare(doc):\n    return doc\n"
    (folder / "hooks.py").write_text(code)
    (folder / "mine.yaml").write_text(json.dumps({
        "task": "mine", "benchmark": "x", "about": "x", "source": "x", "licence": "x", "hooks": "hooks.py",
        "dataset": {"files": "rows.jsonl"}, "id": "{{ id }}",
        "prompt": {"user": [{"image": "picture"}, {"text": "?"}]}, "target": {"column": "a"},
        "score": {"extract": "text"},
    }))  # fmt: skip
    run = evaluate("mine", endpoint=stand_in.url, include_path=[folder], output_dir=tmp_path / "run").path
    (tmp_path / "ran").unlink()
    ended, out, _ = shown(capsys, str(run), "1", "--pictures", "kitty")
    assert ended == 0
    assert "made by hooks" in out
    assert not (tmp_path / "ran").exists()
    _, out, _ = shown(capsys, str(run), "1", "--pictures", "kitty", "--include-path", str(folder))
    assert "\x1b_G" in out
    assert (tmp_path / "ran").exists()


def test_names(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that is none, one that is several."""
    line = json.loads((run / "samples_smoke_count.jsonl").read_text().splitlines()[0])
    other = {**line, "repeat": 1}
    with (run / "samples_smoke_count.jsonl").open("a") as file:
        file.write(json.dumps(other) + "\n")
    assert "no sample is called" in shown(capsys, str(run), "nothing")[2]
    code, _, said = shown(capsys, str(run), line["id"])
    assert code == 1
    assert f"smoke_count/{line['id']}#0, smoke_count/{line['id']}#1" in said
