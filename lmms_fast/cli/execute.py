"""What the commands do, once their flags are parsed. Apart from app.py, so that --help imports none of this."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import orjson
import yaml
from rich.console import Console

from lmms_fast.cli import tasks
from lmms_fast.config.spec import RunSpec, make_spec
from lmms_fast.errors import EXIT_NOT_MEASURED, EXIT_OK, EXIT_SIGINT, EXIT_SIGTERM, UsageError
from lmms_fast.pipeline.run import run, run_to_end
from lmms_fast.report.console import JsonLines, LiveView, failure_lines, score_table
from lmms_fast.report.result import RunResult, as_json
from lmms_fast.types import TRANSIENT


def dry_run(spec: RunSpec) -> None:
    """Everything short of sending: the first request of each task."""
    for name in spec.tasks:
        tasks.check(name, limit=1, data_dir=spec.data_dir, include_path=list(spec.include_path))


def execute(spec: RunSpec, *, json: bool = False, quiet: bool = False, verbose: bool = False) -> int:
    """Run, show, print; the exit code."""
    caught: list[int] = []

    async def main() -> Any:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()

        def stop(number: int) -> None:
            if not caught:  # a second Ctrl-C must not cut short the ending of the server
                caught.append(number)
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
        return await run(spec, notify)

    with LiveView(quiet=quiet or json, verbose=verbose) as view:
        notify = JsonLines(sys.stdout) if json else view
        try:
            result = run_to_end(main())
        except (asyncio.CancelledError, KeyboardInterrupt):
            code = EXIT_SIGTERM if signal.SIGTERM in caught else EXIT_SIGINT
            Console(stderr=True).print("Stopped. What was answered is kept; the same command continues.")
            return code
    if json:
        sys.stdout.write(orjson.dumps({"event": "Result", "path": str(result.path), **as_json(result)}).decode() + "\n")
    else:
        print_result(result)
    return _verdict(spec, result)


def print_result(result: RunResult) -> None:
    """Score table, failures and where the files are."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(score_table(result))
    for line in failure_lines(result):
        console.print(line, markup=False)
    console.print(f"Results, samples and journal: {result.path}/", markup=False, soft_wrap=True)


def _verdict(spec: RunSpec, result: RunResult) -> int:
    failed, samples = result.failed, result.samples
    allowed = spec.max_failures * samples if spec.max_failures < 1 else spec.max_failures
    if failed <= allowed:
        return EXIT_OK
    passing = sum(count for kind, count in result.failures.items() if kind in TRANSIENT)
    again = f"The same command asks {passing} of them again." if passing else "Asking again would not help."
    Console(stderr=True).print(
        f"{failed} of {samples} samples could not be measured, more than --max-failures allows: the scores rest on the "
        f"others. {again}",
        style="bold red",
    )
    return EXIT_NOT_MEASURED


def spec_from(config: Path | None, flags: dict[str, Any]) -> RunSpec:
    """The spec of a command line: flags over the file of --config. Raises UsageError."""
    given = dict(flags)
    if "concurrency" in given and given["concurrency"].isdigit():
        given["concurrency"] = int(given["concurrency"])
    if "gen" in given:
        given["gen"] = dict(_pair(item) for item in given["gen"])
    if "extra_body" in given:
        given["extra_body"] = _json_object(given["extra_body"])
    return make_spec({"tasks": (), **_config(config), **given})


def _pair(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise UsageError(f"--gen {text}: write KEY=VALUE.")
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
