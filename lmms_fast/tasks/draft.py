"""A guess as a task file, with comments for who writes the first one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lmms_fast.tasks.guess import Guess

_COMMENTS = {
    "task": "The name; a task is found by it, so the file must be called so too.",
    "benchmark": "What it is a part of.",
    "about": "One sentence for lists of tasks.",
    "source": "Paper or repository that defines prompt and metric.",
    "licence": "Of the data.",
    "dataset": """\
Files, from this file's folder (parquet, jsonl, json, csv, tsv; several are read one after another),
or a dataset of the hub instead: hub: OWNER/NAME, split: test.""",
    "id": "Of each sample, and unique. Templates are Jinja over the row's columns; `row` is the row's number.",
    "prompt": """\
What is sent, part by part and to the letter; a picture is `- image: COLUMN`, and `system: …` stands
beside `user`. {{ choices_text }} is a line "A. text" per option; every other wording is as good, such as
{{ choices | lettered('({letter}) {text}') }}.""",
    "choices": "The options in the order of their letters: columns, one column with a list, or an {{ expression }}.",
    "target": """\
The right answer: a template; {column: NAME} where any of a list is accepted; {expression: …} for more.
Left out, responses are kept and not scored.""",
    "groups": "What numbers can be broken down by, under `by` of the report.",
    "keep_together": "Rows for which this is equal are never parted by --limit.",
    "generation": "Of the requests; flags of `lmms-fast eval` win. More: top_p, stop, extra.",
    "score": """\
`extract` finds the answer in the response: letter, yes_no, number_or_word, first_line, text, regex, …
`match` compares it with the target: exact (default), exact_ignore_case, anls, relaxed, math_verify, …
Where rules cannot tell, `judge:` asks a model.""",
    "report": "The first one's first number is the task's headline: mean, f1, macro, circular, pairs, …",
}


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def dumped(content: Mapping[str, Any]) -> str:
    """The content as YAML, in its order."""
    written: str = yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return written


def draft(guess: Guess, path: Path) -> str:
    """The task file at `path` that asks and scores what was guessed."""
    name, source = path.stem, guess.file
    content = {**guess.content, "task": name, "benchmark": name, "generation": {"max_tokens": 1024, "temperature": 0.0}}
    content["dataset"] = {**content["dataset"], "files": [os.path.relpath(source, path.parent)]}
    content = {key: content[key] for key in _COMMENTS if key in content}
    lines = [
        f"# A task of lmms-fast, drafted from {source.name}. It was taken for this; change what is wrong:",
        *(f"#   {line}" for line in guess.lines),
        f"# Look at what is sent: lmms-fast tasks check {path.name}",
        f"# Run it:               lmms-fast eval --tasks {path.name}",
        "# Every key, and prompts and rules beside these: tasks/README.md of lmms-fast.",
    ]
    for key, value in content.items():
        lines += ["", *(f"# {line}" for line in _COMMENTS[key].splitlines()), dumped({key: value}).rstrip("\n")]
    return "\n".join(lines) + "\n"
