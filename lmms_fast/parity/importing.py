"""Answers made elsewhere → an ordinary run directory, which `score` and everything else reads."""

from __future__ import annotations

import hashlib
import re
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from lmms_fast import __version__
from lmms_fast.config.spec import make_spec
from lmms_fast.data.feed import Selection, feed_task
from lmms_fast.data.source import open_source
from lmms_fast.errors import DataError, UsageError
from lmms_fast.journal.records import sample_record
from lmms_fast.journal.rundir import RunDir, write_bytes
from lmms_fast.journal.store import Journal
from lmms_fast.metrics import AGGREGATORS, EXTRACTORS, MATCHERS
from lmms_fast.parity import lmms_eval
from lmms_fast.parity.readers import ID, RESPONSE, Row, choices, field, gold, listed, read_rows, response_name, text
from lmms_fast.report.result import RunResult, finish
from lmms_fast.report.verdict import rules_of
from lmms_fast.tasks.catalog import Catalog
from lmms_fast.tasks.spec import Rule, Task
from lmms_fast.types import Message, Response, Sample, Usage

_FIELDS = frozenset({"id", "response", "target", "choices", "prompt", "repeat", "reasoning"})
_PROMPT = ("prompt", "question", "query")


@dataclass(frozen=True, slots=True)
class RulesGiven:
    """How answers to questions that no task of ours knows are scored."""

    extract: tuple[Rule, ...]
    match: Rule
    report: tuple[Rule, ...]

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {"extract": [one.model_dump() for one in self.extract], "match": self.match.model_dump(),
                "report": [one.model_dump() for one in self.report]}  # fmt: skip


def rules_given(
    extract: Sequence[str | Mapping[str, Any]] | str,
    match: str | Mapping[str, Any],
    report: Sequence[str | Mapping[str, Any]] | str,
) -> RulesGiven:
    """Rules by name, or with options. Raises UsageError."""
    try:
        return RulesGiven(_rules(extract), Rule.model_validate(match), _rules(report))
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"a rule is a name or {{name: …, options: {{…}}}}, and not {first['input']!r}.") from None


def _rules(given: Sequence[str | Mapping[str, Any]] | str) -> tuple[Rule, ...]:
    return tuple(Rule.model_validate(one) for one in ([given] if isinstance(given, str) else given))


