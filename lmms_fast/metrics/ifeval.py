"""IFEval (arXiv 2311.07911): how many of its instructions a response follows; `instructions.py` has the checks."""

from __future__ import annotations

import importlib.util
import json
import operator
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lmms_fast.errors import TaskError
from lmms_fast.metrics.aggregate import counted, group_of, mean_of
from lmms_fast.metrics.estimate import Formula, estimate
from lmms_fast.metrics.instructions import INSTRUCTIONS, Arguments
from lmms_fast.metrics.rule import Aggregator, Matcher, Options
from lmms_fast.metrics.text import texts
from lmms_fast.types import Aggregate, Prediction, Sample, Scored


def _ifeval(prediction: Prediction, sample: Sample, _: Options) -> Mapping[str, float]:
    """``prompt_strict`` (the headline) and ``prompt_loose``: 1 where every instruction is followed; ``inst_strict`` and
    ``inst_loose``: the share that are.

    Loosely: in any of eight forms of the response, without its first line, its last, both or neither, with and
    without ``*``. Facts: `instruction_id_list` and `kwargs` as JSON lists, and the `prompt`. An instruction that is
    not one of `INSTRUCTIONS` is not followed.
    """
    names, arguments = _json_list(sample.facts["instruction_id_list"]), _json_list(sample.facts["kwargs"])
    text = next(iter(texts(prediction)), "")
    strict, loose = [], []
    for position, name in enumerate(names):
        given = arguments[position] if position < len(arguments) else None
        asked = Arguments({"prompt": sample.facts["prompt"], **(given if isinstance(given, dict) else {})})
        follows = INSTRUCTIONS.get(name, _never) if isinstance(name, str) else _never
        strict.append(bool(text.strip()) and follows(text, asked))
        loose.append(strict[-1] or any(form.strip() and follows(form, asked) for form in _loose_forms(text)))
    return {
        "prompt_strict": float(bool(strict) and all(strict)),
        "prompt_loose": float(bool(loose) and all(loose)),
        "inst_strict": sum(strict) / max(1, len(strict)),
        "inst_loose": sum(loose) / max(1, len(loose)),
    }


def _never(_: str, __: Arguments) -> bool:
    return False


def _json_list(text: str) -> Sequence[Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    return found if isinstance(found, list) else ()


def _loose_forms(text: str) -> list[str]:
    """The other forms than the text as it is, each once."""
    lines = text.split("\n")
    cut = ["\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])]
    forms = [*cut, *(form.replace("*", "") for form in (text, *cut))]
    return [form for form in dict.fromkeys(forms) if form != text]


def _check_langdetect(_: Options) -> None:
    if importlib.util.find_spec("langdetect") is None:
        raise TaskError("score.match: 'ifeval' tells languages with langdetect; run: pip install 'lmms-fast[ifeval]'.")


def _accuracies(scored: Sequence[Scored], _: Options) -> list[Aggregate]:
    """IFEval's four: by prompt and by instruction, strict and loose.

    By instruction: over all instructions of all prompts, a prompt with three counting three times. The group `n_inst`
    says how many a prompt has.
    """
    found = []
    for form in ("strict", "loose"):
        found.append(mean_of(f"prompt_level_{form}_acc", None, scored, {"part": f"prompt_{form}"}))
        found.append(_by_instruction(f"inst_level_{form}_acc", f"inst_{form}", scored))
    return found


def _by_instruction(metric: str, part: str, scored: Sequence[Scored]) -> Aggregate:
    rows: list[tuple[str, tuple[float, float]]] = []
    for one in scored:
        if (share := one.part(part)) is not None:
            number = _instructions_of(one)
            rows.append((one.id, (round(share * number), number)))
    followed, total = (sum(numbers[side] for _, numbers in rows) for side in (0, 1))
    found = counted(metric, None, followed / total if total else None, stderr=None, scored=scored)
    return estimate(found, Formula(rows, operator.truediv))


def _instructions_of(one: Scored) -> int:
    number = group_of(one, "n_inst")
    if not number.isdecimal():
        raise TaskError(f"report: group 'n_inst' of sample {one.id} is {number!r}; 'ifeval' needs a whole number.")
    return int(number)


MATCHERS: Mapping[str, Matcher] = MappingProxyType(
    {
        "ifeval": Matcher(
            _ifeval, check=_check_langdetect, needs=frozenset({"instruction_id_list", "kwargs", "prompt"})
        )
    }
)

AGGREGATORS: Mapping[str, Aggregator] = MappingProxyType(
    {"ifeval": Aggregator(_accuracies, needs=frozenset({"n_inst"}))}
)
