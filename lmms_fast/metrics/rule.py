"""What a named rule is: a function, the options it takes, and how options are checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from lmms_fast.errors import TaskError
from lmms_fast.metrics.estimate import plain
from lmms_fast.types import Aggregate, Prediction, Sample, Score, Scored

T = TypeVar("T")
Options = Mapping[str, Any]
NONE: Options = MappingProxyType({})


def _anything(_: Options) -> None:
    return None


FLAG = (False, True)


def one_of(key: str, **allowed: Sequence[str | bool]) -> Callable[[Options], None]:
    """A check that options, where they are given, are one of the values allowed; `key` is where the rule is named."""

    def check(options: Options) -> None:
        for name, values in allowed.items():
            given = options.get(name, values[0])
            if given not in values or not isinstance(given, type(values[0])):
                shown = ", ".join(str(value).lower() for value in values)
                raise TaskError(f"{key}: `{name}` is {given!r}; allowed: {shown}.")

    return check


@dataclass(frozen=True, slots=True)
class Extractor:
    """(text, sample, options) → what was found. Never raises, whatever the text; time about linear in its length.

    In a chain the answer of one is the text of the next.
    """

    run: Callable[[str, Sample, Options], Prediction]
    options: frozenset[str] = frozenset()
    check: Callable[[Options], None] = _anything
    """Raises TaskError for values the rule cannot use."""
    needs: frozenset[str] = frozenset()
    """Facts of the sample that it reads."""

    def __call__(self, text: str, sample: Sample, options: Options = NONE) -> Prediction:
        """Run it."""
        return self.run(text, sample, options)


@dataclass(frozen=True, slots=True)
class Matcher:
    """(what was found, sample, options) → 0.0 wrong … 1.0 right, or several such numbers by name, the headline first.

    Called only where an answer was found, but for `sees_silence`: no answer is 0.0 under every other rule.
    """

    run: Callable[[Prediction, Sample, Options], float | Mapping[str, float]]
    options: frozenset[str] = frozenset()
    check: Callable[[Options], None] = _anything
    needs: frozenset[str] = frozenset()
    """Facts of the sample that it reads."""
    sees_silence: bool = False
    """For the few benchmarks whose rule gives a number to an empty response too."""
    slow: bool = False
    """Milliseconds a sample, and a second for the first: scored when the run has ended, not between its requests."""

    def __call__(self, prediction: Prediction, sample: Sample, options: Options = NONE) -> Score:
        """The verdict on a prediction."""
        if prediction.answer is None and not self.sees_silence:
            return Score(0.0, prediction)
        return scored_as(self.run(prediction, sample, options), prediction)


@dataclass(frozen=True, slots=True)
class Reader:
    """(a judge's reply, sample, options) → the score it stands for, 0 to 1 (several by name, the headline first), or
    the answer that the judge read out of the response, which the task's matcher then compares.

    None: the reply does not follow the form that was asked for, so the sample is not measured.
    """

    run: Callable[[str, Sample, Options], float | Mapping[str, float] | Prediction | None]
    options: frozenset[str] = frozenset()
    check: Callable[[Options], None] = _anything
    """Raises TaskError for values the rule cannot use."""
    needs: frozenset[str] = frozenset()
    """Facts of the sample that it reads."""
    swapped: Callable[[float | Mapping[str, float]], float | Mapping[str, float]] | None = None
    """What a score means where the two answers compared stood in the other order; None where none are compared."""

    def __call__(
        self, reply: str, sample: Sample, options: Options = NONE
    ) -> float | Mapping[str, float] | Prediction | None:
        """Run it."""
        return self.run(reply, sample, options)


@dataclass(frozen=True, slots=True)
class Aggregator:
    """(all samples of a task, options) → headline(s) first, then groups. No number depends on the order.

    In every `Aggregate`, n + n_failed is the number of samples given, each repeat counted, and n_no_answer is part
    of n.
    """

    run: Callable[[Sequence[Scored], Options], list[Aggregate]]
    options: frozenset[str] = frozenset()
    check: Callable[[Options], None] = _anything
    needs: frozenset[str] = frozenset()
    """Groups of the task that it reads whatever its options."""
    whole: bool = False
    """The number means what the benchmark says only over the complete set (CIDEr's document frequencies, groups)."""
    bounded: bool | frozenset[str] = True
    """Whether its numbers lie between those with all of the rest wrong and all right: each of them, none (CIDEr needs
    texts), or those with these names."""
    together: tuple[tuple[str, ...], ...] = ()
    """Lists of groups: samples that agree in all of one list count together, so they are not independent."""

    def bounds(self, metric: str) -> bool:
        """Whether the number of that name has bounds."""
        return self.bounded if isinstance(self.bounded, bool) else metric in self.bounded

    def __call__(self, scored: Sequence[Scored], options: Options = NONE) -> list[Aggregate]:
        """Run it."""
        return [plain(one) for one in self.run(scored, options)]


def scored_as(found: float | Mapping[str, float], prediction: Prediction) -> Score:
    """One number, or several of which the first is the headline, as a score."""
    if isinstance(found, Mapping):
        return Score(next(iter(found.values())), prediction, found)
    return Score(found, prediction)


class Rule(Protocol):
    """What the four kinds have in common."""

    @property
    def options(self) -> frozenset[str]:
        """Names it takes."""
        ...

    @property
    def check(self) -> Callable[[Options], None]:
        """Looks at their values."""
        ...

    @property
    def needs(self) -> frozenset[str]:
        """Facts, or groups, of the task that it reads."""
        ...


def check_rule(key: str, name: str, options: Options, table: Mapping[str, Rule], given: Collection[str]) -> None:
    """Raise TaskError for a rule or option that does not exist, or a fact (or group) that the rule lacks."""
    if name not in table:
        raise TaskError(f"{key}: '{name}' is not a rule; allowed: {', '.join(sorted(table))}.")
    allowed = table[name].options
    for option in options:
        if option not in allowed:
            known = f"allowed: {', '.join(sorted(allowed))}" if allowed else "the rule takes none"
            raise TaskError(f"{key}: rule '{name}' has no option '{option}'; {known}.")
    if missing := table[name].needs - set(given):
        raise TaskError(
            f"{key}: rule '{name}' needs {', '.join(sorted(missing))}; the task declares none of that name."
        )
    table[name].check(options)


def merged(*tables: Mapping[str, T]) -> Mapping[str, T]:
    """One table out of the modules' own. Raises ValueError for a name that two of them use."""
    found: dict[str, T] = {}
    for table in tables:
        if twice := found.keys() & table.keys():
            raise ValueError(f"two rules are called {', '.join(sorted(twice))}")
        found.update(table)
    return MappingProxyType(found)
