"""What the commands do, once their flags are parsed. Apart from app.py, so that --help imports none of this."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import orjson
import yaml
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from lmms_fast.api import rescore
from lmms_fast.cli import again, tasks
from lmms_fast.config.spec import RunSpec, make_spec
from lmms_fast.errors import EXIT_NOT_MEASURED, EXIT_OK, EXIT_SIGINT, EXIT_SIGTERM, UsageError
from lmms_fast.events import Notify, Opened
from lmms_fast.journal.rundir import read_json, recorded_spec
from lmms_fast.loggers.feed import loggers
from lmms_fast.pipeline.merge import merge as merged
from lmms_fast.pipeline.run import rejudge, run, run_to_end
from lmms_fast.pipeline.stop import Stop
from lmms_fast.report.console import JsonLines, LiveView, remarks, score_table
from lmms_fast.report.export.formats import export
from lmms_fast.report.result import RunResult, as_json, check_scorings, load, recorded_tasks
from lmms_fast.types import TRANSIENT


def dry_run(spec: RunSpec) -> None:
    """Everything short of sending: the first request of each task."""
    for name in spec.tasks:
        tasks.check(name, limit=1, data_dir=spec.data_dir, include_path=list(spec.include_path),
                    allow_media_urls=spec.allow_media_urls, image=spec.image)  # fmt: skip


def execute(spec: RunSpec, *, json: bool = False, quiet: bool = False, verbose: bool = False) -> int:
    """Run, show, print; the exit code."""
    return _execute(spec, lambda notify, stop: run(spec, notify, stop), json=json, quiet=quiet, verbose=verbose)


def score(path: Path, flags: dict[str, Any], *, json: bool = False) -> int:
    """Score again, after asking a judge if one is named; the exit code."""
    include = tuple(flags.pop("include_path", ()))
    if not flags.get("judge") and not flags.get("judge_endpoint"):
        _score_by_rules(path, include, flags)
        return EXIT_OK
    with load(path) as directory:
        chosen = recorded_tasks(directory, include)
        spec = again.judge_spec(path, recorded_spec(path, directory.manifest()), given(flags))
        check_scorings(chosen.tasks, spec.scoring)
        return _execute(spec, lambda notify, stop: rejudge(directory, spec, chosen, notify, stop), json=json)


def _score_by_rules(path: Path, include: tuple[Path, ...], flags: dict[str, Any]) -> None:
    now = {name: flags.get(name) for name in again.TRACKERS}
    recorded = recorded_spec(path, read_json(path / "manifest.json")) if any(now.values()) else {"tasks": ()}
    spec = make_spec({**recorded, **now, "output_format": flags.get("output_format", ()), "include_path": include})
    with LiveView() as view, loggers(spec, view) as trackers:
        result = rescore(path, include, flags.get("scoring", "").split(",") if flags.get("scoring") else ())
        trackers(Opened(str(path), spec.model))
        trackers.results(result)
    print_result(result)
    _export(spec, result)


def _execute(
    spec: RunSpec, work: Callable[[Notify, Stop], Coroutine[Any, Any, RunResult]], *, json: bool = False,
    quiet: bool = False, verbose: bool = False,
) -> int:  # fmt: skip
    caught: list[int] = []
    stop = Stop()

    async def main() -> RunResult:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()

        def signalled(number: signal.Signals) -> None:
            caught.append(number)
            if len(caught) == 1:
                stop.request(_SIGNALS[number])
            elif len(caught) == 2:  # a third must not cut short the ending of the server
                task.cancel()

        for number in _SIGNALS:
            loop.add_signal_handler(number, signalled, number)
        try:
            return await work(trackers, stop)
        finally:
            for number in _SIGNALS:  # whoever waits for a tracker afterwards can leave
                loop.remove_signal_handler(number)

    view = LiveView(quiet=quiet or json, verbose=verbose)
    with loggers(spec, JsonLines(sys.stdout) if json else view) as trackers:
        with view:
            try:
                result = run_to_end(main())
            except (asyncio.CancelledError, KeyboardInterrupt):
                why = "Stopped" if caught else f"Stopped, since {stop.reason}"
                said = f"{why}. What was answered is kept; the same command continues."
                Console(stderr=True).print(said, markup=False, soft_wrap=True)
                return _signal_code(caught) if caught else EXIT_NOT_MEASURED
        if not json:
            print_result(result)
        trackers.results(result)
    if json:
        sys.stdout.write(orjson.dumps({"event": "Result", "path": str(result.path), **as_json(result)}).decode() + "\n")
    _export(spec, result, quiet=json)
    return _verdict(spec, result, stop, caught)


def _export(spec: RunSpec, result: RunResult, *, quiet: bool = False) -> None:
    for name in spec.output_format:
        made = export(result.path, name)
        if not quiet:
            print(f"{name}: {made[0].parent}/")


_SIGNALS = {signal.SIGINT: "Ctrl-C was pressed (once more stops at once)", signal.SIGTERM: "SIGTERM came"}


def _signal_code(caught: list[int]) -> int:
    return EXIT_SIGTERM if caught[0] == signal.SIGTERM else EXIT_SIGINT


def print_result(result: RunResult) -> None:
    """Score table, failures and where the files are."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(score_table(result))
    for line in remarks(result):
        console.print(line, markup=False)
    console.print(f"Results, samples and journal: {result.path}/", markup=False, soft_wrap=True)


