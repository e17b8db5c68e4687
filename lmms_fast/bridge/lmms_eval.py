"""An installed lmms-eval, 0.7 or later: its tasks as records of ours, and what they ask.

Everything about a task is said by its own code. The messages are those that lmms-eval's `openai` model sends
(`doc_to_messages`, or pictures and then text), the settings too: `max_new_tokens` or 1024, `temperature` or 0, `top_p`;
its API models ignore `until`, so no stop strings are sent. Carried is `generate_until` with pictures and text: an API
tells no likelihoods, and video, sound and rounds of several questions are not there yet.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from PIL import Image

from lmms_fast.bridge import network
from lmms_fast.bridge.marks import score_answers
from lmms_fast.bridge.opened import manager, open_task, quiet, reason, seeded
from lmms_fast.bridge.pictures import encoded, remembering
from lmms_fast.errors import DataError, TaskError, UsageError
from lmms_fast.tasks.foreign import Answer, Marks, Rows
from lmms_fast.tasks.spec import Group, Task
from lmms_fast.types import Doc

PREFIX = "lmms-eval:"
_VERSION = metadata.version("lmms_eval")
_MAX_TOKENS = 1024  # of its `openai` model, where a task says nothing
_PASSED_ON = ("seed", "presence_penalty", "frequency_penalty")  # beside top_p, by that model
_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tiff", ".tif")


def names(include: Sequence[Path]) -> Sequence[str]:
    """All tasks, groups and tags."""
    return [PREFIX + name for name in manager(tuple(include)).all_tasks]


def load(name: str, include: Sequence[Path]) -> Task | Group:
    """A task, or a group or tag. Raises TaskError; suggests near names."""
    own, folders = name.removeprefix(PREFIX), tuple(include)
    index = manager(folders).task_index
    if own not in index:
        near = difflib.get_close_matches(own, index, n=3)
        hint = f" Did you mean {', '.join(PREFIX + one for one in near)}?" if near else ""
        where = f"neither lmms-eval {_VERSION} nor a folder of --include-path has it"
        raise TaskError(f"unknown task '{name}': {where}.{hint}")
    kind = index[own]["type"]
    return _task(name, own, folders) if kind in ("task", "python_task") else _group(name, own, folders)


def rows(task: Task, data_dir: Path | None) -> Rows:
    """What the task asks. Raises DataError, and UsageError where its scoring would ask a judge model unasked."""
    with seeded():
        opened = open_task(task, data_dir)
    _check_judge(task, opened)
    docs = remembering(opened.eval_docs)
    with quiet():
        _row(task, opened, docs, 0)  # its mistakes, and what cannot be carried, before anything is sent
    source = task.dataset.hub[0].path
    origin = f"{source} as lmms-eval {_VERSION} has it" if data_dir is None else f"{data_dir}, by lmms-eval {_VERSION}"
    return Rows(lambda: (_row(task, opened, docs, number) for number in range(len(docs))), len(docs), origin)


def score(task: Task, answers: Sequence[Answer], asked: int, data_dir: Path | None, folder: Path) -> Marks:
    """See `marks.score_answers`."""
    return score_answers(task, answers, asked, data_dir, folder)


def _task(name: str, own: str, include: tuple[Path, ...]) -> Task:
    file = Path(manager(include).task_index[own]["yaml_path"])
    config = _config(name, own, include)
    kind = config.get("output_type", "generate_until")
    if kind != "generate_until":
        raise TaskError(f"{name}: its output_type is {kind}, and the bridge carries generate_until.")
    if (config.get("dataset_kwargs") or {}).get("video"):
        raise TaskError(f"{name}: it shows video, which the bridge does not carry yet.")
    settings = config.get("generation_kwargs") or {}
    settings = {**settings, **((config.get("model_specific_generation_kwargs") or {}).get("default") or {})}
    top_p = settings.get("top_p")
    metrics = [_metric(one["metric"]) for one in config.get("metric_list") or ()] or ["exact_match"]
    return Task.model_validate({
        "task": name,
        "benchmark": own,
        "about": f"{own} by the code of lmms-eval.",
        "source": f"lmms-eval {_VERSION}",
        "licence": "see the dataset",
        "dataset": {
            "hub": {"path": str(config.get("dataset_path") or own), "config": config.get("dataset_name")},
            "split": config.get("test_split") or config.get("validation_split") or "test",
        },
        "prompt": {"turns": "messages"},
        "target": {"column": "target"},
        "generation": {
            "max_tokens": int(settings.get("max_new_tokens") or _MAX_TOKENS),
            "temperature": float(settings.get("temperature") or 0),
            "top_p": top_p if top_p and 0 < top_p <= 1 else None,
            "extra": {key: settings[key] for key in _PASSED_ON if settings.get(key) is not None},
        },
        "score": {"extract": "text"},
        "report": [{"name": "mean", "options": {"metric": one}} for one in metrics],
        "repeats": int(config.get("repeats") or 1),
        "foreign": {"name": own, "version": _VERSION, "code": _hash(file), "include": include},
        "file": file,
    })  # fmt: skip


def _config(name: str, own: str, include: tuple[Path, ...]) -> Mapping[str, Any]:
    with quiet():
        try:
            found: Mapping[str, Any] = manager(include)._get_config(own)
        except Exception as error:  # its YAML files import code, which imports anything
            raise TaskError(f"{name}: lmms-eval cannot load it here: {reason(error)}.") from None
    return found


def _metric(metric: Any) -> str:
    return metric if isinstance(metric, str) else str(getattr(metric, "__name__", metric))


def _hash(file: Path) -> str:
    """Of the code and the YAML files in the task's folder."""
    hasher = hashlib.blake2b(digest_size=8)
    for path in sorted(one for one in file.parent.iterdir() if one.is_file() and one.suffix != ".pyc"):
        hasher.update(path.name.encode() + b"\0" + path.read_bytes())
    return hasher.hexdigest()


