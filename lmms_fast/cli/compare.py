"""`lmms-fast compare` and `lmms-fast gate`: is a difference between runs real, and is a run good enough?"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lmms_fast.errors import StorageError, UsageError

if TYPE_CHECKING:
    from lmms_fast.report.compare import Comparison
    from lmms_fast.report.gate import Gate, Policy

_FLIPS = 100
_Include = Annotated[
    list[Path] | None, typer.Option("--include-path", help="Folder with task YAMLs of your own; hooks do not run.")
]
_Anyway = Annotated[
    bool, typer.Option("--anyway", help="Also runs that were not asked and scored alike: other prompts, pictures, "
                       "generation settings, rules, judges, repeats or samples.")
]  # fmt: skip


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run directories: the one to compare with, then the others.")],
    tasks: Annotated[str | None, typer.Option(help="Only these, comma-separated. Default: all.")] = None,
    anyway: _Anyway = False,
    markdown: Annotated[Path | None, typer.Option(help="Write it as Markdown.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write one HTML file with the samples side by side, and their "
                                              "pictures where the data are at hand.")] = None,
    flips: Annotated[int, typer.Option(help="Samples shown in --html of each task and cause; in --markdown a "
                                       "fifth.")] = _FLIPS,
    data_dir: Annotated[Path | None, typer.Option(help="Where the data are, for the pictures. Default: where they "
                                                  "were.")] = None,
    include_path: _Include = None,
    json: Annotated[bool, typer.Option("--json", help="Everything as JSON on standard output.")] = False,
) -> None:  # fmt: skip
    """Compare runs on the samples they share: which scores differ by more than chance, which samples came out
    otherwise, and why.

    Each run is held against the first. Other models, endpoints and seeds are what is compared; runs that differ in
    anything else are refused, with the reason (exit code 1), unless --anyway.

    lmms-fast compare runs/before runs/after --html compare.html
    """
    import orjson

    from lmms_fast.report import compare as comparing
    from lmms_fast.report import compare_show
    from lmms_fast.report.finished import open_run

    chosen = [name.strip() for name in tasks.split(",") if name.strip()] if tasks else []
    found = comparing.compare([open_run(run) for run in runs], chosen, anyway=anyway, include=include_path or ())
    if html is not None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # pictures are shown where they are at hand, not fetched
        from lmms_fast.report.compare_page import page

        _write(html, page(found, flips=flips, data_dir=data_dir, include=include_path or ()))
    if markdown is not None:
        _write(markdown, compare_show.markdown(found, flips // 5))
    if json:
        sys.stdout.write(orjson.dumps(comparing.as_json(found), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _show(found)
    for written in (html, markdown):
        if written is not None:
            print(f"Written: {written}", file=sys.stderr)


def gate(
    run: Annotated[Path, typer.Argument(help="The run directory to be judged.")],
    baseline: Annotated[Path | None, typer.Option(help="The run that it is held against.")] = None,
    max_drop: Annotated[list[str] | None, typer.Option(help="TASK=0.01, or 0.01 for all tasks: how much worse than the "
                                                       "baseline it may be; repeat, or use commas.")] = None,
    min: Annotated[list[str] | None, typer.Option("--min", help="TASK=0.5, or 0.5 for all tasks: what it has to "
                                                  "reach; needs no baseline.")] = None,
    policy: Annotated[Path | None, typer.Option(help="YAML with the rules; flags win.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail also where the number itself is beyond a limit, but by "
                                         "no more than chance may do.")] = False,
    anyway: _Anyway = False,
    junit: Annotated[Path | None, typer.Option(help="Write a JUnit report.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write a summary in Markdown; it is also added to the file that "
                                                  "$GITHUB_STEP_SUMMARY names.")] = None,
    include_path: _Include = None,
    json: Annotated[bool, typer.Option("--json", help="Everything as JSON on standard output.")] = False,
) -> None:  # fmt: skip
    """Say whether a run is good enough: exit code 0 pass, 3 fail, 4 inconclusive, 1 a mistake on the command line.

    A rule fails when the run is beyond its limit with 95 % confidence, passes when it is within with 95 % confidence,
    and is inconclusive in between, where too much was not measured, or where the runs were not asked and scored alike.

    lmms-fast gate runs/now --baseline runs/release --max-drop 0.02 --max-drop mmmu_val=0.01 --junit gate.xml
    """
    import orjson

    from lmms_fast.report import gate as gating
    from lmms_fast.report.finished import open_run

    rules = _policy(gating.load_policy(policy) if policy else gating.Policy(), max_drop or (), min or (), strict)
    found = gating.gate(open_run(run), None if baseline is None else open_run(baseline), rules, anyway=anyway,
                        include=include_path or ())  # fmt: skip
    if junit is not None:
        _write(junit, gating.junit(found))
    summary = gating.markdown(found)
    if markdown is not None:
        _write(markdown, summary)
    if github := os.environ.get("GITHUB_STEP_SUMMARY"):
        _write(Path(github), summary, more=True)
    if json:
        sys.stdout.write(orjson.dumps(gating.as_json(found), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _say(found)
    raise typer.Exit(found.exit_code)


def _show(found: Comparison) -> None:
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    from lmms_fast.report.compare_show import remarks, table, title, warning
    from lmms_fast.report.plain import one_line

    console = Console(width=None if sys.stdout.isatty() else 200)
    loud = Console(stderr=True)
    if said := warning(found):
        text = "\n".join(map(one_line, said))
        if loud.is_terminal:
            loud.print(Panel(Text(text), style="bold red", expand=False))
        else:
            loud.print(text, markup=False, soft_wrap=True)
    for other in found.others:
        console.print(one_line(title(found, other)), markup=False, soft_wrap=True, style="bold")
        console.print(table(other))
        for task in other.tasks:
            for line in remarks(task):
                console.print(one_line(f"{task.task}: {line}"), markup=False, highlight=False, soft_wrap=True)


def _say(found: Gate) -> None:
    from rich.console import Console
    from rich.text import Text

    from lmms_fast.report.plain import one_line

    console = Console(width=None if sys.stdout.isatty() else 200)
    styles = {"pass": "green", "fail": "bold red", "inconclusive": "yellow"}
    for rule in found.rules:
        says = one_line(f"{rule.task}, {rule.rule}: {rule.says}")
        console.print(Text.assemble((rule.verdict, styles[rule.verdict]), f"  {says}"), soft_wrap=True)
    console.print(Text.assemble("gate: ", (found.verdict, styles[found.verdict])))


def _policy(policy: Policy, max_drop: list[str] | tuple[()], least: list[str] | tuple[()], strict: bool) -> Policy:
    """The policy with the flags over it. Raises UsageError."""
    from lmms_fast.report.gate import Limits

    tasks, defaults = dict(policy.tasks), policy.defaults
    for name, flag, given in (("max_drop", "--max-drop", max_drop), ("min", "--min", least)):
        for task, value in _limits(flag, given):
            limits = Limits.model_validate({name: value})
            if task is None:
                defaults = limits.over(defaults)
            else:
                tasks[task] = limits.over(tasks.get(task, Limits()))
    return policy.model_copy(update={"tasks": tasks, "defaults": defaults, "strict": strict or policy.strict})


def _limits(flag: str, given: list[str] | tuple[()]) -> list[tuple[str | None, float]]:
    """``TASK=0.01`` or ``0.01``, several with commas between."""
    found: list[tuple[str | None, float]] = []
    for written in (part.strip() for one in given for part in one.split(",")):
        task, _, value = written.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not (number >= 0 and number < float("inf")):
            raise UsageError(f"{flag} {written}: write TASK=NUMBER, or a NUMBER for all tasks; not below 0.")
        found.append((task or None, number))
    return found


def _write(path: Path, content: str | bytes, *, more: bool = False) -> None:
    """Into a file, or at its end. Raises StorageError."""
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    try:
        with path.open("ab" if more else "wb") as file:
            file.write(data)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror}).") from None
