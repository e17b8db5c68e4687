"""Prediction and sample → how right it is: the rules that a task's YAML names under `score: {match: …}`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lmms_fast.metrics.extract import normalise_open
from lmms_fast.types import Prediction, Sample

Matcher = Callable[[Prediction, Sample, Mapping[str, Any]], float]
"""(what was found, the sample, the rule's options) → 0.0 wrong … 1.0 right. No answer is 0.0 under every rule."""


def _exact(prediction: Prediction, sample: Sample, _: Mapping[str, Any]) -> float:
    """Equal to an accepted answer, character for character."""
    return float(any(reading in sample.target for reading in _readings(prediction)))


def _exact_ignore_case(prediction: Prediction, sample: Sample, _: Mapping[str, Any]) -> float:
    """Equal after stripping, lower-casing and dropping trailing periods on both sides.

    The rule of GQA's evaluation script (arXiv 1902.09506) as haotian-liu/LLaVA uses it.
    """
    accepted = {_plain(target) for target in sample.target}
    return float(any(isinstance(item, str) and _plain(item) in accepted for item in _readings(prediction)))


def _mme(prediction: Prediction, sample: Sample, _: Mapping[str, Any]) -> float:
    """MME: the gold is lower-cased, stripped and loses its periods; the prediction is ``yes`` or ``no`` already."""
    accepted = {target.lower().strip().replace(".", "") for target in sample.target}
    return float(any(reading in accepted for reading in _readings(prediction)))


def _mmmu(prediction: Prediction, sample: Sample, options: Mapping[str, Any]) -> float:
    """MMMU: the letter for multiple choice; for open questions an equal number or a text that contains the gold."""
    if sample.choices:
        return _exact(prediction, sample, options)
    return float(_matches_open(_readings(prediction), sample.target))


def _matches_open(readings: Sequence[str | float], golds: Sequence[str]) -> bool:
    """True if a number read equals a gold number, or a text read contains a gold text."""
    wanted = [form for gold in golds for form in normalise_open(gold)]
    numbers = {form for form in wanted if isinstance(form, float)}
    texts = [form for form in wanted if isinstance(form, str)]
    return any(
        reading in numbers if isinstance(reading, float) else any(text in reading for text in texts)
        for reading in readings
    )


def _plain(text: str) -> str:
    return text.strip().rstrip(".").lower()


def _readings(prediction: Prediction) -> tuple[str | float, ...]:
    """The answers the prediction stands for, of which any may match; empty where nothing was found."""
    if prediction.answer is None:
        return ()
    return (prediction.answer,) if isinstance(prediction.answer, str) else prediction.answer


MATCHERS: Mapping[str, Matcher] = MappingProxyType(
    {
        "exact": _exact,
        "exact_ignore_case": _exact_ignore_case,
        "mme": _mme,
        "mmmu": _mmmu,
    }
)
