"""Word error rate of speech recognition: the edits that turn all answers into all references, per word of these.

Texts are compared as one of openai/whisper's normalisers leaves them (arXiv 2212.04356, appendix C): the basic one, or
with the option `normaliser: whisper_english` the English one, on which published figures for English (LibriSpeech's)
rest. That has contractions, American spellings and numbers in digits, and counts fewer errors.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lmms_fast.errors import TaskError
from lmms_fast.metrics.aggregate import counted, with_golds
from lmms_fast.metrics.estimate import Formula, estimate
from lmms_fast.metrics.rule import Aggregator, Matcher, Options, one_of
from lmms_fast.types import Aggregate, Prediction, Sample, Scored

_SPANS = re.compile(r"<[^<>]*+>|\[[^\[\]]*+\]|\([^()]*+\)")


def basic_words(text: str) -> list[str]:
    """Lower case, without what stands in brackets, signs and punctuation; NFKC."""
    plain = unicodedata.normalize("NFKC", _SPANS.sub("", text.lower()))
    return "".join(" " if unicodedata.category(mark)[0] in "MSP" else mark for mark in plain).split()


def english_words(text: str) -> list[str]:
    """As the package whisper-normalizer has it, which gave the same as openai/whisper on 20,000 generated texts.

    Two things are done before, for it looks for what is not there from each of its characters: brackets that nothing
    closes are blanks, and blanks are evened out. Text it cannot take (a number of thousands of digits) is left to
    `basic_words`.
    """
    plain = text
    for opening, closing in (("<[", ">]"), ("(", ")")):
        end = 1 + max(map(plain.rfind, closing))
        plain = plain[:end] + plain[end:].translate(dict.fromkeys(map(ord, opening), " "))
    try:
        return _english()(" ".join(plain.split())).split()
    except Exception:  # its own assertions, and whatever Python's numbers raise
        return basic_words(text)


@functools.cache
def _english() -> Callable[[str], str]:
    from whisper_normalizer.english import EnglishTextNormalizer  # noqa: PLC0415  an extra

    found: Callable[[str], str] = EnglishTextNormalizer()
    return found


_NORMALISERS: Mapping[str, Callable[[str], list[str]]] = MappingProxyType(
    {"basic": basic_words, "whisper_english": english_words}
)


def _wer(prediction: Prediction, sample: Sample, options: Options) -> float:
    """1 − the word error rate of the one answer against its first reference, not below 0; for the sample browser."""
    edits, words = _edits(prediction.answer, sample.target, options)
    return max(0.0, 1 - edits / words) if words else float(not edits)


def _corpus(scored: Sequence[Scored], options: Options) -> list[Aggregate]:
    """Edits over all samples per word of their first references, in percent; lower is better. No answer is empty."""
    rows = with_golds(scored)
    used = [one for one in rows if one.value is not None]
    found = [(one.id, _edits(one.answer, one.target, options)) for one in used]
    words = sum(words for _, (_, words) in found)
    value = 100 * math.fsum(edits for _, (edits, _) in found) / words if words else None
    return [estimate(counted("wer", None, value, None, rows), Formula(found, _rate, None))]


def _rate(edits: Any, words: Any) -> Any:
    return 100 * edits / words


def _edits(
    answer: str | tuple[str | float, ...] | None, target: Sequence[str], options: Options
) -> tuple[int, int]:  # fmt: skip
    from rapidfuzz.distance import Levenshtein  # noqa: PLC0415

    words_of = _NORMALISERS[options.get("normaliser", "basic")]
    first = answer if isinstance(answer, str) else next((one for one in answer or () if isinstance(one, str)), "")
    words = words_of(next(iter(target), ""))
    return Levenshtein.distance(words_of(first), words), len(words)


def _check(key: str) -> Callable[[Options], None]:
    known = one_of(key, normaliser=tuple(_NORMALISERS))

    def check(options: Options) -> None:
        known(options)
        if options.get("normaliser") == "whisper_english" and importlib.util.find_spec("whisper_normalizer") is None:
            raise TaskError(f"{key}: `whisper_english` needs whisper-normalizer; run: pip install 'lmms-fast[wer]'.")

    return check


_OPTIONS = frozenset({"normaliser"})

MATCHERS: Mapping[str, Matcher] = MappingProxyType({"wer": Matcher(_wer, _OPTIONS, _check("score.match"))})
AGGREGATORS: Mapping[str, Aggregator] = MappingProxyType(
    {"wer": Aggregator(_corpus, _OPTIONS, _check("report"), bounded=False)}
)
