"""Word error rate of speech recognition: the edits that turn all answers into all references, per word of these.

Texts are compared as openai/whisper's basic normaliser leaves them (arXiv 2212.04356, appendix C). Its English one,
with its table of spellings and its numbers, is not here: figures that rest on it (LibriSpeech's) are lower than ours.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from lmms_fast.metrics.aggregate import counted, with_golds
from lmms_fast.metrics.rule import Aggregator, Matcher, Options
from lmms_fast.types import Aggregate, Prediction, Sample, Scored

_SPANS = re.compile(r"<[^<>]*+>|\[[^\[\]]*+\]|\([^()]*+\)")


def basic_words(text: str) -> list[str]:
    """Lower case, without what stands in brackets, signs and punctuation; NFKC."""
    plain = unicodedata.normalize("NFKC", _SPANS.sub("", text.lower()))
    return "".join(" " if unicodedata.category(mark)[0] in "MSP" else mark for mark in plain).split()


def _wer(prediction: Prediction, sample: Sample, _: Options) -> float:
    """1 − the word error rate of the one answer against its first reference, not below 0; for the sample browser."""
    edits, words = _edits(prediction.answer, sample.target)
    return max(0.0, 1 - edits / words) if words else float(not edits)


def _corpus(scored: Sequence[Scored], _: Options) -> list[Aggregate]:
    """Edits over all samples per word of their first references, in percent; lower is better. No answer is empty."""
    rows = with_golds(scored)
    used = [one for one in rows if one.value is not None]
    found = [_edits(one.answer, one.target) for one in used]
    words = sum(words for _, words in found)
    value = 100 * math.fsum(edits for edits, _ in found) / words if words else None
    return [counted("wer", None, value, None, rows)]


def _edits(answer: str | tuple[str | float, ...] | None, target: Sequence[str]) -> tuple[int, int]:
    from rapidfuzz.distance import Levenshtein  # noqa: PLC0415

    first = answer if isinstance(answer, str) else next((one for one in answer or () if isinstance(one, str)), "")
    words = basic_words(next(iter(target), ""))
    return Levenshtein.distance(basic_words(first), words), len(words)


MATCHERS: Mapping[str, Matcher] = MappingProxyType({"wer": Matcher(_wer)})
AGGREGATORS: Mapping[str, Aggregator] = MappingProxyType({"wer": Aggregator(_corpus, bounded=False)})
