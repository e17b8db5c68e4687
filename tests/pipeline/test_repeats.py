"""Several answers to each question: what a run says of them."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

from aiohttp import web
from PIL import Image

from lmms_fast import evaluate
from lmms_fast.api import rescore
from tests.servers.stand_in import StandIn, completion


def test_repeats_are_reported_with_intervals(stand_in: StandIn, tmp_path: Path) -> None:
    """Mean, pass@k, maj@k and flip rate beside the headline, in results.json too; scored again, byte for byte."""
    numbers = count()

    def behave(number: int, body: dict[str, Any]) -> web.Response:
        return web.json_response(completion("yes" if next(numbers) % 2 else "no"))

    stand_in.behave = behave
    result = evaluate("smoke_yesno", stand_in.url, output_dir=tmp_path / "r", limit=9, repeats=3, concurrency=1)
    found = {one.metric: one for one in result.tasks["smoke_yesno"].repeats}
    assert list(found) == ["mean", "pass@3", "maj@3", "flip_rate"]
    assert found["mean"].value == result.score("smoke_yesno")
    assert found["flip_rate"].value == found["pass@3"].value == 1.0
    assert found["flip_rate"].method == "exact (mid-p)"
    written = (tmp_path / "r" / "results.json").read_bytes()
    task = json.loads(written)["tasks"]["smoke_yesno"]
    assert [one["metric"] for one in task["repeats"]] == list(found)
    [headline] = [one for one in task["aggregates"] if one["group"] is None]
    assert headline["interval"] == list(result.tasks["smoke_yesno"].aggregates[0].interval or ())
    assert headline["method"].startswith("mid-p at the effective n")
    rescore(tmp_path / "r")
    assert (tmp_path / "r" / "results.json").read_bytes() == written


def test_one_answer_each_is_no_repeat(stand_in: StandIn, tmp_path: Path) -> None:
    """Nothing to say then."""
    result = evaluate("smoke_yesno", stand_in.url, output_dir=tmp_path / "r", limit=4)
    assert result.tasks["smoke_yesno"].repeats == ()
    assert "repeats" not in json.loads((tmp_path / "r" / "results.json").read_text())["tasks"]["smoke_yesno"]


def test_questions_on_one_picture_are_one_cluster(stand_in: StandIn, tmp_path: Path) -> None:
    """Known by the picture's digest in the journal, however it came."""
    lines = [{"image": f"data:image/png;base64,{_picture(number // 4)}", "question": f"Is it red? {number}",
              "answer": "yes"} for number in range(12)]  # fmt: skip
    (tmp_path / "my.jsonl").write_text("\n".join(map(json.dumps, lines)))
    result = evaluate(str(tmp_path / "my.jsonl"), stand_in.url, output_dir=tmp_path / "r")
    [task] = result.tasks.values()
    assert task.aggregates[0].n == 12
    assert task.aggregates[0].method.endswith("clustered by picture (3 clusters)")


def _picture(shade: int) -> str:
    encoded = BytesIO()
    Image.new("RGB", (8, 8), (200 + shade, 0, 0)).save(encoded, "PNG")
    return base64.b64encode(encoded.getvalue()).decode()
