"""What lmms-eval makes of responses: run by its own interpreter, `bench.fidelity` being at the other end of the pipe.

A line in is ``{task, file, folder, split, responses: [[row, nth, text], …], singles}``, a line out ``{version, cases,
whole}`` or ``{error}``. No model, hub or judge is reached: connections are refused, and what asks for one is marked.
"""

import inspect
import json
import os
import random
import socket
import sys
import time
from importlib.metadata import version
from pathlib import Path

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "OPENAI_API_KEY": "none",
    "TOKENIZERS_PARALLELISM": "false",
}

marks = {"dice": 0, "asked": 0}
current = {}


def marked(name, function):
    """The function, and a note that it was called."""

    def call(*args, **kwargs):
        marks[name] += 1
        return function(*args, **kwargs)

    return call


def refuse(*_args, **_kwargs):
    """No network."""
    raise ConnectionRefusedError("no network in a comparison")


def watch():
    """Note dice and attempts to reach a judge; waits between attempts are left out."""
    import numpy

    for name in ("choice", "choices", "randint", "random", "sample", "shuffle", "uniform", "randrange"):
        setattr(random, name, marked("dice", getattr(random, name)))
    for name in ("choice", "randint", "random", "rand"):
        setattr(numpy.random, name, marked("dice", getattr(numpy.random, name)))
    import datasets

    one_process = datasets.Dataset.map

    def mapped(self, *args, num_proc=None, **kwargs):
        return one_process(self, *args, **kwargs)

    datasets.Dataset.map = mapped
    socket.getaddrinfo = socket.socket.connect = marked("asked", refuse)
    time.sleep = lambda _seconds: None


def plain(value):
    """The value as JSON can write it."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    return value.item() if hasattr(value, "item") and getattr(value, "size", 2) == 1 else repr(value)[:200]


def table(file):
    """The rows of a file, pictures as pictures."""
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = datasets.Dataset(pq.read_table(file))
    for field in found.data.schema:
        kind = field.type.value_type if pa.types.is_list(field.type) else field.type
        if pa.types.is_struct(kind) and {one.name for one in kind} == {"bytes", "path"}:
            image = datasets.Image()
            found = found.cast_column(field.name, datasets.Sequence(image) if kind is not field.type else image)
    return found


def from_files(job, config):
    """What stands in for `datasets.load_dataset`: our rows under every split the task may name; another configuration
    where the task asks for one that we have."""
    import datasets

    def load(path=None, name=None, split=None, **_kwargs):
        other = next(iter(Path(job["folder"]).glob(f"*/*/{name}/{split}-*.parquet")), None) if split else None
        if other and str(other) != job["file"]:
            return table(other)
        rows = table(job["file"])
        if split:
            return rows
        named = {config.get(f"{one}_split") for one in ("test", "validation", "training", "fewshot")} - {None}
        return datasets.DatasetDict(dict.fromkeys(named | {job["split"]}, rows))

    return load


def stand_in(*args, **kwargs):
    """What utilities import by name, once."""
    return current["load"](*args, **kwargs)


def task_of(job, manager):
    """Their task over our rows."""
    import datasets
    import lmms_eval.api.task as api
    from lmms_eval.utils import load_yaml_config

    if job["task"] not in manager.task_index:
        raise ValueError("lmms-eval has no such task")
    datasets.load_dataset = stand_in
    config = load_yaml_config(manager.task_index[job["task"]]["yaml_path"], mode="full")
    if isinstance(config.get("task"), list):
        raise ValueError("a group, not a task")
    current["load"] = from_files(job, config)
    try:
        return api.ConfigurableTask(config=config)
    except KeyError:  # settings for named models alone
        return api.ConfigurableTask(config=config, model_name="llava")


def docs_of(task):
    """Their rows as scoring sees them, by our row and the place among the rows made of that one."""
    found, seen = {}, {}
    for doc in task.eval_docs_no_media:
        row = doc.get("fidelity_row")
        if row is None:
            raise ValueError("their rows do not say which of ours they are")
        found[row, seen.get(row, 0)] = doc
        seen[row] = seen.get(row, 0) + 1
    return found


def aggregated(task, metric, items):
    """Their number over some samples, and the reason where there is none."""
    function = task.aggregation()[metric]
    try:
        with_args = "args" in inspect.signature(function).parameters
        return plain(function(items, args=Arguments()) if with_args else function(items))
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200]


class Arguments:
    """What their aggregations read of the command line."""

    output_path = os.environ.get("FIDELITY_OUT", "/tmp")
    tasks = model = model_args = log_samples_suffix = ""


def answered(task, doc, text):
    """Response → their verdict, the way their evaluator goes: filters, thinking cut, results."""
    from lmms_eval.api.instance import Instance
    from lmms_eval.api.reasoning import strip_reasoning_tags

    request = Instance(
        request_type="generate_until",
        arguments=("", {}),
        idx=0,
        metadata={"task": job_name(task), "doc_id": 0, "repeats": 1},
    )
    request.resps = [text]
    task._instances = [request]
    task.apply_filters()
    results = {}
    for key, filtered in request.filtered_resps.items():
        text = filtered[0] if isinstance(filtered, list) else filtered
        kept = strip_reasoning_tags(text, [["<think>", "</think>"], ["<analysis>", "</analysis>"]])
        for metric, value in task.process_results(doc, [kept]).items():
            results[metric if key == "none" else f"{metric},{key}"] = value
    return results


def job_name(task):
    """Its name."""
    return task.config.task


def scored(job, manager):
    """All of a job."""
    task = task_of(job, manager)
    docs = docs_of(task)
    cases, by_metric = [], {}
    for row, nth, text in job["responses"]:
        random.seed(0)
        marks.update(dice=0, asked=0)
        try:
            results = answered(task, docs[row, nth], text)
        except Exception as error:
            cases.append({"error": f"{type(error).__name__}: {error}"[:200], **marks})
            continue
        single = {}
        for metric, value in results.items():
            name = metric.partition(",")[0]
            if name in task.aggregation() and job["singles"]:
                single[metric] = aggregated(task, name, [value])
            by_metric.setdefault(metric, []).append(value)
        cases.append({"raw": plain(results), "single": single, **marks})
    # METEOR is another program behind a pipe; on some of these responses the two wait for each other for ever.
    whole = {
        metric: aggregated(task, metric.partition(",")[0], values)
        for metric, values in by_metric.items()
        if metric.partition(",")[0] in task.aggregation() and "METEOR" not in metric
    }
    return {"version": version("lmms_eval"), "cases": cases, "whole": whole}


def reason(error):
    """Its text; of what was tried several times, that of the last."""
    if hasattr(error, "last_attempt"):
        return reason(error.last_attempt.exception())
    return (str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}")[:200]


def main():
    """Jobs in, results out; what lmms-eval prints goes to the other stream."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from loguru import logger

    logger.remove()
    from lmms_eval.tasks import TaskManager

    manager = TaskManager("ERROR")
    watch()
    for line in sys.stdin:
        job = json.loads(line)
        try:
            result = scored(job, manager)
        except Exception as error:
            result = {"error": reason(error)}
        except SystemExit as error:
            result = {"error": f"it ends the program: {error}"}
        print(json.dumps(result), file=out, flush=True)


if __name__ == "__main__":
    main()