def import_file(
    path: Path,
    *,
    task: str | None,
    rules: RulesGiven | None,
    columns: Mapping[str, str],
    out: Path | None,
    model: str | None,
    data_dir: Path | None,
    include_path: Sequence[Path],
    fresh: bool,
) -> RunResult:
    """Write a run directory from a file of answers, and score it. Raises UsageError, DataError, StorageError.

    By a task's name or by rules. `columns` map our names (id, response, target, choices, groups.NAME, facts.NAME) to
    the file's. What a task needs and the file lacks (targets, groups, facts) comes from the task's data, by id.
    """
    if (task is None) == (rules is None):
        raise UsageError("import: name a task (--task), or rules (--extract, with --match and --report).")
    read = read_rows(path)
    theirs = lmms_eval.is_samples(read)
    rows = [_mapped(row, columns) for row in (lmms_eval.answers(read) if theirs else read)]
    said = response_name(rows[0]) if rows else None
    if said is None:
        raise UsageError(f"{path}: has no column of responses ({', '.join(RESPONSE[:3])}); map it with --column "
                         f"response=NAME. It has: {', '.join(map(str, rows[0])) if rows else 'no rows'}.")  # fmt: skip
    digest = hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
    name = task or re.sub(r"[^\w-]+", "_", path.stem).strip("_") or "imported"
    out = out or Path("runs") / f"imported_{name}_{digest[:8]}"
    identity: dict[str, Any] = {"model": model, "tasks": [name], "imported": digest, "columns": dict(columns),
                                "rules": rules.as_json() if rules else None}  # fmt: skip
    file = out / f"{name}.yaml"
    chosen = Catalog(include_path).load(name) if rules is None else _task(name, path, rows[0], rules, file)
    if not isinstance(chosen, Task):
        raise UsageError(f"--task {task}: is a group; name one of {', '.join(chosen.tasks)}.")
    if chosen.family:
        raise UsageError(f"--task {task}: is a family; name one of its tasks.")
    rules_of(chosen)
    lacking = _lacking(rows[0], chosen, said)
    by_number = rules is None and theirs and field(rows[0], ID) is None
    if by_number:
        samples = _by_number(path, rows, chosen, data_dir)
    elif lacking is None:
        samples = _from_rows(path, rows, chosen, said)
    elif rules is None and all(field(row, ID) is not None for row in rows):
        samples = _from_data(path, rows, chosen, lacking, data_dir)
    else:
        raise UsageError(f"{path}: has no column '{lacking}', which is needed of each row; map one with --column "
                         f"{lacking}=NAME, or give ids and a task whose data have it.")  # fmt: skip
    spec = make_spec({"tasks": (name,), "model": model, "output_dir": out, "include_path": include_path,
                      "data_dir": data_dir})  # fmt: skip
    session: dict[str, Any] = {
        "started": _now(), "command": [Path(sys.argv[0]).name, *sys.argv[1:]], "spec": spec.model_dump(mode="json"),
        "versions": {"lmms-fast": __version__}, "data": {name: str(path)}, "samples": {name: len(samples)},
    }  # fmt: skip
    with RunDir(out, fresh=fresh) as directory:
        directory.claim(identity)
        if rules is not None:
            definition = chosen.model_dump(mode="json", exclude_defaults=True)
            write_bytes(file, yaml.safe_dump(definition, sort_keys=False, allow_unicode=True).encode())
        with Journal(directory.journal) as journal:
            for number, (sample, row) in enumerate(samples):
                if not journal.finished(sample.key):
                    journal.append(sample_record(sample, number, ()), _response(sample, row, said))
            session |= {"ended": _now(), "stopped": None}
            directory.write("manifest.json", {"identity": identity, "sessions": [session], "complete": True})
            return finish(directory, journal, [chosen], [])


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _mapped(row: Row, columns: Mapping[str, str]) -> Row:
    """A row under our names too. Raises UsageError for a column that it lacks."""
    for name, column in columns.items():
        if not (name in _FIELDS or name.startswith(("groups.", "facts."))):
            raise UsageError(f"--column {name}={column}: the name is one of {', '.join(sorted(_FIELDS))}, groups.NAME, "
                             "facts.NAME.")  # fmt: skip
        if column not in row:
            raise UsageError(f"--column {name}={column}: the file has no '{column}'; it has: "
                             f"{', '.join(map(str, row))}.")  # fmt: skip
    return {**row, **{name: row[column] for name, column in columns.items()}}


def _task(name: str, path: Path, row: Row, rules: RulesGiven, file: Path) -> Task:
    """The definition that goes with the run: the rules, and the groups and facts that they read or the file names."""
    groups, facts = _prefixed(row, "groups."), _prefixed(row, "facts.")
    for report in rules.report:
        by = report.options.get("by", ())
        groups |= {*_needs(AGGREGATORS, report), *([by] if isinstance(by, str) else by)}
    for rule, table in ((rules.match, MATCHERS), *((one, EXTRACTORS) for one in rules.extract)):
        facts |= _needs(table, rule)
    written = rules.as_json()
    return Task.model_validate({
        "task": name, "benchmark": name, "about": f"Answers imported from {path.name}.", "source": path.name,
        "licence": "that of the file", "dataset": {"files": [path.name]}, "id": "{{ id }}",
        "prompt": {"user": [{"text": "{{ prompt }}"}]}, "target": {"column": "target"},
        "groups": {one: f"{{{{ {one} }}}}" for one in sorted(groups)},
        "facts": {one: f"{{{{ {one} }}}}" for one in sorted(facts)},
        "score": {key: written[key] for key in ("extract", "match")}, "report": written["report"], "file": file,
    })  # fmt: skip


def _needs(table: Mapping[str, Any], rule: Rule) -> frozenset[str]:
    """What a rule reads of each row; nothing for one that does not exist, which is answered when rules are checked."""
    needs: frozenset[str] = table[rule.name].needs if rule.name in table else frozenset()
    return needs


def _prefixed(row: Row, prefix: str) -> set[str]:
    return {str(name).removeprefix(prefix) for name in row if str(name).startswith(prefix)}


