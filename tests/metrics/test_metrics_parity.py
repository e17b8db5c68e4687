"""Published outputs of real models, scored again: the figures must come out to the digit.

`LMMS_FAST_PARITY_DIR` names a folder with `manifest.json` and the files it lists; they are not ours to ship.
"""

from __future__ import annotations

import json
import os
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from lmms_fast.metrics import EXTRACTORS, aggregate, score, scoring
from lmms_fast.types import Sample, Scored

_FOLDER = os.environ.get("LMMS_FAST_PARITY_DIR")
pytestmark = pytest.mark.skipif(not _FOLDER, reason="LMMS_FAST_PARITY_DIR is not set: no published outputs at hand")

SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def published(prefix: str) -> list[str]:
    """Names in the manifest that begin so, for parametrisation; none where there is no folder."""
    if not _FOLDER:
        return []
    return [entry["name"] for entry in _manifest() if entry["name"].startswith(prefix)]


def _manifest() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((Path(_FOLDER or "") / "manifest.json").read_text(encoding="utf-8"))
    return found


def entry(name: str) -> tuple[dict[str, Any], list[Path]]:
    """Expected figures and the local files of a set."""
    found = next((one for one in _manifest() if one["name"] == name), None)
    if found is None:
        pytest.skip(f"the folder has no {name}")
    return found["expected"], [Path(_FOLDER or "") / local for local in found["local"]]


def sheet(path: Path) -> Iterator[dict[str, str]]:
    """Rows of an .xlsx file's first sheet by column title."""
    with zipfile.ZipFile(path) as archive:
        shared = ElementTree.fromstring(archive.read("xl/sharedStrings.xml"))
        strings = ["".join(part.text or "" for part in item.iter(f"{SHEET}t")) for item in shared]
        rows = ElementTree.fromstring(archive.read("xl/worksheets/sheet1.xml")).iter(f"{SHEET}row")
    titles: dict[str, str] = {}
    for row in rows:
        cells = {}
        for cell in row:
            column = cell.attrib["r"].rstrip("0123456789")
            value = cell.findtext(f"{SHEET}v") or ""
            cells[column] = strings[int(value)] if cell.get("t") == "s" else value
        if titles:
            yield {titles[column]: value for column, value in cells.items() if column in titles}
        else:
            titles = cells


@pytest.mark.parametrize("name", published("mmmu_val/"))
def test_mmmu_val(name: str) -> None:
    """Without dice the deterministic count; with the reference's own stream of dice, every published figure."""
    expected, files = entry(name)
    outputs = sorted(path for path in files if path.name == "output.json")
    assert outputs
    reference = json.loads(next(path for path in files if path.name == "total_val_output.json").read_text("utf-8"))
    golds = json.loads(next(path for path in files if path.name == "answer_dict_val.json").read_text("utf-8"))
    rules, dice = scoring("mmmu", "mmmu"), random.Random(42)
    right = lucky = undecided = differing = 0
    for path in outputs:  # by name of the subject: the order in which the reference rolls
        for row in json.loads(path.read_text("utf-8")):
            gold = golds[row["id"]]["ground_truth"]
            choices = tuple(row["index2ans"].values()) if row["question_type"] == "multiple-choice" else ()
            target = tuple(gold) if isinstance(gold, list) else (gold,)
            sample = Sample("mmmu_val", row["id"], (), target, choices)
            verdict = score(sample, row["response"], rules)
            assert verdict.prediction == EXTRACTORS["mmmu"](row["response"], sample, {})
            right += verdict.value == 1.0
            answer = verdict.prediction.answer
            if choices and answer is None:
                undecided += 1
                answer = dice.choice(row["all_choices"])
                lucky += answer in target
            differing += bool(choices) and answer != reference[row["id"]]
    assert right == expected["deterministic_correct"]
    assert undecided == expected["random_fallback_items"]
    assert right + lucky == expected["correct"]
    assert round((right + lucky) / 900, 3) == expected["Overall"]
    assert differing == 0


@pytest.mark.parametrize("name", [name for name in published("vlmevalkit_") if name.endswith("/MME")])
def test_mme(name: str) -> None:
    """The word rule and MME's aggregation give VLMEvalKit's perception and reasoning."""
    expected, files = entry(name)
    scored = []
    for row in sheet(next(path for path in files if path.suffix == ".xlsx")):
        sample = Sample("mme", row["index"], (), (row["answer"],))
        verdict = score(sample, row["prediction"], scoring("yes_no", "mme"))
        groups = {"category": row["category"], "question_id": row["image_path"]}
        scored.append(Scored(sample.id, 0, groups, verdict.value, verdict.prediction.answer is not None))
    perception, cognition, *_ = aggregate("mme", scored, {})
    assert perception.n_failed + cognition.n_failed == 0
    assert perception.n_no_answer + cognition.n_no_answer == expected["unknown"]
    assert perception.value == pytest.approx(expected["perception"], abs=1e-9)
    assert cognition.value == pytest.approx(expected["reasoning"], abs=1e-9)


@pytest.mark.parametrize("name", [name for name in published("vlmevalkit_") if name.endswith("/POPE")])
def test_pope(name: str) -> None:
    """The word rule gives VLMEvalKit's accuracy, precision and recall, a row counting once per split."""
    expected, files = entry(name)
    counts = {(gold, said): 0 for gold in ("yes", "no") for said in ("yes", "no", None)}
    for row in sheet(next(path for path in files if path.suffix == ".xlsx")):
        said = EXTRACTORS["yes_no"](row["prediction"], Sample("pope", row["index"], (), ()), {}).answer
        assert said is None or isinstance(said, str)
        counts[row["answer"].lower(), said] += len(row["category"].split(","))
    hit, total = counts["yes", "yes"], sum(counts.values())
    right = hit + counts["no", "no"]
    assert 100 * right / total == pytest.approx(expected["acc"])
    assert 100 * hit / (hit + counts["no", "yes"]) == pytest.approx(expected["precision"])
    assert 100 * hit / (hit + counts["yes", "no"] + counts["yes", None]) == pytest.approx(expected["recall"])


@pytest.mark.parametrize("name", [name for name in published("vlmevalkit_") if "/OCRVQA" in name])
def test_ocrvqa(name: str) -> None:
    """Equality without case gives VLMEvalKit's accuracy."""
    expected, files = entry(name)
    rules, values = scoring("text", "exact_ignore_case"), []
    for row in sheet(next(path for path in files if path.suffix == ".xlsx")):
        values.append(score(Sample("ocrvqa", row["index"], (), (row["answer"],)), row["prediction"], rules).value)
    assert 100 * sum(values) / len(values) == pytest.approx(expected["acc"])
