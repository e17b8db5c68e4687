"""A test may assert on a score.

    from lmms_fast.testing import lmms_fast_score

    def test_it_still_counts() -> None:
        assert lmms_fast_score("smoke_count", endpoint="http://127.0.0.1:8000") >= 0.9

What fails is told with the score's interval and the worst samples; pytest finds this module by itself where lmms-fast
is installed. Nothing heavy is imported before a score is asked for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WORST = 5
_TEXT = 80  # characters of an answer that are shown


@dataclass(frozen=True, slots=True)
class MeasuredScore:
    """A task's number; compared with another number it is its `value`."""

    task: str
    metric: str
    value: float
    low: float | None
    """Of the 95 % interval; None where there is none (a single sample)."""
    high: float | None
    n: int
    """Samples that it rests on."""
    not_measured: int
    worst: Sequence[str]
    """The samples with the lowest scores below 1, a line each."""
    path: Path
    """The run directory."""

    def __float__(self) -> float:
        """The value."""
        return self.value

    def __ge__(self, other: float) -> bool:
        """By the value."""
        return self.value >= float(other)

    def __gt__(self, other: float) -> bool:
        """By the value."""
        return self.value > float(other)

    def __le__(self, other: float) -> bool:
        """By the value."""
        return self.value <= float(other)

    def __lt__(self, other: float) -> bool:
        """By the value."""
        return self.value < float(other)

    def __repr__(self) -> str:
        """In a line."""
        between = "" if self.low is None or self.high is None else f"95 %: {self.low:.4f} … {self.high:.4f}, "
        return f"{self.task} {self.metric} {self.value:.4f} ({between}n = {self.n})"

    def told(self) -> list[str]:
        """In lines, with the worst samples."""
        missing = [f"{self.not_measured} samples could not be measured"] if self.not_measured else []
        worst = ["worst samples:", *(f"  {one}" for one in self.worst)] if self.worst else []
        return [repr(self), *missing, *worst, f"run: {self.path}"]


def lmms_fast_score(task: str, endpoint: str = "local", *, metric: str | None = None, **options: Any) -> MeasuredScore:
    """Evaluate one task and return its headline, or the `metric` named.

    `options` are those of `lmms_fast.evaluate`. The run goes into a new directory under the temporary one unless
    `output_dir` names another, so every call asks. Raises AssertionError where more samples could not be measured than
    `max_failures` allows, LmmsFastError.
    """
    from lmms_fast.api import evaluate  # noqa: PLC0415
    from lmms_fast.config.spec import make_spec  # noqa: PLC0415
    from lmms_fast.errors import UsageError  # noqa: PLC0415
    from lmms_fast.tasks.catalog import Catalog  # noqa: PLC0415

    out = Path(options.pop("output_dir", None) or tempfile.mkdtemp(prefix="lmms-fast-"))
    spec = make_spec({"tasks": task, **options})
    names = [one.task for one in Catalog(spec.include_path).select(spec.tasks).tasks]
    if len(names) != 1:
        raise UsageError(f"{task}: is {', '.join(names)}; name one of them.")
    evaluate(task, endpoint, output_dir=out, **options)
    found = _measured(names[0], out, metric)
    missing, total = found.not_measured, found.not_measured + found.n
    if missing > (spec.max_failures * total if spec.max_failures < 1 else spec.max_failures):
        raise AssertionError("\n".join([f"{missing} of {total} samples could not be measured", *found.told()]))
    return found


def _measured(task: str, path: Path, metric: str | None) -> MeasuredScore:
    from lmms_fast.report.compare import alone  # noqa: PLC0415
    from lmms_fast.report.finished import open_run  # noqa: PLC0415

    run = open_run(path)
    lines = list(run.samples(task))
    scored = [line for line in lines if line["score"] is not None]
    if not scored:
        raise AssertionError(f"{task}: none of {len(lines)} samples could be measured; run: {path}")
    measure = alone(run, task, metric)
    tested, values = measure.test(), measure.both(())
    if values is None:
        raise AssertionError(f"{task}: has no number over the {len(scored)} samples that were measured; run: {path}")
    low, high = (None, None) if tested is None else (tested.low, tested.high)
    worst = sorted((line for line in scored if line["score"] < 1), key=lambda line: float(line["score"]))[:_WORST]
    return MeasuredScore(
        task, measure.metric, values[1], low, high, len(scored), len(lines) - len(scored),
        [_line(line) for line in worst], path,
    )  # fmt: skip


def _line(line: dict[str, Any]) -> str:
    text = " ".join(line["response"]["text"].split())
    said = text if len(text) <= _TEXT else f"{text[:_TEXT]}…"
    return f"{line['id']}: {line['score']:g}, accepted {' · '.join(line['target'])!r}, said {said!r}"


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """pytest's hook: what a failed comparison shows."""
    measured = next((one for one in (left, right) if isinstance(one, MeasuredScore)), None)
    return None if measured is None else [f"{left!r} {op} {right!r}", *measured.told()[1:]]
