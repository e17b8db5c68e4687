"""LLaVA-Interleave Bench (arXiv 2407.07895): multiple choice by letter, everything else by ROUGE-L.

Which of the two a question is, the fact `question_type` says: ``multi-choice`` or ``open-ended``. The options are in
the question's text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from lmms_fast.metrics.letters import read_letter
from lmms_fast.metrics.punctuation import vqa_punctuation
from lmms_fast.metrics.rouge import rouge_l, words_of
from lmms_fast.metrics.rule import Extractor, Matcher, Options
from lmms_fast.types import Prediction, Sample

_OPTIONS = ("",) * 5
_READ = 512
"""Characters of an open answer that are compared."""
_OPTION = re.compile(r"([A-E])\.\s*(?=\S)[^\n]*", re.IGNORECASE)
_LETTER = re.compile(r"\b[A-E]\b", re.IGNORECASE)
_NEEDS = frozenset({"question_type"})


def _chooses(sample: Sample) -> bool:
    return sample.facts["question_type"] == "multi-choice"


def _interleave(text: str, sample: Sample, options: Options) -> Prediction:
    """The letter A to E that a response commits to, as `letter` has it, where the gold is one; else as the authors read
    it. Of an open answer the first 512 characters."""
    if _chooses(sample) and any(len(_plain(gold)) == 1 for gold in sample.target):
        return read_letter(text, _OPTIONS)
    return _interleave_lmms_eval(text, sample, options)


def _interleave_lmms_eval(text: str, sample: Sample, _: Options) -> Prediction:
    """As lmms-eval and the authors' script have it: any word that is a letter from A to E, be it the article, else the
    response in lower case without punctuation."""
    found = _plain(text) if _chooses(sample) else text[:_READ]
    return Prediction(found or None, "llava_interleave")


def _plain(text: str) -> str:
    if found := _OPTION.fullmatch(text.strip()):
        return found[1].upper()
    plain = vqa_punctuation(text.replace("\n", " ").replace("\t", " ").strip())
    plain = plain.strip("'").strip('"').strip(")").strip("(").strip().lower()
    return letter[0].upper() if (letter := _LETTER.search(plain)) else plain


def _match(prediction: Prediction, sample: Sample, _: Options) -> float:
    """Whether the choice is right, or the ROUGE-L of an open answer."""
    if _chooses(sample):
        return float(any(prediction.first == _plain(gold) for gold in sample.target))
    return max((rouge_l(words_of(str(prediction.first)), words_of(gold)) for gold in sample.target), default=0.0)


EXTRACTORS: Mapping[str, Extractor] = MappingProxyType(
    {
        "llava_interleave": Extractor(_interleave, needs=_NEEDS),
        "llava_interleave_lmms_eval": Extractor(_interleave_lmms_eval, needs=_NEEDS),
    }
)
MATCHERS: Mapping[str, Matcher] = MappingProxyType({"llava_interleave": Matcher(_match, needs=_NEEDS)})
