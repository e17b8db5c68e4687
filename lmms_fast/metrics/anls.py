"""ANLS, average normalised Levenshtein similarity, in the forms that are in use.

Defined for ST-VQA (arXiv 1905.13648). The reference numbers of DocVQA and InfographicVQA come from the evaluation
script of the Robust Reading Competition, which differs from the paper in two ways that show: a similarity of exactly
one half counts, and distances are divided by the lengths of the strings as they were given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lmms_fast.metrics.rule import Matcher, Options, one_of
from lmms_fast.metrics.text import best
from lmms_fast.types import Prediction, Sample


@dataclass(frozen=True, slots=True)
class _Form:
    collapse: bool = True
    """Runs of blanks inside count as one blank."""
    raw_lengths: bool = False
    """Distances are divided by the lengths before case and blanks were evened out."""
    keeps_threshold: bool = True
    """A similarity of exactly the threshold counts."""
    none_is_wrong: bool = False
    """The answer "none" scores 0 whatever the gold."""


_FORMS: Mapping[str, _Form] = MappingProxyType(
    {
        "default": _Form(raw_lengths=True),
        "paper": _Form(keeps_threshold=False),
        "m4c": _Form(collapse=False),
        "mp_docvqa": _Form(collapse=False, none_is_wrong=True),
        "dude": _Form(),
    }
)


_THRESHOLD = 0.5


def _anls(prediction: Prediction, sample: Sample, options: Options) -> float:
    """The best similarity to an accepted answer, 0 below the threshold of one half, case aside.

    `variant`, where they differ: in what the distance is divided by, in blanks, in what exactly the threshold is worth.

    - ``default``: the competition's script, see the module, and lmms-eval. Idle blanks in a response lengthen what
      the distance is divided by, so they raise the score.
    - ``paper``: lengths without idle blanks; a similarity must exceed the threshold.
    - ``m4c`` (facebookresearch/mmf): blanks inside are not evened out; exactly the threshold counts.
    - ``mp_docvqa`` (arXiv 2212.05935): as ``m4c``, and "none" is wrong.
    - ``dude`` (arXiv 2305.08455): lengths without idle blanks; exactly the threshold counts.
    """
    form = _FORMS[options.get("variant", "default")]

    def value(text: str, gold: str) -> float:
        said, wanted = _clean(text, form), _clean(gold, form)
        if form.none_is_wrong and said in ("", "none"):
            return 0.0
        # The script measures upper case, which may be longer: "ß" counts twice.
        sides = (text.upper(), gold.upper()) if form.raw_lengths else (said, wanted)
        found = similarity(said, wanted, max(map(len, sides)))
        return found if found > _THRESHOLD or (found == _THRESHOLD and form.keeps_threshold) else 0.0

    return best(prediction, sample, value)


def _clean(text: str, form: _Form) -> str:
    text = text.lower()
    return " ".join(text.split()) if form.collapse else text.strip()


def similarity(first: str, second: str, length: int) -> float:
    """1 − Levenshtein distance / `length`: exact from one half upwards, and below it some number below it.

    Time about linear: a distance past what that allows is not worked out, and golds are short.
    """
    from rapidfuzz.distance import Levenshtein  # noqa: PLC0415  20 ms, for tasks with this rule alone

    if length == 0:
        return 1.0
    cutoff = int(length * (1 - _THRESHOLD)) + 1
    return max(0.0, 1 - Levenshtein.distance(first, second, score_cutoff=cutoff) / length)


_FIRST_LETTER = re.compile(r"\b([A-Z])\b")


def _dude(prediction: Prediction, sample: Sample, _: Options) -> float:
    """lmms-eval's rule for DUDE (arXiv 2305.08455): ANLS, and full credit for the letter where there are options.

    The letter is the first capital that stands alone; the first character of an accepted answer must equal it.
    """
    if sample.choices and best(prediction, sample, _same_letter):
        return 1.0
    return _anls(prediction, sample, {"variant": "dude"})


def _same_letter(text: str, gold: str) -> float:
    match = _FIRST_LETTER.search(text)
    return float(match is not None and match[1] == gold[:1])


MATCHERS: Mapping[str, Matcher] = MappingProxyType(
    {
        "anls": Matcher(_anls, frozenset({"variant"}), one_of("score.match", variant=tuple(_FORMS))),
        "dude": Matcher(_dude),
    }
)
