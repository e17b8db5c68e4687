"""A run whose dataset names pictures by address."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lmms_fast import evaluate
from lmms_fast.errors import UsageError
from tests.servers.plain import plain
from tests.servers.stand_in import StandIn

TASK = """\
task: urls
benchmark: test
about: Pictures by address.
source: this test
licence: none
dataset: {files: urls.jsonl}
prompt: {user: [{image: picture}, {text: What is it?}]}
target: x
score: {extract: text}
"""


def test_pictures_by_address(stand_in: StandIn, tmp_path: Path) -> None:
    """Not fetched without --allow-media-urls, and with it not from inside the network; counted as not measured. One run
    does not hold both kinds."""
    (tmp_path / "urls.yaml").write_text(TASK)
    task = str(tmp_path / "urls.yaml")
    with plain(lambda path: (200, {}, b"inside")) as inside:
        (tmp_path / "urls.jsonl").write_text(json.dumps({"picture": f"{inside.url}/secret.png"}) + "\n")
        refused = evaluate(task, stand_in.url, output_dir=tmp_path / "a")
        allowed = evaluate(task, stand_in.url, output_dir=tmp_path / "b", allow_media_urls=True)
        with pytest.raises(UsageError, match="allow_media_urls: was None, now True"):
            evaluate(task, stand_in.url, output_dir=tmp_path / "a", allow_media_urls=True)
        assert (inside.asked, stand_in.asked) == ([], [])
    assert refused.failures == allowed.failures == {"media": 1}
    assert "only with --allow-media-urls" in refused.examples["media"]
    assert "not an address of the public internet" in allowed.examples["media"]