def merge(runs: Sequence[Path], out: Path, include: Sequence[Path]) -> int:
    """Put shards together and show the whole; the exit code, by the --max-failures they were given."""
    result = merged(runs, out, include)
    print_result(result)
    spec = make_spec(recorded_spec(out, read_json(out / "manifest.json")))
    return _verdict(spec, result, Stop(), [], "`resume` of a shard")


def _verdict(
    spec: RunSpec, result: RunResult, stop: Stop, caught: list[int], same: str = "The same command"
) -> int:
    """`same` is what goes on with the run."""
    failed, samples, unjudged = result.failed, result.samples, result.not_judged
    allowed = spec.max_failures * samples if spec.max_failures < 1 else spec.max_failures
    said: list[str] = []
    if stop.reason is not None:
        left = f" {result.not_asked} samples were not asked." if result.not_asked else ""
        said.append(f"The run ended early, since {stop.reason}.{left} {same} continues it.")
    if failed > allowed:
        passing = sum(count for kind, count in result.failures.items() if kind in TRANSIENT)
        again = f"{same} asks {passing} of them again" if passing else "Asking again would not help"
        said.append(
            f"{failed} of {samples} samples could not be measured, more than --max-failures allows. The scores rest on "
            f"the others. {again}; --retry-failed all asks every one."
        )
    if unjudged and failed + unjudged > allowed:
        said.append(f"{unjudged} of {samples} answers should have been judged and have no score, more than "
                    f"--max-failures allows. {same} asks the judge what it can still be asked.")  # fmt: skip
    if said:
        _loudly("\n".join(said))
    if caught:
        return _signal_code(caught)
    return EXIT_NOT_MEASURED if said else EXIT_OK


def _loudly(text: str) -> None:
    console = Console(stderr=True)
    if console.is_terminal:
        console.print(Panel(Text(text), title="NOT COMPLETE", style="bold red", expand=False))
    else:  # a frame would break the sentences of a log
        console.print(f"NOT COMPLETE\n{text}", markup=False, soft_wrap=True)


def spec_from(config: Path | None, flags: dict[str, Any]) -> RunSpec:
    """The spec of a command line: flags over the file of --config. Raises UsageError."""
    return make_spec({"tasks": (), **_config(config), **given(flags)})


def given(flags: dict[str, Any]) -> dict[str, Any]:
    """Flags as a spec has them. Raises UsageError."""
    read = dict(flags)
    for name in ("concurrency", "judge_concurrency", "client_workers"):
        if name in read and read[name].isdigit():
            read[name] = int(read[name])
    for name in ("gen", "judge_gen"):
        if name in read:
            read[name] = dict(_pair(name.replace("_", "-"), item) for item in read[name])
    if "extra_body" in read:
        read["extra_body"] = _json_object(read["extra_body"])
    return read


def _pair(flag: str, text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise UsageError(f"--{flag} {text}: write KEY=VALUE.")
    return name, yaml.safe_load(value)


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"--extra-body: not JSON ({error}).") from None
    if not isinstance(value, dict):
        raise UsageError("--extra-body: give a JSON object, such as '{\"top_k\": 1}'.")
    return value


def _config(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"--config {path}: cannot be read ({error}).") from None
    if not isinstance(content, dict):
        raise UsageError(f"--config {path}: a mapping of flags is expected.")
    return {str(name).replace("-", "_"): value for name, value in content.items()}
