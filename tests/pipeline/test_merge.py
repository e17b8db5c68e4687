"""Shards that know nothing of each other, merged, are the run that was never in parts."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lmms_fast import evaluate
from lmms_fast.cli import execute
from lmms_fast.data.feed import Shard, parse_shard
from lmms_fast.errors import EXIT_NOT_MEASURED, EXIT_OK, UsageError
from lmms_fast.pipeline.merge import merge
from tests.catalogue.hub import everything, write
from tests.judging import work
from tests.servers.stand_in import StandIn

pytestmark = pytest.mark.usefixtures("own_cache")


def shards(pair: work.Servers, tmp_path: Path, rows: int, of: int, **options: object) -> list[Path]:
    """Runs of all parts."""
    task = work.write(tmp_path / "task", rows)
    paths = [tmp_path / f"part{number}" for number in range(1, of + 1)]
    for number, path in enumerate(paths, 1):
        work.evaluate(task, pair, path, shard=f"{number}/{of}", **options)
    return paths


def files(run: Path) -> list[bytes]:
    """What scores are in."""
    return [(run / name).read_bytes() for name in ("results.json", "samples_essays.jsonl")]


def without_latency(lines: bytes) -> list[dict[str, object]]:
    """Samples as they are whoever asks them."""
    found = [json.loads(line) for line in lines.splitlines()]
    for one in found:
        one["response"].pop("latency_s")
    return found


def test_merged_shards_are_the_whole_run(tmp_path: Path, pair: work.Servers) -> None:
    """The same results file byte for byte, with judgements and repeats; every sample was asked by one of them."""
    parts = shards(pair, tmp_path, 40, 3, repeats=2)
    asked = len(pair.model.asked)
    assert asked == 80
    work.evaluate(tmp_path / "task" / "essays.yaml", pair, tmp_path / "whole", repeats=2)
    merged = merge(parts[::-1], tmp_path / "merged")
    assert merged.score("essays") == pytest.approx(26 / 40)
    whole, together = files(tmp_path / "whole"), files(tmp_path / "merged")
    assert whole[0] == together[0]
    assert without_latency(whole[1]) == without_latency(together[1])
    manifest = json.loads((tmp_path / "merged" / "manifest.json").read_text())
    assert [Path(one["path"]).name for one in manifest["shards"]] == ["part3", "part2", "part1"]
    assert "shard" not in manifest["identity"]


def test_groups_stay_whole(tmp_path: Path, stand_in: StandIn) -> None:
    """MME's pairs, MMBench's circles, HallusionBench's sets …: no unit of any task is in two shards."""
    write(tmp_path / "hub", everything().datasets, everything().files)
    tasks = ["mme", "mmbench_en_dev", "hallusion_bench_image", "naturalbench", "mmvp"]
    runs = [tmp_path / f"r{number}" for number in (1, 2)]
    for number, run in enumerate(runs, 1):
        evaluate(tasks, stand_in.url, data_dir=tmp_path / "hub", output_dir=run, shard=f"{number}/2")
    merged = merge(runs, tmp_path / "merged")
    whole = evaluate(tasks, stand_in.url, data_dir=tmp_path / "hub", output_dir=tmp_path / "whole")
    assert (tmp_path / "merged" / "results.json").read_bytes() == (tmp_path / "whole" / "results.json").read_bytes()
    assert merged.samples == whole.samples
    for name, column in (("mme", "question_id"), ("mmbench_en_dev", "circular_id")):
        owners: dict[str, set[Path]] = {}
        for run in runs:
            for line in (run / f"samples_{name}.jsonl").read_text().splitlines():
                owners.setdefault(json.loads(line)["groups"][column], set()).add(run)
        assert all(len(found) == 1 for found in owners.values())


def test_a_limit_is_that_of_the_whole(tmp_path: Path, pair: work.Servers) -> None:
    """All shards together ask as many samples as one run would."""
    parts = shards(pair, tmp_path, 40, 4, limit=10)
    assert sorted(map(work.number_of, pair.model.asked)) == list(range(10))
    assert merge(parts, tmp_path / "merged").samples == 10


def test_what_does_not_make_a_run_is_refused(tmp_path: Path, pair: work.Servers) -> None:
    """A gap, the same twice, another setting, a run that is no shard, one that is not complete: one sentence each, and
    nothing is written."""
    one, two, three = shards(pair, tmp_path, 12, 3)
    task = tmp_path / "task" / "essays.yaml"
    work.evaluate(task, pair, tmp_path / "other", shard="2/3", temperature=0.5)
    work.evaluate(task, pair, tmp_path / "whole")
    (tmp_path / "copy").mkdir()
    for file in one.iterdir():
        (tmp_path / "copy" / file.name).write_bytes(file.read_bytes())
    manifest = json.loads((three / "manifest.json").read_text())
    for given, sentence in (
        ([one, three], "shards are missing: 2/3"),
        ([one, two, three, tmp_path / "copy"], "are the same shard"),
        ([one, tmp_path / "other", three], "temperature: None, other 0.5"),
        ([one, tmp_path / "whole", three], "is not a shard"),
        ([one, tmp_path / "nothing"], "not a run directory"),
    ):
        with pytest.raises(UsageError, match=sentence):
            merge(given, tmp_path / "merged")
    (three / "manifest.json").write_text(json.dumps({**manifest, "complete": False}))
    with pytest.raises(UsageError, match="is not complete; `lmms-fast resume"):
        merge([one, two, three], tmp_path / "merged")
    (three / "manifest.json").write_text(json.dumps(manifest))
    with (three / "journal.jsonl").open("ab") as journal:
        journal.write((one / "journal.jsonl").read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(UsageError, match="were their data the same"):
        merge([one, two, three], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    with pytest.raises(UsageError, match="exists already"):
        merge(shards(pair, tmp_path / "again", 4, 2), two)


def test_too_many_failures_end_as_those_of_a_run(
    tmp_path: Path, pair: work.Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 2, by the --max-failures of the shards; the scores are those of the others."""

    def some(number: int, body: dict[str, Any]) -> web.Response:
        if work.number_of(body) % 4:
            return work.answers(number, body)
        return web.json_response({"error": {"message": "too long"}}, status=400)

    pair.model.behave = some
    parts = shards(pair, tmp_path, 40, 2)
    assert execute.merge(parts, tmp_path / "merged", ()) == EXIT_NOT_MEASURED
    assert "10 of 40 samples could not be measured" in " ".join(capsys.readouterr().err.split())
    pair.model.behave = work.answers
    assert execute.merge(shards(pair, tmp_path / "well", 40, 2), tmp_path / "well" / "merged", ()) == EXIT_OK


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "a/b", "1/0", "-1/3", "1/3/5"])
def test_bad_shards(text: str) -> None:
    """One sentence that says how to write it."""
    with pytest.raises(UsageError, match="--shard"):
        parse_shard(text)


def test_shards_are_about_equal_and_stay() -> None:
    """Each row is in one; the same one in every version of the program."""
    parts = [Shard(number, 4) for number in range(1, 5)]
    owners = [[part.number for part in parts if part.has("t", row)] for row in range(4000)]
    assert all(len(one) == 1 for one in owners)
    sizes = Counter(one[0] for one in owners)
    assert max(sizes.values()) - min(sizes.values()) < 200
    assert [one[0] for one in owners[:8]] == [2, 1, 4, 2, 2, 4, 4, 4]