def _from_rows(path: Path, rows: Sequence[Row], task: Task, said: str) -> list[tuple[Sample, Row]]:
    """Samples as the file has them. Raises UsageError for a row without a target."""
    found = []
    for number, row in enumerate(rows):
        prompt, target = field(row, _PROMPT), gold(row, said)
        if target is None:
            raise UsageError(f"{path}: row {number + 1} has no target, and others have one.")
        found.append((
            Sample(
                task.task, text(number if (id := field(row, (*ID, lmms_eval.NUMBER))) is None else id),
                () if prompt is None else (Message("user", (text(prompt),)),),
                listed(target), choices(row), _values(row, "groups", task.groups), _values(row, "facts", task.facts),
                _repeat(path, row),
            ), row,
        ))  # fmt: skip
    _check_unique(path, [sample.key for sample, _ in found])
    return found


def _lacking(row: Row, task: Task, said: str) -> str | None:
    """The first of the columns that scoring needs and the file has not, by our name; None where it has all."""
    if task.target is not None and gold(row, said) is None:
        return "target"
    needed = [(kind, name) for kind, names in (("groups", task.groups), ("facts", task.facts)) for name in names]
    return next((f"{kind}.{name}" for kind, name in needed if not {f"{kind}.{name}", name} & row.keys()), None)


def _values(row: Row, kind: str, names: Collection[str]) -> dict[str, str]:
    """Groups or facts of a row: the column ``groups.NAME``, or NAME."""
    return {name: text(field(row, (f"{kind}.{name}", name))) for name in names}


def _repeat(path: Path, row: Row) -> int:
    written = text(row.get("repeat")) or "0"
    if not written.isdecimal():
        raise UsageError(f"{path}: a repeat is a whole number from 0, and not {written!r}.")
    return int(written)


def _from_data(
    path: Path, rows: Sequence[Row], task: Task, lacking: str, data_dir: Path | None
) -> list[tuple[Sample, Row]]:
    """Samples of the task's data that the file answers, in the data's order."""
    named = [(text(field(row, ID)), _repeat(path, row)) for row in rows]
    _check_unique(path, [f"{id}#{repeat}" for id, repeat in named])
    answers = dict(zip(named, rows, strict=True))
    repeats = sorted({repeat for _, repeat in answers})
    found = []
    try:
        source = open_source(task, data_dir)
    except DataError as error:
        raise DataError(
            f"{path}: has no column '{lacking}' (map one with --column {lacking}=NAME), so the task's data are needed. "
            f"{error}"
        ) from None
    for fed in feed_task(task, source, Selection(), lambda _: False):
        for repeat in repeats:
            if fed.failure is None and (row := answers.pop((fed.sample.id, repeat), None)) is not None:
                found.append((replace(fed.sample, repeat=repeat), row))
    if answers:
        raise UsageError(f"{path}: {len(answers)} of {len(rows)} ids are not in the data of {task.task}, such as "
                         f"'{next(iter(answers))[0]}'.")  # fmt: skip
    return found


def _by_number(path: Path, rows: Sequence[Row], task: Task, data_dir: Path | None) -> list[tuple[Sample, Row]]:
    """Samples of the task's data by lmms-eval's numbers of documents, which says no more of them. Raises UsageError
    where the targets do not agree, since then these are others."""
    answers: dict[str, list[Row]] = {}
    for row in rows:
        answers.setdefault(text(row[lmms_eval.NUMBER]), []).append(row)
    found: list[tuple[Sample, Row]] = []
    fed = (one for one in feed_task(task, open_source(task, data_dir), Selection(), lambda _: False)
           if one.sample.repeat == 0)  # fmt: skip
    for number, one in enumerate(fed):
        for row in answers.pop(str(number), ()):
            found.append((replace(one.sample, repeat=_repeat(path, row)), row))
    _check_unique(path, [sample.key for sample, _ in found])
    agree = sum(bool({*listed(row.get("target"))} & {*sample.target}) for sample, row in found)
    if answers or 2 * agree < len(rows):
        raise UsageError(
            f"{path}: its documents are not those of {task.task} in the same order ({agree} of {len(rows)} targets "
            "agree); score them by rules (--extract, with --match and --report)."
        )
    return found


def _check_unique(path: Path, keys: Sequence[str]) -> None:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise UsageError(f"{path}: '{key}' occurs twice; ids must be unique, or map another column with "
                             "--column id=NAME.")  # fmt: skip
        seen.add(key)


def _response(sample: Sample, row: Row, said: str) -> Response:
    reasoning = row.get("reasoning")
    return Response(
        sample.key, text(row.get(said)), None if reasoning is None else text(reasoning), None, Usage(), 0.0, 1,
        "imported",
    )  # fmt: skip
