"""Rows in the hub's schema, multiplied, and responses to them: what `bench.fidelity` asks two evaluators about.

Seeded by the task's name, so that a run can be repeated.
"""

from __future__ import annotations

import ast
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jinja2.meta

from lmms_fast.data.feed import Fed, Selection, feed_task
from lmms_fast.data.source import open_source
from lmms_fast.errors import LmmsFastError
from lmms_fast.tasks.render import LETTERS, Renderer, environment
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Sample
from tests.catalogue.hub import Datasets, everything, write

Row = dict[str, Any]
ROW = "fidelity_row"
"""The column by which both sides know a row."""

WORDS = (
    "stop", "a net", "the cat's hat", "U.S.A.", "left-hand", "New York", "blue and white", "café", "北京", "x", "dog",
    "10:30",
    "3/4", "unanswerable", "Dr. Who", "t-shirt, red", "two", "none", "mother's day", "C major", "A", "50 kg",
    "pink & grey",
    "Coca-Cola", "it's", "ten", "Tuesday", "frisbee", "e-mail@x.org", "half past two", "the", "STRASSE", "straße",
    "\\frac{1}{2}", "x^2+1", "Federal Reserve Bank of New York", "no smoking", "yes it is", "Mr. Smith (left)", "ﬁve",
)  # fmt: skip
NUMBERS = (
    "5", "12.5", "1,000", "50%", "$12", "0", "-3", "2010", "0.33", "7", "10", "1984", "3.14159", "12,345.6", "100",
    "0.05", "25 %", "€40", "1e3", "6.0",
)  # fmt: skip
OPTIONS = (
    *WORDS, "None of the above", "All of the above", "cat", "a cat", "cat food", "Option B", "both A and C", "12",
    "12.5", "It is red.", "left of the house", "B",
)  # fmt: skip
JUNK = (
    "", " ", ".", "I'm sorry, but I cannot answer that.", "I cannot determine the answer from the image.", "?",
    "N/A", "None",
    "The image shows a dog and a cat.", "A", "B", "C", "D", "E", "a", "Yes", "No", "yes and no", "maybe", "答案", "是",
    "不是",
    "🙂", "A photo of a house", "All of the above", "NASA BCD", "I think it is a cat.", "zzz", "Error",
    "unanswerable", "0", "42",
    "A B C D", "A, B", "AB", "ABCD", "(A) (B)", "Both A and B are right.", "<answer></answer>", "\\boxed{}", "{}",
    "[]", "nan",
    "[LMMS_EVAL_REQUEST_FAILED after 5 retries] x", "\u200b", "Ａ", "İ", "ǅ", "None of these. The picture is blank",
    "Not sure, yet it could be the second", "Answer:", "The answer is", "1", "2", "[0.1, 0.2, 0.3, 0.4]", "(10, 20)",
)  # fmt: skip
_ID = re.compile(r"(^|_|[a-z]| )(id|ids|idx|index|ID|Id|no|number|key|name)$|^(id|idx|index|pid|qid|no)$")
_KIND = re.compile(r"(?i)type|kind|format|category|split|task|^id$|_id$")
_LETTER = re.compile(r"\(?([A-Za-z])\)?\.?$")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_LABEL = re.compile(r"^(\(?[A-Z][.):]\s*)")


class NoRows(Exception):
    """The catalogue's tests have no rows of this task."""


