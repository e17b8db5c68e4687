"""--image and odd pictures in whole runs: what a real HTTP server receives, and what the run says of it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lmms_fast import evaluate
from lmms_fast.cli.app import main
from lmms_fast.endpoints.wire import build
from lmms_fast.errors import UsageError
from lmms_fast.media.encode import digest
from lmms_fast.media.policy import parse_policy
from lmms_fast.report.result import RunResult
from lmms_fast.tasks.catalog import bundled_dir
from lmms_fast.types import Media, Message
from tests.media.files import HIDDEN, TURNED, WRITERS, corners, file, noise
from tests.servers.stand_in import StandIn

PICTURES = [
    file(corners(400, 300), "JPEG"), file(corners(40, 30), "PNG"), WRITERS["JPEG"](corners().transpose(TURNED[6]), 6),
    file(HIDDEN, "PNG"), file(noise(), "JPEG")[:5000],
]  # fmt: skip


@pytest.fixture
def task(tmp_path: Path) -> str:
    """A task of five pictures: two ordinary ones, one turned, one transparent, one cut off."""
    rows = pq.read_table(bundled_dir() / "smoke" / "smoke_count.parquet").slice(0, len(PICTURES)).to_pylist()
    for row, picture in zip(rows, PICTURES, strict=True):
        row["image"]["bytes"] = picture
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "smoke_count.parquet")
    for name in ("_smoke.yaml", "smoke_count.yaml"):
        (tmp_path / name).write_text((bundled_dir() / "smoke" / name).read_text())
    return str(tmp_path / "smoke_count.yaml")


def received(server: StandIn) -> Iterator[tuple[str, bytes]]:
    """Media type and bytes of every picture that arrived."""
    for body in server.asked:
        for part in body["messages"][0]["content"]:
            if part["type"] == "image_url":
                head, _, content = part["image_url"]["url"].partition(",")
                yield head.removeprefix("data:").removesuffix(";base64"), base64.b64decode(content)


def said(result: RunResult) -> dict[str, Any]:
    """results.json, the manifest's identity, and what the samples say of their pictures."""
    lines = [json.loads(line) for line in (result.path / "samples_smoke_count.jsonl").read_text().splitlines()]
    return {
        "results": json.loads((result.path / "results.json").read_text())["pictures_changed"],
        "identity": json.loads((result.path / "manifest.json").read_text())["identity"].get("image"),
        "samples": [line["messages"][0]["parts"][0] for line in lines],
    }


def test_without_the_flag(stand_in: StandIn, task: str, tmp_path: Path) -> None:
    """Ordinary pictures arrive byte for byte, odd ones as a person sees them, and half of one not at all."""
    result = evaluate(task, stand_in.url, output_dir=tmp_path / "r", concurrency=1)
    assert result.failures == {"media": 1}
    assert result.examples["media"] == "a picture that is cut off after 5,000 bytes; half of one is not sent"
    got = list(received(stand_in))
    assert got[:2] == [("image/jpeg", PICTURES[0]), ("image/png", PICTURES[1])]
    assert [kind for kind, _ in got[2:]] == ["image/png", "image/png"]
    with Image.open(io.BytesIO(got[2][1])) as upright, Image.open(io.BytesIO(got[3][1])) as flat:
        assert upright.size == (48, 32)
        assert flat.getpixel((0, 0)) == (255, 255, 255)
    content = said(result)
    assert content["results"] == {"alpha": 1, "format": 1, "orientation": 1}
    assert content["identity"] is None
    changed = [part.get("changed") for part in content["samples"]]
    assert changed == [None, None, ["orientation", "format"], ["alpha"], None]
    assert [part["image"] for part in content["samples"]] == [*(digest(data) for _, data in got), "?"]


def test_with_the_flag(stand_in: StandIn, task: str, tmp_path: Path) -> None:
    """Every picture that arrives is a JPEG within the limit; the run is another than the one without."""
    plain = evaluate(task, stand_in.url, output_dir=tmp_path / "r")
    stand_in.asked.clear()
    policy = "max-pixels=1200,format=jpeg,quality=80"
    with pytest.raises(UsageError, match="image: was None, now"):
        evaluate(task, stand_in.url, output_dir=tmp_path / "r", image=policy)
    assert stand_in.asked == []
    result = evaluate(task, stand_in.url, output_dir=tmp_path / "s", image=policy)
    got = list(received(stand_in))
    assert len(got) == 4
    for kind, data in got:
        with Image.open(io.BytesIO(data)) as picture:
            assert (kind, picture.format) == ("image/jpeg", "JPEG")
            assert picture.width * picture.height <= 1200
    content = said(result)
    assert content["identity"] == {"max_pixels": 1200, "format": "jpeg", "quality": 80}
    assert content["results"] == {"alpha": 1, "format": 2, "orientation": 1, "quality": 2, "size": 2}
    before = {line["image"] for line in said(plain)["samples"]} - {"?"}
    assert before.isdisjoint(line["image"] for line in content["samples"])


def test_the_same_policy_said_otherwise_is_the_same_run(stand_in: StandIn, task: str, tmp_path: Path) -> None:
    """Order does not matter, and what is the default anyway is not there."""
    evaluate(task, stand_in.url, output_dir=tmp_path / "r", image="format=jpeg,max-pixels=1200")
    evaluate(task, stand_in.url, output_dir=tmp_path / "r", image="max-pixels=1200,format=jpeg")
    evaluate(task, stand_in.url, output_dir=tmp_path / "s", image="format=original")
    evaluate(task, stand_in.url, output_dir=tmp_path / "s")
    assert len(stand_in.asked) == 8


def test_nonsense_is_refused_before_anything_starts(
    stand_in: StandIn, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One sentence."""
    words = ["--tasks", "smoke_count", "--endpoint", stand_in.url, "--image", "format=bmp", "-o", str(tmp_path / "r")]
    with pytest.raises(SystemExit) as caught:
        main(["eval", *words])
    assert caught.value.code == 1
    assert "--image format=bmp: there is no format 'bmp'; allowed are max-pixels=1 to" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_a_server_that_keeps_pictures_tells_two_sizes_apart() -> None:
    """vLLM finds a picture again by its name, and that is of the bytes that were sent."""
    messages = (Message("user", (Media(PICTURES[0]),)),)
    whole = build(messages, {}, named=True)
    small = build(messages, {}, named=True, policy=parse_policy("max-pixels=1200"))
    assert whole.digests == (digest(PICTURES[0]),)
    assert small.digests != whole.digests
    assert small.digests[0].encode() in b"".join(small.pieces)
    assert (whole.changes, small.changes) == (((),), (("size",),))
