"""The scores of finished runs for a page, a paper, a spreadsheet or a program: one function for each format.

Markdown and LaTeX have the headlines, a line each; several runs stand side by side, a column each. CSV and JSON have
every number, those of categories too, a line each for every run.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lmms_fast.report.finished import FinishedRun
from lmms_fast.report.plain import one_line, plain

Number = Mapping[str, Any]
"""An aggregate as results.json has it."""
_LINE = ("run", "model", "task", "metric", "group", "score", "stderr", "interval_low", "interval_high", "n",
         "n_no_answer", "n_failed", "if_failed_were_wrong", "if_failed_were_right")  # fmt: skip
_MARKDOWN = re.compile(r"([\\`*_\[\]|~$])")
_LINKS = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "://": "&#58;//", "www.": "www&#46;"}
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "''", "`": r"\textasciigrave{}", "[": "{[}", "*": "{*}",
    "–": "--", "±": r"$\pm$", "…": r"\dots{}",
}  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def markdown(runs: Sequence[FinishedRun]) -> str:
    """A table as GitHub and model cards show it. No cell can end its column, or bring in a link or a tag."""
    head, *body = _page(runs)
    aligned = ["---" if column < 2 else "---:" for column in range(len(head))]
    lines = [[in_markdown(cell) for cell in row] for row in (head, *body)]
    return "".join(f"| {' | '.join(line)} |\n" for line in (lines[0], aligned, *lines[1:]))


def latex(runs: Sequence[FinishedRun]) -> str:
    """A tabular with booktabs' rules."""
    head, *body = _page(runs)
    lines = ["".join((" & ".join(_in_latex(cell) for cell in row), r" \\")) for row in (head, *body)]
    columns = "ll" + "r" * (len(head) - 2)
    return "\n".join([
        r"% \usepackage{booktabs}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule", *lines[1:],
        r"\bottomrule", r"\end{tabular}", "",
    ])  # fmt: skip


def csv_text(runs: Sequence[FinishedRun]) -> str:
    """Comma-separated, a header first; no cell is a formula to a spreadsheet."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(_LINE)
    writer.writerows([in_csv(line[name]) for name in _LINE] for line in _lines(runs))
    return written.getvalue()


def json_text(runs: Sequence[FinishedRun]) -> str:
    """A list of objects, one for each number; in ASCII, which is harmless on a terminal."""
    return json.dumps([*_lines(runs)], indent=2) + "\n"


FORMATS: Mapping[str, Callable[[Sequence[FinishedRun]], str]] = {
    "md": markdown, "latex": latex, "csv": csv_text, "json": json_text
}  # fmt: skip


def in_csv(value: Any) -> Any:
    """A cell that a spreadsheet does not take for a formula: text that could be one and is no number gets a quote."""
    if not isinstance(value, str):
        return value
    value = plain(value)
    return f"'{value}" if value.lstrip(" ").startswith(_FORMULA) and not _is_number(value) else value


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d{1,300}(\.\d{0,300})?", text) is not None


def in_markdown(text: str) -> str:
    """Every mark that Markdown reads inside a cell is escaped, HTML's and what makes links and mentions by entities."""
    text = _MARKDOWN.sub(r"\\\1", one_line(text))
    for mark, name in _LINKS.items():
        text = text.replace(mark, name)
    return text


def _in_latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in one_line(text))


def names(runs: Sequence[FinishedRun]) -> list[str]:
    """What tells runs apart: their models, or the names of their directories where a model occurs twice."""
    models = [run.model for run in runs]
    return [run.path.resolve().name if models.count(model) > 1 else model
            for run, model in zip(runs, models, strict=True)]  # fmt: skip


def headlines(run: FinishedRun) -> Iterator[tuple[str, Number]]:
    """Names and numbers over all samples: of tasks, of other scorings, of groups."""
    for task, found in run.results["tasks"].items():
        yield from ((task, one) for one in found["aggregates"] if one["group"] is None)
        for scoring, numbers in found.get("scorings", {}).items():
            yield from ((f"{task} by {scoring}", one) for one in numbers if one["group"] is None)
        yield from ((f"{task} over repeats", one) for one in found.get("repeats", ()) if one["group"] is None)
    yield from run.results.get("groups", {}).items()


def _page(runs: Sequence[FinishedRun]) -> list[list[str]]:
    """Rows of text, the titles first."""
    found = [{(name, str(one["metric"])): one for name, one in headlines(run)} for run in runs]
    keys = list(dict.fromkeys(key for one in found for key in one))
    if len(runs) > 1:
        titles = ["task", "metric", *names(runs)]
        return [titles, *([*key, *(_with_error(one.get(key)) for one in found)] for key in keys)]
    spread = "95 % interval" if any(one.get("interval") for one in found[0].values()) else "± s.e."
    titles = ["task", "metric", "score", spread, "n", "no answer", "not measured"]
    return [titles, *([*key, _score(found[0][key]), _spread(found[0][key]), *_counts(found[0][key])] for key in keys)]


def _counts(one: Number) -> list[str]:
    return [str(one["n"]), str(one["n_no_answer"]), str(one["n_failed"])]


def _score(one: Number | None) -> str:
    return "–" if one is None or one["value"] is None else f"{one['value']:.4f}"


def _spread(one: Number) -> str:
    if interval := one.get("interval"):
        return f"{interval[0]:.4f} – {interval[1]:.4f}"
    return "" if one["stderr"] is None else f"{one['stderr']:.4f}"


def _with_error(one: Number | None) -> str:
    error = "" if one is None or one["stderr"] is None else f" ± {one['stderr']:.4f}"
    return _score(one) + error


def _lines(runs: Sequence[FinishedRun]) -> Iterator[dict[str, Any]]:
    for run in runs:
        of_groups = [(name, one) for name, one in headlines(run)]
        inside = [(task, one) for task, found in run.results["tasks"].items() for one in found["aggregates"]
                  if one["group"] is not None]  # fmt: skip
        for name, one in (*of_groups, *inside):
            interval = one.get("interval") or (None, None)
            yield {
                "run": run.path.resolve().name, "model": run.model, "task": name, "metric": one["metric"],
                "group": one["group"], "score": one["value"], "stderr": one["stderr"], "interval_low": interval[0],
                "interval_high": interval[1], "n": one["n"], "n_no_answer": one["n_no_answer"],
                "n_failed": one["n_failed"], "if_failed_were_wrong": one["low"], "if_failed_were_right": one["high"],
            }  # fmt: skip
