"""A comparison as a terminal shows it, and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from lmms_fast.report.compare import Comparison, RunCompared, TaskCompared, causes
from lmms_fast.report.compare_pairs import CAUSES, by_category
from lmms_fast.report.plain import one_line

COLUMNS = ("task", "metric", "before", "after", "difference", "95 % interval", "p (Holm)", "found from", "better",
           "worse", "n", "")  # fmt: skip
_VALUES_SHOWN = 8
_STYLES = {"worse": "red", "better": "green"}


def cells(task: TaskCompared) -> tuple[str, ...]:
    """A row under COLUMNS. `found from`: the smallest difference that would be found in four of five cases."""
    tested = task.tested
    test = ("", "", "", "") if tested is None else (
        f"{tested.difference:+.4f}", f"{tested.low:+.4f} … {tested.high:+.4f}", _p(task.adjusted),
        f"{tested.detectable:.4f}",
    )  # fmt: skip
    better = [flip.better for flip in task.flips]
    metric = f"{task.metric} (less is better)" if task.lower_is_better else task.metric
    return (task.task, metric, number(task.first), number(task.second), *test, str(better.count(True)),
            str(better.count(False)), str(task.measured), task.verdict)  # fmt: skip


def number(value: float | None) -> str:
    """A score, or a dash."""
    return "–" if value is None else f"{value:.4f}"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def title(found: Comparison, other: RunCompared) -> str:
    """Which runs are compared."""
    return f"{other.run.model} ({other.run.path}) against {found.first.model} ({found.first.path})"


def table(other: RunCompared) -> Table:
    """The numbers of a run against the first."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in COLUMNS:
        shown.add_column(name, justify="left" if name in ("task", "metric", "") else "right", overflow="fold")
    for task in other.tasks:
        shown.add_row(*(Text(one_line(cell)) for cell in cells(task)), style=_STYLES.get(task.verdict, ""))
    return shown


def remarks(task: TaskCompared) -> list[str]:
    """Sentences under the table: how it was tested, why samples came out otherwise, and in which categories."""
    tested = task.tested
    if tested is None:
        lines = ["not tested: fewer than two independent groups of samples were measured in both runs."]
    else:
        lines = [f"{tested.method}, {tested.clusters} of them" if "clusters" in tested.method else tested.method]
    if task.note:
        lines.append(task.note)
    if any(task.not_measured):
        lines.append(f"not measured: {task.not_measured[0]:.1%} and {task.not_measured[1]:.1%} of the samples; the "
                     "numbers rest on those measured in both")  # fmt: skip
    for cause, counts in causes(task.flips).items():
        lines.append(f"{cause} ({CAUSES[cause]}): {counted(counts)}")
    for column, values in by_category(task.flips).items():
        most = sorted(values, key=lambda value: -sum(values[value].values()))
        if len(most) > 1 or len(task.flips) > 1:
            more = f"; {len(most) - _VALUES_SHOWN} more" if len(most) > _VALUES_SHOWN else ""
            told = "; ".join(f"{value or '–'} {counted(values[value])}" for value in most[:_VALUES_SHOWN])
            lines.append(f"by {column}: {told}{more}")
    return lines


def counted(counts: dict[str, int]) -> str:
    """``3 worse, 1 better, 2 not measured on one side``."""
    words = {"worse": "worse", "better": "better", "one_side": "not measured on one side"}
    return ", ".join(f"{counts[key]} {word}" for key, word in words.items() if key in counts)


def warning(found: Comparison) -> list[str]:
    """What differs between runs that are compared all the same."""
    if not found.differences:
        return []
    return ["NOT ALIKE: these runs were not asked and scored alike; the numbers compare that, too.",
            *(f"- {one}" for one in found.differences)]  # fmt: skip


def markdown(found: Comparison, flips: int = 20) -> str:
    """The whole comparison; of each task so many of the samples that came out otherwise."""
    parts = ["## Comparison", ""]
    if found.differences:
        head, *rest = warning(found)
        parts += [f"> **{escaped(head)}**", *(f"> {escaped(one, dash=False)}" for one in rest), ""]
    for other in found.others:
        parts += [f"### {escaped(title(found, other))}", "", *rows(COLUMNS, [cells(task) for task in other.tasks]), ""]
        for task in other.tasks:
            parts += [f"**{escaped(task.task)}**", "", *(f"- {escaped(line)}" for line in remarks(task)), ""]
            if task.flips and flips:
                told = [(f"{flip.key[0]}#{flip.key[1]}", flip.cause, number(flip.before), number(flip.after))
                        for flip in task.flips[:flips]]  # fmt: skip
                parts += [*rows(("sample", "cause", "before", "after"), told), ""]
                if len(task.flips) > flips:
                    parts += [f"and {len(task.flips) - flips} more.", ""]
    return "\n".join(parts)


def rows(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    return ["| " + " | ".join(map(escaped, line)) + " |" if line else "|" + "---|" * len(columns)
            for line in (columns, (), *lines)]  # fmt: skip


_MARKUP = re.compile(r"([\\`*_{}\[\]<>#!|~&@])")


def escaped(text: str, *, dash: bool = True) -> str:
    """Text that Markdown takes for nothing else, on one line; `dash`: a first dash is none of a list."""
    line = _MARKUP.sub(r"\\\1", " ".join(text.split()))
    return f"\\{line}" if dash and line.startswith(("- ", "+ ")) else line
