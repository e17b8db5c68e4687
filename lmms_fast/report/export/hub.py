"""A run as a dataset on the Hugging Face hub, and its scores in the card of the model.

The token is the environment's, never one that is kept in a file. Pictures are not pushed; they belong to their data
sets. What goes: results.json, a Parquet file of samples for each task, a card.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmms_fast import __version__
from lmms_fast.endpoints.redact import redact
from lmms_fast.errors import DataError, LmmsFastError, StorageError, UsageError
from lmms_fast.report.export.files import parquet
from lmms_fast.report.finished import FinishedRun, open_run, tasks_of
from lmms_fast.report.plain import one_line
from lmms_fast.report.tables import headlines, in_markdown, markdown

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_REPO = re.compile(r"[\w.-]+/[\w.-]+")
_SAFE = re.compile(r"[^\w.-]+")


def push(path: Path, repo: str, *, private: bool = False, model_card: str | None = None) -> list[str]:
    """Sentences about what was put where. Raises UsageError, DataError with the hub's reason, StorageError."""
    run = open_run(path)
    named = repo if model_card is None or model_card.endswith(".md") else model_card
    for name in (repo, named):
        if not _REPO.fullmatch(name):
            raise UsageError(f"{name}: on the hub names are user/name.")
    token = next((found for name in _TOKENS if (found := os.environ.get(name, "").strip())), None)
    if token is None:
        raise UsageError("push: the hub wants a token with the right to write; set HF_TOKEN.")
    if model_card is not None:
        _check_whole(run)
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415  (takes a while)

    try:
        url = _dataset(run, repo, token, private)
        told = [f"Results and samples: {url}"]
        if model_card is not None:
            told.append(_card(run, model_card, url, token))
        return told
    except LmmsFastError:
        raise
    except HfHubHTTPError as error:
        raise DataError(f"push: the hub refuses: {one_line(redact(str(error), token), 300)}") from None
    except Exception as error:  # the HTTP library's own, a card that is no YAML
        said = one_line(redact(f"{type(error).__name__}: {error}", token), 300)
        raise DataError(f"push: {said}") from None


def _dataset(run: FinishedRun, repo: str, token: str, private: bool) -> str:
    from huggingface_hub import CommitOperationAdd, HfApi  # noqa: PLC0415
    from huggingface_hub.utils.tqdm import disable_progress_bars  # noqa: PLC0415

    if not sys.stderr.isatty():
        disable_progress_bars()
    api = HfApi(token=token)
    url = str(api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True))
    if private and not api.dataset_info(repo).private:
        raise UsageError(f"--private: {repo} is there already and is public; nothing was pushed.")
    with tempfile.TemporaryDirectory() as folder:
        files = {f"data/{_SAFE.sub('_', file.name)}": file for file in parquet(run, Path(folder))}
        content: dict[str, bytes | Path] = {"README.md": readme(run, [*files]).encode(),
                                            "results.json": run.path / "results.json", **files}  # fmt: skip
        operations = [CommitOperationAdd(name, data) for name, data in content.items()]
        api.create_commit(repo, operations, repo_type="dataset", commit_message=f"Results of {one_line(run.model, 80)}")
    return url


def readme(run: FinishedRun, files: Sequence[str]) -> str:
    """The dataset's card: what the viewer is to open, the scores, how they came about."""
    import yaml  # noqa: PLC0415

    configs = [{"config_name": Path(file).stem.removeprefix("samples_"), "data_files": file} for file in files]
    head = yaml.safe_dump({"tags": ["evaluation", "lmms-fast"], "configs": configs}, sort_keys=False)
    session = run.manifest["sessions"][-1]
    settings = {name: session["spec"].get(name) for name in ("limit", "repeats", "seed", "temperature", "max_tokens",
                "system_prompt", "prompt_variant", "image")}  # fmt: skip
    said = [f"- {name}: {in_markdown(str(value))}" for name, value in settings.items() if value is not None]
    return "\n".join([
        f"---\n{head}---", f"# Scores of {in_markdown(run.model)}", "",
        f"Measured with lmms-fast {__version__}, {in_markdown(str(session.get('started')))}. `results.json` has all "
        "numbers, the Parquet files every sample with what was asked and answered; a sample that was not measured has "
        "no score. Pictures are in the benchmarks' own data sets.", "", markdown([run]), *said, "",
    ])  # fmt: skip


def _check_whole(run: FinishedRun) -> None:
    """A card is for whole runs: nobody sees there that a number rests on a tenth of a benchmark."""
    spec = run.manifest["sessions"][-1]["spec"]
    left = [name for name, task in run.results["tasks"].items() if task.get("not_asked")]
    if left or any(spec.get(name) for name in ("limit", "sample_ids", "shard")):
        why = f"{left[0]} was not asked to the end" if left else "it was given --limit, --sample-ids or --shard"
        raise UsageError(f"--model-card: the run is of a part of the samples ({why}), and a model's card is for whole "
                         "runs; push it without.")  # fmt: skip


def _card(run: FinishedRun, place: str, url: str, token: str) -> str:
    """Put the scores into a model's card, in place of those of the same metrics; how that went."""
    from huggingface_hub import ModelCard  # noqa: PLC0415
    from huggingface_hub.errors import EntryNotFoundError  # noqa: PLC0415

    local = place.endswith(".md")
    card: Any
    try:
        card = ModelCard("---\n{}\n---\n") if local and not Path(place).exists() else ModelCard.load(place, token=token)
    except EntryNotFoundError:
        card = ModelCard("---\n{}\n---\n")
    new = [*eval_results(run, url)]
    kept = [one for one in card.data.eval_results or () if not any(_same(one, other) for other in new)]
    card.data.eval_results = [*kept, *new]
    card.data.model_name = card.data.model_name or run.model.split("/")[-1]
    if local:
        try:
            card.save(place)
        except OSError as error:
            raise StorageError(f"{place}: cannot be written ({error.strerror}).") from None
        return f"Scores in the card: {place}"
    done = card.push_to_hub(place, token=token, create_pr=True, commit_message="Evaluation results of lmms-fast")
    return f"Scores proposed for the card: {getattr(done, 'pr_url', None) or done}"


def _same(one: EvalResult, other: EvalResult) -> bool:
    """Whether both tell of the same metric."""
    return (one.unique_identifier, one.metric_type, one.metric_name) == (
        other.unique_identifier, other.metric_type, other.metric_name
    )  # fmt: skip


def eval_results(run: FinishedRun, url: str) -> Iterator[EvalResult]:
    """The headlines as `model-index` has them: one for each number over all samples of a task or group."""
    from huggingface_hub import EvalResult  # noqa: PLC0415

    data = _data(run)
    for name, one in headlines(run):
        if one["value"] is None:
            continue
        where = data.get(name, {})
        yield EvalResult(
            task_type="image-text-to-text", dataset_type=where.get("path", name), dataset_name=name,
            dataset_config=where.get("config"), dataset_split=where.get("split"), metric_type=one["metric"],
            metric_value=one["value"], metric_name=one["metric"], dataset_args={"samples": one["n"]},
            source_name=f"lmms-fast {__version__}", source_url=url,
        )  # fmt: skip


def _data(run: FinishedRun) -> Mapping[str, Mapping[str, Any]]:
    """Where each task's data are on the hub, where its task file still says so."""
    try:
        tasks = tasks_of(run.path, run.manifest).tasks
    except LmmsFastError:
        return {}
    return {task.task: {"path": task.dataset.hub[0].path, "config": task.dataset.hub[0].config,
                        "split": task.dataset.split} for task in tasks if task.dataset.hub}  # fmt: skip
