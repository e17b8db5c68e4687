"""Yes or no. Benchmarks of one kind read it by different rules, and score differently for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from lmms_fast.metrics.plain import readings
from lmms_fast.metrics.punctuation import vqa_punctuation
from lmms_fast.metrics.rule import Extractor, Matcher, Options
from lmms_fast.types import Prediction, Sample

_WORD = re.compile(r"\w+")


def _yes_no(text: str, _: Sample, __: Options) -> Prediction:
    """``yes`` or ``no``: the one that is among the words, after the word rule of open-compass/VLMEvalKit.

    That rule (`vlmevalkit_yes_no`) splits by the VQA challenge's punctuation list, which lacks ``*`` and ``:``, so
    ``**Yes**`` is nothing to it; here it is a yes.
    """
    return Prediction(_yes_or_no(text), "yes_no")


def _yes_or_no(text: str) -> str | None:
    """``yes`` or ``no`` if exactly one of them is among the words."""
    found = {word for word in _WORD.findall(text.lower()) if word in ("yes", "no")}
    return found.pop() if len(found) == 1 else None


def _vlmevalkit_yes_no(text: str, _: Sample, __: Options) -> Prediction:
    """VLMEvalKit's word rule: ``yes`` or ``no`` if exactly one of them is among the words, which the VQA challenge's
    punctuation and blanks part.
    """
    found = {"yes", "no"}.intersection(vqa_punctuation(text.lower()).split())
    return Prediction(found.pop() if len(found) == 1 else None, "vlmevalkit_yes_no")


def _pope(text: str, _: Sample, __: Options) -> Prediction:
    """POPE (arXiv 2305.10355; repository AoiDragon/POPE): ``no`` if "No", "no" or "not" is a word of what stands before
    the first period; anything else is ``yes``, an empty response too.
    """
    words = text.partition(".")[0].replace(",", "").split(" ")
    return Prediction("yes" if {"No", "no", "not"}.isdisjoint(words) else "no", "pope")


def _contains_yes(text: str, _: Sample, __: Options) -> Prediction:
    """HallusionBench (arXiv 2310.14566) without its judge, as lmms-eval has it: ``yes`` if "yes" occurs, be it within a
    word ("yesterday"); anything else is ``no``.
    """
    return Prediction("yes" if "yes" in text.lower() else "no", "contains_yes")


def _mme(text: str, _: Sample, __: Options) -> Prediction:
    """MME's rule (arXiv 2306.13394) as lmms-eval has it, which knows a little more than the authors' (`mme_official`).

    Without periods: ``yes``, ``no``, ``y`` or ``n`` alone; else ``yes``, else ``no``, within the first four characters.
    """
    reduced = text.lower().strip().replace(".", "")
    if len(reduced) == 1:
        return Prediction({"y": "yes", "n": "no"}.get(reduced), "mme")
    head = reduced[:4]
    return Prediction(next((word for word in ("yes", "no") if word in head), None), "mme")


def _mme_official(text: str, _: Sample, __: Options) -> Prediction:
    """MME's rule as the authors' evaluation tool has it: ``yes``, else ``no``, within the first four characters."""
    head = text.lower()[:4]
    return Prediction(next((word for word in ("yes", "no") if word in head), None), "mme_official")


def _mme_match(prediction: Prediction, sample: Sample, _: Options) -> float:
    """MME: the gold is lower-cased, stripped and loses its periods; the prediction is ``yes`` or ``no`` already."""
    accepted = {target.lower().strip().replace(".", "") for target in sample.target}
    return float(any(reading in accepted for reading in readings(prediction)))


EXTRACTORS: Mapping[str, Extractor] = MappingProxyType(
    {
        "yes_no": Extractor(_yes_no),
        "vlmevalkit_yes_no": Extractor(_vlmevalkit_yes_no),
        "pope": Extractor(_pope),
        "contains_yes": Extractor(_contains_yes),
        "mme": Extractor(_mme),
        "mme_official": Extractor(_mme_official),
    }
)

MATCHERS: Mapping[str, Matcher] = MappingProxyType({"mme": Matcher(_mme_match)})
