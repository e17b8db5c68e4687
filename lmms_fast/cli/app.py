"""`lmms-fast`: the commands and their flags. What they do is imported when they do it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from lmms_fast import __version__
from lmms_fast.cli import compare, doctor, importing, outputs, parity, report, servers, tasks
from lmms_fast.errors import EXIT_ERROR, LmmsFastError
from lmms_fast.limits import set_limits

_EXIT_CODES = (
    "Exit codes: 0 complete · 1 usage or internal error · 2 more samples than --max-failures were not measured or "
    "judged, or the run ended early (--max-time, --budget, no endpoint answers) · 3 `gate`: not good enough · 4 "
    "`gate`: nobody can tell · 5 the vLLM server did not start, or kept dying · 130, 143 stopped by a signal (the same "
    "command goes on)."
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


def _option(flag: str, text: str, *more: str) -> Any:
    """A flag that LMMS_FAST_<FLAG> sets too."""
    name = flag.partition("/")[0].strip("-").replace("-", "_").upper()
    return typer.Option(flag, *more, help=text, envvar=f"LMMS_FAST_{name}")


_JUDGE = _option("--judge", "Model that scores what rules cannot (free-form answers). Default with --judge-endpoint: "
                 "the one it serves.", "--judge-model")  # fmt: skip
_JUDGE_ENDPOINT = _option("--judge-endpoint", "Where the judge is: local, a URL or a preset; repeat for a pool. "
                          "Default: --endpoint. The same model there is not launched twice; another vLLM is launched "
                          "beside the first where GPUs or their memory allow it, else after it.")  # fmt: skip
_JUDGE_CONCURRENCY = _option("--judge-concurrency", "Requests in flight at the judge: a number, or auto (default).")
_JUDGE_API_KEY_ENV = _option("--judge-api-key-env", "Environment variable that holds the judge's key.")
_JUDGE_GEN = _option("--judge-gen", "Request field for the judge as KEY=VALUE; repeat. (temperature=null leaves it to "
                     "the provider.)")  # fmt: skip
_JUDGE_TP = _option("--judge-tp", "Local judge: tensor parallel size.")
_JUDGE_CACHE = _option("--judge-cache/--no-judge-cache", "Take judgements of other runs for the same question, "
                       "reference, answer, rubric and judge (default), or ask again.")  # fmt: skip
_JUDGE_AUDIT = _option("--judge-audit", "Share of the judged samples, such as 5%, that a second judge scores, too.")
_AUDIT_JUDGE = _option("--audit-judge", "The second judge's model.")
_AUDIT_ENDPOINT = _option("--audit-endpoint", "Where the second judge is. Default: --judge-endpoint.")
_RAY_ADDRESS = _option("--ray-address", "Local: vLLM, each of --dp, on the nodes of the Ray cluster at HOST:PORT, or "
                       "auto for the one of this machine (pip install 'lmms-fast[ray]' on all nodes; see "
                       "docs/clusters.md). A model that no node can hold alone is spread over several.")  # fmt: skip

_WANDB = _option("--wandb", "Log to Weights & Biases: project=NAME[,entity=…,name=…,group=…,tags=a+b,mode=offline,"
                 "dir=…]: progress as it goes on, then scores, a table of samples (200 of each task, failures first, "
                 "small pictures; samples=N), results and samples files. timeout=SECONDS to store them (120).",
                 )  # fmt: skip
_MLFLOW = _option("--mlflow", "The same to MLflow: tracking_uri=URI,experiment=NAME[,name=…,tags=a+b,samples=N,"
                  "timeout=…].")  # fmt: skip
_TENSORBOARD = _option("--tensorboard", "The same as event files of TensorBoard: DIR[,samples=N].")
_OUTPUT_FORMAT = _option("--output-format", "Write the run in other forms too, comma-separated, below RUN/export: "
                         "lmms-eval (results JSON and samples JSONL), parquet, csv.")  # fmt: skip


@app.command("eval", epilog=_EXIT_CODES)
def evaluate(
    tasks: Annotated[str | None, _option("--tasks", "Tasks, groups, wildcards, YAML paths, data files (TSV, "
                                             "JSONL, …), or lmms-eval:NAME, comma-separated.")] = None,
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
    dp: Annotated[int | None, _option("--dp", "Local: replicas, each a vLLM of its own on GPUs of its own.")] = None,
    max_model_len: Annotated[int | None, _option("--max-model-len", "Local: context length.")] = None,
    gpu_memory_utilization: Annotated[
        float | None, _option("--gpu-memory-utilization", "Local: share of the memory vLLM may take.")
    ] = None,
    keep_server: Annotated[
        bool | None, _option("--keep-server", "Local: leave vLLM running; the next run with the same server settings "
                             "uses it (see `lmms-fast server`).")
    ] = None,
    ray_address: Annotated[str | None, _RAY_ADDRESS] = None,
    include_path: Annotated[
        list[Path] | None, _option("--include-path", "Folder with task YAMLs of your own; their hooks may run.")
    ] = None,
    data_dir: Annotated[Path | None, _option("--data-dir", "Local copies of datasets, instead of the hub.")] = None,
    allow_media_urls: Annotated[
        bool | None, _option("--allow-media-urls", "Fetch pictures that rows name by http(s) address: from public "
                             "hosts only, 64 MiB and 30 s each at most.")
    ] = None,
    image: Annotated[
        str | None, _option("--image", "max-pixels=1048576,format=jpeg,quality=90, any of them: pictures made smaller, "
                            "or sent as jpeg, png or webp. Default: original bytes; only what programs show "
                            "differently (EXIF orientation, transparency, 16 bits, CMYK, animations) is sent as PNG "
                            "of what a person sees.")
    ] = None,
    limit: Annotated[str | None, _option("--limit", "Samples per task: a number, or a share below 1.")] = None,
    sample_ids: Annotated[str | None, _option("--sample-ids", "Only these ids, comma-separated.")] = None,
    shard: Annotated[str | None, _option("--shard", "One part of several that know nothing of each other, such as 2/8; "
                                         "`lmms-fast merge` makes one run of all.")] = None,
    repeats: Annotated[int | None, _option("--repeats", "Ask every sample so many times.")] = None,
    seed: Annotated[int | None, _option("--seed", "Seed for sampling at temperature > 0. Default: 0.")] = None,
    system_prompt: Annotated[str | None, _option("--system-prompt", "System turn instead of the task's.")] = None,
    prompt_variant: Annotated[
        str | None, _option("--prompt-variant", "A named prompt of the tasks (see `tasks show`). Default: the one "
                            "meant for the model, where its name tells.")
    ] = None,
    scoring: Annotated[
        str | None, _option("--scoring", "Report the same answers by these named rules too (such as lmms-eval), "
                            "comma-separated, beside the benchmark's own.")
    ] = None,
    judge: Annotated[str | None, _JUDGE] = None,
    judge_endpoint: Annotated[list[str] | None, _JUDGE_ENDPOINT] = None,
    judge_concurrency: Annotated[str | None, _JUDGE_CONCURRENCY] = None,
    judge_api_key_env: Annotated[str | None, _JUDGE_API_KEY_ENV] = None,
    judge_gen: Annotated[list[str] | None, _JUDGE_GEN] = None,
    judge_tp: Annotated[int | None, _JUDGE_TP] = None,
    judge_cache: Annotated[bool | None, _JUDGE_CACHE] = None,
    judge_audit: Annotated[str | None, _JUDGE_AUDIT] = None,
    audit_judge: Annotated[str | None, _AUDIT_JUDGE] = None,
    audit_endpoint: Annotated[list[str] | None, _AUDIT_ENDPOINT] = None,
    max_tokens: Annotated[int | None, _option("--max-tokens", "Answer length instead of the task's.")] = None,
    temperature: Annotated[float | None, _option("--temperature", "Instead of the task's.")] = None,
    top_p: Annotated[float | None, _option("--top-p", "Instead of the task's.")] = None,
    gen: Annotated[list[str] | None, _option("--gen", "Request field as KEY=VALUE; repeat.")] = None,
    extra_body: Annotated[str | None, _option("--extra-body", "Request fields as a JSON object.")] = None,
    concurrency: Annotated[str | None, _option("--concurrency", "Requests in flight: a number, or auto (default): as "
                                               "many as bring more answers a second.")] = None,
    client_workers: Annotated[
        str | None, _option("--client-workers", "Processes that make, send and read requests: a number, or auto "
                            "(default): one, and more when it is at its limit while cores are idle. With "
                            "--ray-address a number of them run on the cluster's nodes.")
    ] = None,
    rpm: Annotated[float | None, _option("--rpm", "At most so many requests a minute, for each endpoint.")] = None,
    tpm: Annotated[float | None, _option("--tpm", "At most so many tokens a minute, for each endpoint.")] = None,
    max_time: Annotated[
        str | None, _option("--max-time", "End after so long (90s, 30m, 2h), with the result of what is answered.")
    ] = None,
    budget: Annotated[
        str | None, _option("--budget", "End when so much is spent: 2.50usd, 500ktok, 2Mtok; with the result so far.")
    ] = None,
    prices: Annotated[
        Path | None, _option("--prices", "YAML of prices for --budget in dollars: 'model*: {prompt: 0.5, completion: "
                             "1.5}', a million tokens.")
    ] = None,
    patience: Annotated[
        float | None, _option("--patience", "Seconds without any endpoint that answers, until the run ends. "
                              "Default: 300.")
    ] = None,
    request_timeout: Annotated[float | None, _option("--request-timeout", "Seconds per attempt. Default: 600.")] = None,
    max_attempts: Annotated[int | None, _option("--max-attempts", "Attempts per request. Default: 5.")] = None,
    max_failures: Annotated[
        float | None,
        _option("--max-failures", "Samples that may stay unmeasured: a share below 1, or a number. Default: 0.01."),
    ] = None,
    retry_failed: Annotated[
        str | None, _option("--retry-failed", "What a further session asks again: transient (default: timeouts, 5xx, "
                            "429, connections), or all.")
    ] = None,
    retry_truncated: Annotated[
        int | None, _option("--retry-truncated", "Ask answers that were cut off again with so many tokens, and report "
                            "both scores.")
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
    output_format: Annotated[str | None, _OUTPUT_FORMAT] = None,
    wandb: Annotated[str | None, _WANDB] = None,
    mlflow: Annotated[str | None, _MLFLOW] = None,
    tensorboard: Annotated[str | None, _TENSORBOARD] = None,
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
    ours = ("config", "dry_run", "json", "quiet", "verbose")
    flags = {name: value for name, value in locals().items() if name not in (*ours, "ours") and value not in (None, ())}
    if _server_args:
        flags["server_args"] = tuple(_server_args)
    from lmms_fast.cli import execute

    spec = execute.spec_from(config, flags)
    if dry_run:
        execute.dry_run(spec)
        return
    raise typer.Exit(execute.execute(spec, json=json, quiet=quiet, verbose=verbose))


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    include_path: Annotated[
        list[Path] | None, _option("--include-path", "Folder with task YAMLs whose hooks may run. Those without hooks "
                                   "are found where they were.")
    ] = None,
    api_key_env: Annotated[
        str | None, typer.Option("--api-key-env", help="Environment variable that holds the key: to be given again, "
                                 "and always where a key is to go to a URL elsewhere than on this machine.")
    ] = None,
    judge_api_key_env: Annotated[
        str | None, typer.Option("--judge-api-key-env", help="The same for the judge's key.")
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option("--ray-address", help="The Ray cluster on which vLLM is launched, to be given again.")
    ] = None,
    wandb: Annotated[str | None, _WANDB] = None,
    mlflow: Annotated[str | None, _MLFLOW] = None,
    tensorboard: Annotated[str | None, _TENSORBOARD] = None,
) -> None:
    """Continue a run that was interrupted, with the settings it was started with.

    The directory may be someone else's. So what could run code (hooks, vLLM's flags after `--`), the variable of a
    key that goes to a URL elsewhere than on this machine, a Ray cluster, and trackers, are to be given again here.
    """
    from lmms_fast.cli import again, execute

    trackers = {"wandb": wandb, "mlflow": mlflow, "tensorboard": tensorboard}
    raise typer.Exit(execute.execute(again.spec_again(
        run, include_path or (), api_key_env, _server_args, judge_api_key_env, trackers, ray_address
    )))


@app.command()
def score(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    include_path: Annotated[list[Path] | None, _option("--include-path", "Folder with task YAMLs of your own; "
                                                               "hooks do not run.")] = None,
    scoring: Annotated[
        str | None, _option("--scoring", "Named rules to report beside the benchmark's own (such as lmms-eval).")
    ] = None,
    judge: Annotated[str | None, _JUDGE] = None,
    judge_endpoint: Annotated[list[str] | None, _JUDGE_ENDPOINT] = None,
    judge_concurrency: Annotated[str | None, _JUDGE_CONCURRENCY] = None,
    judge_api_key_env: Annotated[str | None, _JUDGE_API_KEY_ENV] = None,
    judge_gen: Annotated[list[str] | None, _JUDGE_GEN] = None,
    judge_tp: Annotated[int | None, _JUDGE_TP] = None,
    judge_cache: Annotated[bool | None, _JUDGE_CACHE] = None,
    judge_audit: Annotated[str | None, _JUDGE_AUDIT] = None,
    audit_judge: Annotated[str | None, _AUDIT_JUDGE] = None,
    audit_endpoint: Annotated[list[str] | None, _AUDIT_ENDPOINT] = None,
    budget: Annotated[str | None, _option("--budget", "End when the judging has spent so much, as for `eval`.")] = None,
    data_dir: Annotated[Path | None, _option("--data-dir", "Where the data are now, for a judge that is shown "
                                             "pictures. Default: where they were.")] = None,
    output_format: Annotated[str | None, _OUTPUT_FORMAT] = None,
    wandb: Annotated[str | None, _WANDB] = None,
    mlflow: Annotated[str | None, _MLFLOW] = None,
    tensorboard: Annotated[str | None, _TENSORBOARD] = None,
    json: Annotated[bool, _option("--json", "Events as JSON lines on standard output, the results last.")] = False,
) -> None:
    """Score a run's stored responses again, with the tasks' rules as they are now; the model is not asked anything.

    With --judge, what rules cannot tell is judged by that model, in place of the judge before; what it has said of the
    same answers already is not asked again:

    lmms-fast score runs/mine --judge gpt-4o --judge-endpoint openai
    """
    ours = ("run", "json", "ours")
    flags = {name: value for name, value in locals().items() if name not in ours and value not in (None, ())}
    from lmms_fast.cli import execute

    raise typer.Exit(execute.score(run, flags, json=json))


@app.command()
def merge(
    runs: Annotated[list[Path], typer.Argument(help="The run directories of all shards.")],
    output_dir: Annotated[Path, _option("--output-dir", "Directory of the merged run; a new one.", "-o")],
    include_path: Annotated[list[Path] | None, _option("--include-path", "Folder with task YAMLs of your own; "
                                                       "hooks do not run.")] = None,
) -> None:
    """Make one run of the shards of one (`eval --shard 1/8` … `8/8`), as if it had never been in parts.

    Refused where a shard is missing, twice, not complete, or of another model, task or setting.
    """
    from lmms_fast.cli import execute

    raise typer.Exit(execute.merge(runs, output_dir, include_path or ()))


# In the order of --help.
app.command("report")(report.report)
app.command("view")(report.view)
app.command("show")(outputs.show)
app.command("compare")(compare.compare)
app.command("gate")(compare.gate)
app.command("export")(outputs.export)
app.command("push")(outputs.push)
app.command("import")(importing.import_answers)
app.command("parity")(parity.parity)
app.command("doctor")(doctor.doctor)

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
    set_limits()
    words = sys.argv[1:] if argv is None else argv
    if "--" in words:
        split = words.index("--")
        words, _server_args[:] = words[:split], words[split + 1 :]
    try:
        app(words, standalone_mode=True)
    except LmmsFastError as error:
        if not error.quiet:
            print(f"lmms-fast: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(EXIT_ERROR)


if __name__ == "__main__":
    main()