def work(task: Task, datasets: Datasets, folder: Path, count: int) -> tuple[Path, list[Fed]]:
    """About `count` samples of a task, and the parquet file of its rows."""
    key, base = _rows_of(task, datasets)
    others = {
        other: rows
        for other, rows in datasets.items()
        if other != key and (other[0] == key[0] or other[0].rpartition("/")[2] == task.benchmark)
    }
    first, asked = _samples(task, {**others, key: _numbered(base)}, folder / "base")
    if not asked:
        raise NoRows
    copies = -(-count // len(asked))
    spread = _Varied(task, base, random.Random(task.task), open_source(task, folder / "base").root or first.parent)
    rows = _numbered([row for copy in range(copies) for row in spread.copy(copy)])
    file, samples = _samples(task, {**others, key: rows}, folder / task.task)
    return file, samples


def _rows_of(task: Task, datasets: Datasets) -> tuple[tuple[str, str | None, str], list[Row]]:
    for hub in task.dataset.hub:
        for key, rows in datasets.items():
            if key == (hub.path, hub.config, task.dataset.split):
                return key, rows
    raise NoRows


def _numbered(rows: Sequence[Row]) -> list[Row]:
    return [{**row, ROW: number} for number, row in enumerate(rows)]


def _samples(task: Task, datasets: Datasets, folder: Path) -> tuple[Path, list[Fed]]:
    write(folder, datasets, everything().files)
    (repository, config, split), _ = _rows_of(task, datasets)
    fed = feed_task(task, open_source(task, folder), Selection(allow_media_urls=True), lambda _: False)
    return (folder / repository / (config or "data") / f"{split}-00000-of-00001.parquet",
            [one for one in fed if one.failure is None])  # fmt: skip


class _Varied:
    """Copies of rows with other ids, golds and options, each still one that the task can render."""

    def __init__(self, task: Task, base: Sequence[Row], dice: random.Random, root: Path) -> None:
        self._task, self._base, self._dice, self._root = task, base, dice, root
        env = environment(task.tables)
        self._render = Renderer(task, lambda _: Path("."))

        def columns(*sources: str | None) -> set[str]:
            named: set[str] = set()
            for source in sources:
                if source:
                    named |= jinja2.meta.find_undeclared_variables(env.parse(source))
                    named |= {name for name in base[0] if f"'{name}'" in source or f'"{name}"' in source}
            return named & set(base[0])

        braces = "{{{{ {} }}}}".format
        together = task.keep_together and braces(task.keep_together)
        self._ids = {name for name in columns(task.id, together, *task.groups.values())
                     if _ID.search(name)} or columns(task.id)  # fmt: skip
        self._captions = any(rule.name == "captions" for rule in task.report)
        if self._captions:
            self._ids |= {name for name in base[0] if _ID.search(name) or name == "filename"}
        target = task.target
        self._golds: set[str] = set()
        if target is not None:
            self._golds = columns(target.template, target.expression and braces(target.expression))
            self._golds |= {name for name in base[0] if name == target.column}
        if isinstance(task.choices, tuple):
            self._options = [name for name in task.choices if name in base[0]]
        else:
            self._options = [task.choices] if task.choices in base[0] else sorted(columns(task.choices))
        self._golds = {name for name in self._golds - set(self._options) if not _KIND.search(name)}
        seen = {row[name] for row in base for name in self._golds if isinstance(row[name], str)}
        self._plain = "AB" if seen <= {"A", "B", "Yes", "No", "yes", "no"} else "ABCD"
        self._letters = max((len(sample.choices) for row in base for sample in self._rendered(row)), default=0)

    def copy(self, number: int) -> Iterator[Row]:
        """The base rows once more."""
        for row in self._base:
            found = {name: _bumped(value, number) if name in self._ids else value for name, value in row.items()}
            if self._captions and str(found.get("image_id")).isdigit():
                found["image_id"] = int(found["image_id"])  # theirs takes it for a number
            if number:
                found = self._first_sound(
                    [self._other(found), self._other(found), self._other(found, options=False)], found
                )
            yield found

    def _first_sound(self, candidates: Sequence[Row], otherwise: Row) -> Row:
        return next((row for row in candidates if self._sound(row)), otherwise)

    def _sound(self, row: Row) -> bool:
        samples = self._rendered(row)
        letters = [LETTERS[: len(sample.choices)] for sample in samples]
        return bool(samples) and all(
            sample.target and all(len(gold) != 1 or not sample.choices or gold in sample.choices or gold in some
                                  or gold.islower() for gold in sample.target)
            for sample, some in zip(samples, letters, strict=True)
        )  # fmt: skip

    def _rendered(self, row: Row) -> list[Sample]:
        try:
            doc = self._render.prepare({**row, ROW: 0})
            if not self._render.wanted(doc, 0):
                return []
            return [
                self._render.render(doc, 0, self._root, question=one)
                for one in enumerate(self._render.questions(doc, 0))
            ]
        except (LmmsFastError, Exception):
            return []

    def _other(self, row: Row, *, options: bool = True) -> Row:
        found = dict(row)
        texts = list(self._dice.sample(OPTIONS, 12))
        if options:
            for name in self._options:
                found[name] = self._option(row[name], texts)
        for name in self._golds:
            found[name] = self._gold(row[name], [one for key in self._options for one in _as_list(found[key])],
                                     [one for key in self._options for one in _as_list(row[key])])  # fmt: skip
        return found

    def _option(self, value: Any, texts: list[str]) -> Any:
        match value:
            case str() if value in ("", "nan", "-"):
                return value
            case str() if value.startswith("["):
                try:
                    return repr([self._option(one, texts) for one in ast.literal_eval(value)])
                except (ValueError, SyntaxError):
                    return value
            case str() if "\n" in value or len(value) > 200:
                return value
            case str():
                label = _LABEL.match(value)
                return (label[1] if label else "") + texts.pop()
            case list() if all(isinstance(one, str) for one in value):
                return [self._option(one, texts) for one in value]
        return value

    def _gold(self, value: Any, now: Sequence[str], before: Sequence[str]) -> Any:
        dice = self._dice
        match value:
            case bool():
                return dice.choice((True, False))
            case str() if value in before and len(now) == len(before):
                return dice.choice([one for one in now if one not in ("", "nan", "-")])
            case int() if self._letters:
                return dice.choice(range(self._letters + 1))
            case str() if value.isdigit() and len(value) == 1 and self._letters:
                return str(dice.choice(range(self._letters + 1)))
            case str() if _LETTER.fullmatch(value):
                letter = dice.choice(LETTERS[: self._letters] or self._plain)
                return value.replace(_LETTER.fullmatch(value)[1], letter if value.upper() == value else letter.lower())  # type: ignore[index]
            case str() if value.lower() in ("yes", "no"):
                other = dice.choice(("yes", "no"))
                return other.capitalize() if value[0].isupper() else other
            case str() if _NUMBER.fullmatch(value):
                return _like(value, dice)
            case str() if value.startswith(("[", "{")) or "\n" in value:
                return value
            case str():
                return dice.choice((*WORDS, *NUMBERS))
            case list() if value:
                return self._golds_like(value)
            case float():
                return round(value * dice.uniform(0.5, 2), 2)
            case int():
                return value + dice.randint(0, 9)
        return value

    def _golds_like(self, values: Sequence[Any]) -> list[Any]:
        """As many answers, several of them the same."""
        dice = self._dice
        some = dice.sample((*WORDS, *NUMBERS), 3)
        match values[0]:
            case str():
                return [dice.choice((some[0], *some)) for _ in values]
            case {"answer": _}:
                return [{**one, "answer": dice.choice((some[0], *some))} for one in values]
            case float():
                scaled = [round(one * dice.uniform(0.8, 1.2), 3) for one in values]
                return [min(one, 1.0) for one in scaled] if max(values) <= 1 else scaled
        return list(values)


def _as_list(value: Any) -> list[str]:
    if isinstance(value, list):
        return [str(one) for one in value]
    if isinstance(value, str) and value.startswith("["):
        try:
            return [str(one) for one in ast.literal_eval(value)]
        except (ValueError, SyntaxError):
            pass
    return [str(value)]


def _like(value: str, dice: random.Random) -> str:
    """Another number of as many decimals."""
    decimals = len(value.partition(".")[2])
    return f"{float(value) * dice.uniform(0.3, 3) + dice.randint(0, 3):.{decimals}f}"


def _bumped(value: Any, copy: int) -> Any:
    """An id that no other copy has: its last number is 1,000 a copy larger."""
    if isinstance(value, bool) or not isinstance(value, int | str) or not copy:
        return value
    if isinstance(value, int):
        return value + 1000 * copy
    digits = list(re.finditer(r"\d+", value))
    if not digits:
        return f"{value}{copy}"
    last = digits[-1]
    return f"{value[: last.start()]}{int(last[0]) + 1000 * copy}{value[last.end() :]}"


# Responses

_LETTERED = (
    "{l}", "({l})", "{l}.", "{l})", "{l}:", "**{l}**", "{l}. {t}", "({l}) {t}", "{l}: {t}", "{l}) {t}",
    "**{l}. {t}**", "{t}",
    "{t}.", "The answer is {l}", "The answer is {l}.", "The answer is ({l}).", "The correct answer is {l}. {t}",
    "Answer: {l}", "Answer: {l}. {t}", "answer: ({l})", "Option {l}", "option {l}.", "The best option is {l}.",
    "\\boxed{{{l}}}", "$\\boxed{{{l}}}$", "The answer is \\boxed{{{l}}}.", "<answer>{l}</answer>", "`{l}`",
    "'{l}'", '"{l}"',
    "{l} because it is red.", "I choose {l}", "My answer is {l}, not {m}.", "It is not {m}. The answer is {l}.",
    "{l} or {m}",
    "{l}, {m}", "({l}) and ({m})", "First {m}, but then {l}.", "答案是{l}", "答案：{l}。", "选{l}",
    "정답은 {l}", "答えは{l}です",
    "{s}", "{s}.", "({s})", "the answer is {s}", "{l}\n", "\n{l}", "{l}\n\nBecause it is so.",
    "A dog is shown, so {l}",
    "Let's think. {m} is wrong since the cat is red. Therefore, the answer is {l}.", "{l}{m}", " {l} ", "{l}!",
    "{l}?",
    "<think>{m} it may be</think>{l}", "<think>\nA or B\n</think>\n\nThe answer is {l}.", "it may be {m}</think>{l}",
    "<think>{m} without an end {l}", "<analysis>x</analysis><answer>{l}</answer>",
    "In the image we see that {t} is shown.",
    "The answer is {t}", "I think it's {t}, so {l}", "{{\"answer\": \"{l}\"}}", "Ｔhe answer is {l}",
    "The answer is: {l}",
    "Therefore, option {l} is right.", "{l} is the correct answer",
    "I am sure that the answer can only be {l} here", "Answer {l}",
    "The correct option is {l}", "**Answer:** {l}", "Best answer: {l}", "Final answer: {l}",
    "So the final choice: ({l}).",
    "Choice {l}: {t}", "## {l}", "[{l}]", "{{{l}}}", "{l}/", "{l};", "{t} ({l})", "{t}\n{l}", "{l}\n{t}", "\u00a0{l}",
    "The answer is {l} (not {m})", "Among all of the options, {t} fits best.", "none of them, yet {l}", "{u}", "{u}.",
)  # fmt: skip
_OPEN = (
    "{t}", "{t}.", "{t}!", "{u}", "{s}", "{c}", " {t} ", "The answer is {t}", "The answer is {t}.",
    "the answer is: {t}",
    "{t} is the answer.", "Answer: {t}", "**{t}**", "\\boxed{{{t}}}", "$\\boxed{{{t}}}$", "${t}$",
    "<answer>{t}</answer>", "'{t}'",
    '"{t}"', "a {t}", "the {t}", "A {t}.", "{t} cm", "{t}%", "${t}", "{t} dollars", "{t} or {w}", "{w} or {t}",
    "{w}, {t}", "{t}, {w}",
    "It is {t}, because of the sign.", "So the result is {t}", "= {t}", "x = {t}", "Therefore, we have {t}.",
    "答案是{t}", "{t}。",
    "{t}\n", "{t}\nbecause it says so", "\n{t}", "{t}\n\n{w}", "<think>{w}</think>{t}",
    "<think>\n{w}\n</think>\n\n{t}", "{w}</think>{t}",
    "<think>{w} {t}", "<analysis>{w}</analysis>{t}", "{{\"answer\": \"{t}\"}}", "{x}", "{y}", "{z}", "{t} {t}",
    "{t},", "({t})", "[{t}]",
    "The sign reads {t} in red letters.", "I see {t}", "{t} and more", "not {t}", "No, {t}", "Yes, {t}", "yes",
    "no", "Yes.", "No.",
    "There is {t} in the image", "The image shows {t}, a thing.", "About {t}", "approximately {t}", "{t} - {w}",
    "{t}/{w}", "{t}?",
    "Final answer: {t}", "### {t}", "The final answer is ${t}$", "answer: {t} units", "{t};", "`{t}`",
    "```json\n{t}\n```", "{t} ",
    "one {t}", "Step 1: look. Step 2: {w}. The answer is {t}", "{n}", "{j}", "{j}", "{j}",
)  # fmt: skip
_YES_NO = (
    "{t}", "{u}", "{s}", "{c}", "{t}.", "{c}.", "{c}, it is.", "{c}, there is a thing.", "The answer is {t}.",
    "**{c}**", "{t}!", "I think {t}",
    "{c}\n", "{c}, because the cat is not red.", "\\boxed{{{c}}}", "<answer>{c}</answer>", "<think>{w}</think>{c}",
    "{c}, not {w}", "It is {t}",
    "{c} and {w}", "Answer: {c}", "The image does not show it.", "There is no cat.", "There is one.", "Not at all",
    "nope", "yeah", "y", "n",
    "Y", "N", "{s}, {w}", "{c}. {w}.", "I know it: {t}", "In this image, {t}", "是", "否", "不是", "True", "False",
    "{t}{w}", "'{t}'", " {t}",
    "I do not know", "None", "It's not clear, so {t}", "{c};", "{c} ({w})", "{c}: it is", "{c}-", "correct",
    "incorrect", "not {t}", "Eyes",
)  # fmt: skip


def responses(task: Task, samples: Sequence[Sample], right: Callable[[Sample], str] | None) -> Iterator[str]:
    """One response to each sample."""
    dice = random.Random(f"{task.task} responses")
    golds = [_right_of(one, right, dice) for one in samples]
    for one, gold in zip(samples, golds, strict=True):
        yield _response(one, gold, dice.choice(golds), dice)


def _right_of(sample: Sample, right: Callable[[Sample], str] | None, dice: random.Random) -> str:
    if right is not None:
        try:
            return right(sample)
        except Exception:
            pass
    return dice.choice(sample.target) if sample.target else ""


def _response(sample: Sample, gold: str, other: str, dice: random.Random) -> str:
    """The right answer, or another, in some dress; inside ``<answer>`` where the right one stands in such."""
    before, tag, rest = gold.partition("<answer>")
    if tag and dice.random() < 0.7:
        gold, _, after = rest.partition("</answer>")
        other = other.partition("<answer>")[2].partition("</answer>")[0]
        return before + tag + _dressed(sample, gold, other, dice) + "</answer>" + after
    return _dressed(sample, gold, other, dice)


def _dressed(sample: Sample, gold: str, other: str, dice: random.Random) -> str:
    if dice.random() < 0.12:
        return dice.choice(JUNK)
    told = dice.random() < 0.6
    count = len(sample.choices) or (4 if _LETTER.fullmatch(gold) else 0)
    if count and (len(gold) == 1 or gold in sample.choices or _LETTER.fullmatch(gold)):
        letters = LETTERS[:count]
        if gold in sample.choices and gold not in letters:
            truth = letters[sample.choices.index(gold)]
        else:
            truth = (_LETTER.fullmatch(gold) or ["", "A"])[1].upper()
        letter = truth if told else dice.choice(letters)
        at = letters.find(letter)
        text = sample.choices[at] if 0 <= at < len(sample.choices) else "a cat"
        pattern = dice.choice(_LETTERED) if dice.random() < 0.8 else "{l}"
        return pattern.format(l=letter, m=dice.choice(letters), t=text, s=letter.lower(), u=text.upper())
    text = gold if told else other
    patterns = _YES_NO if gold.lower() in ("yes", "no") else _OPEN
    if gold.lower() in ("yes", "no"):
        other = "no" if text.lower() == "yes" else "yes"
    pattern = dice.choice(patterns) if dice.random() < 0.7 else "{t}"
    return pattern.format(
        t=text, w=other, u=text.upper(), s=text.lower(), c=text.capitalize(), x=_typo(text, dice),
        y=_typo(_typo(text, dice), dice),
        z=" ".join(text.split()[::-1]), n=_number_form(text, dice), j=_jittered(text, dice),
    )  # fmt: skip


def _typo(text: str, dice: random.Random) -> str:
    if not text:
        return text
    at = dice.randrange(len(text))
    return text[:at] + dice.choice(("", "x", text[at] * 2)) + text[at + 1 :]


def _number_form(text: str, dice: random.Random) -> str:
    """The number in another dress, or a near one."""
    try:
        number = float(text.replace(",", "").strip("%$€ "))
    except ValueError:
        return text
    return dice.choice((
        f"{number:,.2f}", f"{number:.1f}", f"{number * 1.04:.3f}", f"{number * 0.94:.3f}", f"{number:g}%",
        f"${number:g}", f"{number / 100:g}", f"{number:e}", f"{number:.0f}", f"+{number:g}", f"{number:g}.",
        f"{number * 1.06:g}",
    ))  # fmt: skip


def _jittered(text: str, dice: random.Random) -> str:
    """Its numbers moved a little, the same way of writing or another."""
    width = dice.choice((0.0, 0.02, 0.1, 0.3))

    def moved(match: re.Match[str]) -> str:
        decimals = len(match[0].partition(".")[2])
        return f"{float(match[0]) * (1 + dice.uniform(-width, width)):.{decimals}f}"

    found = _NUMBER.sub(moved, text)
    numbers = _NUMBER.findall(found)
    if len(numbers) == 4 and dice.random() < 0.5:
        a, b, c, d = numbers
        return dice.choice((
            f"({a},{b}),({c},{d})", f"[{a}, {b}, {c}, {d}]",
            f"{a} {b} {c} {d}", json.dumps({"bbox_2d": [float(one) for one in numbers]}),
            f"[{c}, {d}, {a}, {b}]", f"[{a}, {b}, {c}]", f"The box is [{a},{b},{c},{d}].",
            f"<box>{a},{b},{c},{d}</box>",
            f"```json\n{json.dumps([{'bbox_2d': [float(one) for one in numbers], 'label': 'x'}])}\n```",
            str([round(float(one) * 1000) for one in numbers]), str([round(float(one) / 1000, 3) for one in numbers]),
        ))  # fmt: skip
    if len(numbers) == 2 and dice.random() < 0.5:
        a, b = numbers
        return dice.choice(
            (
                f"({a}, {b})",
                f"[{a}, {b}]",
                f"{a} {b}",
                f"x={a}, y={b}",
                f"<point>{a} {b}</point>",
                f"Click at ({a},{b}).",
            )
        )
    return found