def _group(name: str, own: str, include: tuple[Path, ...]) -> Group:
    entry = manager(include).task_index[own]
    config = _config(name, own, include) if entry["type"] == "group" else {"task": entry["task"]}
    declared = config.get("aggregate_metric_list") or ()
    wanted = [one for one in (declared if isinstance(declared, list | tuple) else [declared])
              if one.get("aggregation") in (None, "mean")]  # fmt: skip
    by_size = any(one.get("weight_by_size") for one in wanted)
    return Group.model_validate({
        "group": name,
        "about": f"{own} of lmms-eval {_VERSION}.",
        "tasks": list(dict.fromkeys(PREFIX + one for one in _leaves(name, config["task"], include))),
        "weight": "none" if not wanted else "size" if by_size else "equal",
        "metrics": [_metric(one["metric"]) for one in wanted],
        "file": entry["yaml_path"] if isinstance(entry["yaml_path"], str) else "lmms-eval",
    })  # fmt: skip


def _leaves(name: str, members: Sequence[Any], include: tuple[Path, ...]) -> Iterator[str]:
    """Tasks below a group; lmms-eval averages over all of them, however deep."""
    index = manager(include).task_index
    for member in members:
        if isinstance(member, Mapping) and isinstance(member.get("task"), list):
            yield from _leaves(name, member["task"], include)
        elif not isinstance(member, str) or member not in index:
            raise TaskError(f"{name}: its member {member!r} is no task by name, which is all the bridge carries.")
        elif index[member]["type"] == "group":
            yield from _leaves(name, _config(name, member, include)["task"], include)
        elif index[member]["type"] == "tag":
            yield from _leaves(name, index[member]["task"], include)
        else:
            yield member


def _check_judge(task: Task, opened: Any) -> None:
    if network.allowed():
        return
    client = network.client_in(opened.config.process_results, *opened.aggregation().values())
    if client is not None:
        raise UsageError(
            f"task {task.task}: its scoring code asks a model or a service over the network ({client}), which is not "
            f"done unasked. {network.ALLOW}=1 allows it; lmms-eval's own variables (API_TYPE, MODEL_VERSION, "
            "OPENAI_API_URL, OPENAI_API_KEY) say which."
        )


def _row(task: Task, opened: Any, docs: Any, number: int) -> Doc:
    opened.set_fewshot_seed(number)  # its examples must not depend on how many documents were looked at before
    try:
        with quiet(), seeded(number):
            doc = docs[number]
            messages = opened.doc_to_messages(doc)
            target = opened.doc_to_target(doc)
        turns = [{"role": one["role"], "content": _content(task, one["content"])} for one in messages]
    except OSError as error:  # a picture that cannot be decoded, or is not there; the sample is not measured
        turns, target = [{"role": "user", "content": [{"missing": reason(error)}]}], ()
    except UsageError:
        raise
    except Exception as error:  # the task's own code
        raise TaskError(f"task {task.task}: its code fails on document {number}: {reason(error)}.") from None
    return {"messages": turns, "target": list(target) if isinstance(target, list | tuple) else [target]}


def _content(task: Task, content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"text": content}]
    return [{"text": str(item["text"])} if item["type"] == "text" else {"image": _picture(task, item)}
            for item in content]  # fmt: skip


def _picture(task: Task, item: Mapping[str, Any]) -> bytes | str:
    """A picture's bytes, or its address."""
    value = item.get("url")
    if item["type"] == "image" and isinstance(value, Image.Image):
        return encoded(value)
    if item["type"] == "image" and isinstance(value, str):
        if value.startswith(("http://", "https://", "data:")):
            return value
        if value.lower().endswith(_PICTURE_SUFFIXES):
            return Path(value).read_bytes()
    raise DataError(f"task {task.task}: it shows {item['type']} ({type(value).__name__}), which the bridge does not "
                    "carry yet.")  # fmt: skip
