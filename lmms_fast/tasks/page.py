"""What lists of tasks say about one."""

from __future__ import annotations

from collections.abc import Sequence

from lmms_fast.tasks.spec import Group, ImagePart, Task

COLUMNS = ("name", "samples", "shown", "metric", "scored by", "evidence")


def line_of(found: Task | Group) -> tuple[str, ...]:
    """Cells of `COLUMNS`; those of a group are mostly empty."""
    if isinstance(found, Group):
        return found.group, "", "", "", f"{len(found.tasks)} tasks", ""
    headline = found.report[0]
    metric = str(headline.options.get("metric", headline.name))
    return (
        found.task,
        "?" if found.size is None else f"{found.size:,}",
        "pictures" if any(isinstance(part, ImagePart) or part.interleave for part in found.prompt.user) else "text",
        "–" if found.target is None and found.score.judge is None else metric,
        _scored_by(found),
        found.fidelity or "facts only",
    )


def _scored_by(task: Task) -> str:
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
