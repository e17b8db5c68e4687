"""Runs as they lie on disk, made without running anything; strings that would like to be more than text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HOSTILE = (
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script>",
    "<img src=x onerror='window.hacked = 3'>",
    '"><svg onload=window.hacked=4>',
    "<!--<script>",
    "]]></style><style>body { display: none }",
    "javascript:window.hacked=5",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnirts desrever\u202c and \u2066isolated",
    "null \x00 byte, bell \x07, \x9b31m",
    "\x1b[31mred\x1b]0;title\x07",
    "&lt;b&gt; &amp; '\"`",
    "z\u0300\u0301\u0302" * 200,
)


def line(number: int, task: str = "letters", **changes: Any) -> dict[str, Any]:
    """A line of a samples file; every third answer is wrong, every tenth sample has none."""
    right, answer = "ABCD"[number % 4], "ABCD"[(number + (number % 3 == 0)) % 4]
    silent = number % 10 == 9
    return {
        "task": task, "id": f"id-{number}", "repeat": 0, "row": number,
        "messages": [{"role": "user", "parts": [f"Question {number}: which letter?\nA. one\nB. two"]}],
        "target": [right], "choices": ["one", "two", "three", "four"], "groups": {"subject": f"subject {number % 5}"},
        "facts": {}, "outcome": "no_answer" if silent else "correct" if answer == right else "wrong",
        "score": 0.0 if silent else float(answer == right),
        "prediction": {"answer": None if silent else answer, "rule": "letter: nothing" if silent else "letter: alone"},
        "response": {
            "text": "I do not know." if silent else f"The answer is {answer}.", "reasoning": None,
            "finish_reason": "stop", "usage": {"prompt_tokens": 40, "completion_tokens": 3 + number % 50},
            "latency_s": 0.2 + (number % 17) / 10, "attempts": 1, "served_by": "http://127.0.0.1:9", "refusal": None,
        },
        **changes,
    }  # fmt: skip


def aggregate(metric: str, group: str | None, value: float | None, n: int, **more: Any) -> dict[str, Any]:
    """A number as results.json has it."""
    return {"metric": metric, "group": group, "value": value, "stderr": 0.02, "n": n, "n_no_answer": 0, "n_failed": 0,
            "low": None, "high": None, **more}  # fmt: skip


def make_run(folder: Path, lines: Iterable[Mapping[str, Any]], **changes: Any) -> Path:
    """A finished run's directory. `changes`: fields of the manifest."""
    folder.mkdir(parents=True)
    tasks: dict[str, list[Mapping[str, Any]]] = {}
    for one in lines:
        tasks.setdefault(one["task"], []).append(one)
    results: dict[str, Any] = {"groups": {}, "tasks": {}, "samples": 0, "not_measured": {}, "pictures_changed": {},
                               "usage": {"prompt_tokens": 1, "completion_tokens": 2}}  # fmt: skip
    for name, held in tasks.items():
        with (folder / f"samples_{name}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(one) + "\n" for one in held)
        scores = [one["score"] for one in held if one.get("score") is not None]
        groups = Counter(f"{column}={value}" for one in held for column, value in one["groups"].items())
        mean = sum(scores) / len(scores) if scores else None
        results["samples"] += len(held)
        results["tasks"][name] = {
            "aggregates": [aggregate("accuracy", None, mean, len(scores)),
                           *(aggregate("accuracy", group, mean, count) for group, count in groups.most_common(60))],
            "outcomes": dict(Counter(one["outcome"] for one in held)), "no_answer": {}, "truncated": 0, "not_asked": 0,
            "longer": None, "prompt_variant": "default", "scorings": {}, "drawn": {}, "on_a_part": False,
            "submission": None,
        }  # fmt: skip
    session = {"started": "2026-11-25T20:00:00+0000", "ended": "2026-11-25T20:10:00+0000", "stopped": None,
               "command": ["lmms-fast", "eval"], "spec": {"tasks": list(tasks), "include_path": []}}  # fmt: skip
    manifest = {"identity": {"model": "a-model"}, "sessions": [session], "complete": True, **changes}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def hostile(number: int, text: str) -> dict[str, Any]:
    """A line with the string wherever a model or a data set can put one."""
    one = line(number, groups={"subject": text, text: "x"}, id=f"{number} {text}", target=[text], choices=[text, text])
    one["messages"] = [{"role": "system", "parts": [text]}, {"role": "user", "parts": [text, {"image": "0" * 32}]}]
    one["response"] |= {"text": f"{text}<think>{text}</think>{text}", "reasoning": text, "refusal": text,
                        "finish_reason": text, "served_by": text}  # fmt: skip
    one["prediction"] = {"answer": text, "rule": text}
    one["facts"] = {text: text}
    one["judgements"] = [{"judge": text, "rubric": text, "question": text, "reply": text, "reasoning": text}]
    one["scorings"] = {text: {"score": 1.0, "prediction": {"answer": [text, text], "rule": text}}}
    one["longer"] = {"outcome": "wrong", "score": 0.0, "prediction": one["prediction"], "response": one["response"]}
    return one
