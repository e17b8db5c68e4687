"""What lists of tasks say about one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lmms_fast.errors import UsageError
from lmms_fast.tasks.spec import Group, Task, TextPart

MARK, END = "<!-- tasks -->\n", "<!-- end -->"
COLUMNS = ("name", "samples", "shown", "metric", "scored by", "evidence")


def line_of(found: Task | Group) -> tuple[str, ...]:
    """Cells of `COLUMNS`; those of a group are mostly empty."""
    if isinstance(found, Group):
        return found.group, "", "", "", f"{(count := len(found.tasks))} task{'s' * (count > 1)}", ""
    headline = found.report[0]
    metric = str(headline.options.get("metric", headline.name))
    size = "?" if found.size is None else f"{found.size:,}"
    return (
        found.task,
        f"{len(found.family)} tasks" if found.family else size,
        "pictures" if _shows_pictures(found) else "text",
        "–" if found.target is None and found.score.judge is None else metric,
        _scored_by(found),
        found.fidelity or "facts only",
    )


def _shows_pictures(task: Task) -> bool:
    parts = task.prompt.user
    return task.prompt.turns is not None or any(not isinstance(part, TextPart) or part.interleave for part in parts)


def _scored_by(task: Task) -> str:
    if task.foreign is not None:
        return task.task.partition(":")[0]
    if task.score.judge is not None:
        return "judge"
    if task.target is None:
        return "its server"
    return "rules"


def markdown_table(found: Sequence[Task | Group]) -> str:
    """All of it, with each task's sources."""
    lines = ["| " + " | ".join((*COLUMNS[:1], "source", *COLUMNS[1:])) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for one in found:
        name, *rest = line_of(one)
        source = ", ".join(f"`{member}`" for member in one.tasks) if isinstance(one, Group) else _source(one)
        lines.append("| " + " | ".join([f"`{name}`", source, *rest]) + " |")
    return "\n".join(lines)


def _source(task: Task) -> str:
    if not task.dataset.hub:
        return "files of this repository"
    hub = task.dataset.hub[0]
    config = f" `{hub.config}`" if hub.config else ""
    return f"{hub.path}{config}, {task.dataset.split}"


def write_table(path: Path, table: str) -> None:
    """Put the table between the marks of a file. Raises UsageError where it has none."""
    try:
        before, mark, rest = path.read_text(encoding="utf-8").partition(MARK)
        _, end, after = rest.partition(END)
        if not (mark and end):
            raise UsageError(f"{path}: has no lines {MARK.strip()} and {END} to write between.")
        path.write_text(f"{before}{mark}{table}\n{end}{after}", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}).") from None
