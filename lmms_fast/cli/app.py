"""`lmms-fast`: parse, call, print."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
import yaml
from rich.console import Console

from lmms_fast import __version__
from lmms_fast.cli import doctor, servers, tasks
from lmms_fast.config.spec import RunSpec, make_spec
from lmms_fast.errors import (
    EXIT_ERROR,
    EXIT_NOT_MEASURED,
    EXIT_OK,
    EXIT_SIGINT,
    EXIT_SIGTERM,
    LmmsFastError,
    UsageError,
)
from lmms_fast.types import TRANSIENT

if TYPE_CHECKING:
    from lmms_fast.report.result import RunResult

_EXIT_CODES = (
    "Exit codes: 0 complete · 1 usage or internal error · 2 finished, but more samples than --max-failures could not "
    "be measured · 5 the vLLM server did not start, or died · 130, 143 stopped by a signal (the same command goes on)."
)
app = typer.Typer(
    name="lmms-fast",
    help=f"Fast, accountable evaluation of large multimodal models.\n\n{_EXIT_CODES}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(tasks.app, name="tasks")
app.add_typer(servers.app, name="server")
app.command("doctor")(doctor.doctor)


def _option(flag: str, text: str, *more: str) -> Any:
    """A flag that LMMS_FAST_<FLAG> sets too."""
    name = flag.partition("/")[0].strip("-").replace("-", "_").upper()
    return typer.Option(flag, *more, help=text, envvar=f"LMMS_FAST_{name}")


@app.command("eval", epilog=_EXIT_CODES)
def evaluate(
    tasks: Annotated[str | None, _option("--tasks", "Tasks, groups, wildcards or YAML paths, comma-separated.")] = None,
    endpoint: Annotated[
        list[str] | None,
        _option("--endpoint", "local (launches vLLM), a URL, or a preset such as openai; repeat for a pool. "
                "Default: local."),
    ] = None,
    model: Annotated[str | None, _option("--model", "Model name; for local a hub id or a path. Default for local: the "
                                         "bundled tiny model; for a URL: the one it serves.")] = None,
    api_key_env: Annotated[str | None, _option("--api-key-env", "Environment variable that holds the key.")] = None,
    tp: Annotated[int | None, _option("--tp", "Local: tensor parallel size.")] = None,
    pp: Annotated[int | None, _option("--pp", "Local: pipeline parallel size.")] = None,
    dp: Annotated[int | None, _option("--dp", "Local: data parallel size.")] = None,
    max_model_len: Annotated[int | None, _option("--max-model-len", "Local: context length.")] = None,
    gpu_memory_utilization: Annotated[
        float | None, _option("--gpu-memory-utilization", "Local: share of the memory vLLM may take.")
    ] = None,
    keep_server: Annotated[
        bool | None, _option("--keep-server", "Local: leave vLLM running; the next run with the same server settings "
                             "uses it (see `lmms-fast server`).")
    ] = None,
    include_path: Annotated[
        list[Path] | None, _option("--include-path", "Folder with task YAMLs of your own; their hooks may run.")
    ] = None,
    data_dir: Annotated[Path | None, _option("--data-dir", "Local copies of datasets, instead of the hub.")] = None,
    limit: Annotated[str | None, _option("--limit", "Samples per task: a number, or a share below 1.")] = None,
    sample_ids: Annotated[str | None, _option("--sample-ids", "Only these ids, comma-separated.")] = None,
    repeats: Annotated[int | None, _option("--repeats", "Ask every sample so many times.")] = None,
    seed: Annotated[int | None, _option("--seed", "Seed for sampling at temperature > 0. Default: 0.")] = None,
    system_prompt: Annotated[str | None, _option("--system-prompt", "System turn instead of the task's.")] = None,
    max_tokens: Annotated[int | None, _option("--max-tokens", "Answer length instead of the task's.")] = None,
    temperature: Annotated[float | None, _option("--temperature", "Instead of the task's.")] = None,
    top_p: Annotated[float | None, _option("--top-p", "Instead of the task's.")] = None,
    gen: Annotated[list[str] | None, _option("--gen", "Request field as KEY=VALUE; repeat.")] = None,
    extra_body: Annotated[str | None, _option("--extra-body", "Request fields as a JSON object.")] = None,
    concurrency: Annotated[str | None, _option("--concurrency", "Requests in flight: a number, or auto (64 per local "
                                               "or URL endpoint, 32 per hosted API).")] = None,
    rpm: Annotated[float | None, _option("--rpm", "At most so many requests a minute.")] = None,
    request_timeout: Annotated[float | None, _option("--request-timeout", "Seconds per attempt. Default: 600.")] = None,
    max_attempts: Annotated[int | None, _option("--max-attempts", "Attempts per request. Default: 5.")] = None,
    max_failures: Annotated[
        float | None,
        _option("--max-failures", "Samples that may stay unmeasured: a share below 1, or a number. Default: 0.01."),
    ] = None,
    output_dir: Annotated[Path | None, _option("--output-dir", "Run directory. Default: runs/…, named by the run's "
                                               "settings, so the same command continues there.", "-o")] = None,
    fresh: Annotated[
        bool | None, _option("--fresh/--resume", "Set an existing run aside, or continue it (default).")
    ] = None,
    profile: Annotated[
        bool | None, _option("--profile", "Write trace.json into the run directory: every request over time, for "
                             "https://ui.perfetto.dev.")
    ] = None,
    config: Annotated[Path | None, _option("--config", "YAML with these flags as keys; flags win.")] = None,
    dry_run: Annotated[
        bool, _option("--dry-run", "Check everything, show the first request of each task, send none.")
    ] = False,
    json: Annotated[bool, _option("--json", "Events as JSON lines on standard output, the results last.")] = False,
    quiet: Annotated[bool, _option("--quiet", "Only the score table.", "-q")] = False,
    verbose: Annotated[bool, _option("--verbose", "Every retry.", "-v")] = False,
) -> None:
    """Evaluate a model on tasks. Everything after `--` goes to `vllm serve`.

    lmms-fast eval --endpoint local --model Qwen/Qwen2.5-VL-7B-Instruct --tp 4 --tasks mmmu

    lmms-fast eval --endpoint openai --model gpt-4o --tasks mme,mmmu --limit 100
    """
    given = {name: value for name, value in locals().items() if value not in (None, ())}
    for name in ("config", "dry_run", "json", "quiet", "verbose"):
        given.pop(name, None)
    if concurrency and concurrency.isdigit():
        given["concurrency"] = int(concurrency)
    if gen:
        given["gen"] = dict(_pair(item) for item in gen)
    if extra_body:
        given["extra_body"] = _json_object(extra_body)
    if _server_args:
        given["server_args"] = tuple(_server_args)
    spec = make_spec({"tasks": (), **_config(config), **given})
    if dry_run:
        tasks_check(spec)
        return
    raise typer.Exit(_run(spec, json=json, quiet=quiet, verbose=verbose))


@app.command()
def resume(run: Annotated[Path, typer.Argument(help="A run directory.")]) -> None:
    """Continue a run that was interrupted, with the settings it was started with."""
    from lmms_fast.journal.rundir import read_json  # noqa: PLC0415

    manifest = read_json(run / "manifest.json")
    if manifest is None:
        raise UsageError(f"{run}: not a run directory (it has no manifest.json).")
    spec = make_spec({**manifest["sessions"][-1]["spec"], "output_dir": run, "fresh": False})
    raise typer.Exit(_run(spec, json=False, quiet=False, verbose=False))


@app.command()
def score(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    include_path: Annotated[list[Path] | None, _option("--include-path", "Folder with task YAMLs of your own.")] = None,
) -> None:
    """Score a run's stored responses again, with the tasks' rules as they are now; no model, no dataset."""
    from lmms_fast.api import rescore  # noqa: PLC0415

    _print(rescore(run, include_path or ()))


def tasks_check(spec: RunSpec) -> None:
    """--dry-run: everything short of sending."""
    for name in spec.tasks:
        tasks.check(name, limit=1, data_dir=spec.data_dir, include_path=list(spec.include_path))


def _run(spec: RunSpec, *, json: bool, quiet: bool, verbose: bool) -> int:
    from lmms_fast.pipeline.run import run, run_to_end  # noqa: PLC0415  (a quarter of a second that --help need not pay)
    from lmms_fast.report.console import JsonLines, LiveView  # noqa: PLC0415
    from lmms_fast.report.result import as_json  # noqa: PLC0415

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
        _print(result)
    return _verdict(spec, result)


def _print(result: RunResult) -> None:
    from lmms_fast.report.console import failure_lines, score_table  # noqa: PLC0415

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


_server_args: list[str] = []


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """Fast, accountable evaluation of large multimodal models."""
    if show:
        print(f"lmms-fast {__version__}")
        raise typer.Exit


def main(argv: list[str] | None = None) -> None:
    """Entry point; every failure of ours is one sentence and an exit code."""
    words = sys.argv[1:] if argv is None else argv
    if "--" in words:
        split = words.index("--")
        words, _server_args[:] = words[:split], words[split + 1 :]
    try:
        app(words, standalone_mode=True)
    except LmmsFastError as error:
        print(f"lmms-fast: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(EXIT_ERROR)


if __name__ == "__main__":
    main()
