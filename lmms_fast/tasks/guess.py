"""A data file without a task file → the task that it most likely is, each decision named in words.

Names of columns and what is in them decide; where they leave a doubt that would change scores, the file is refused with
what to write in a task file. Knows the files of open-compass/VLMEvalKit: base64 pictures, a picture that is the index
of the row that has it, options in columns A, B, C, rotations of a question 1,000,000 apart.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from lmms_fast.errors import TaskError
from lmms_fast.tasks.render import LETTERS, as_list
from lmms_fast.tasks.sketch import ROWS_MAX, Seen, Sketch, is_path, sketch
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Doc

_QUESTIONS = ("question", "query", "problem", "instruction", "prompt", "input", "text")
_PICTURES = ("image", "images", "picture", "pictures", "photo", "img", "image_path", "image_paths", "image_url",
             "file_name", "decoded_image", "image_bytes", "jpg", "png")  # fmt: skip
_OPTIONS = ("options", "choices", "candidates", "answer_choices")
_ANSWERS = ("answer", "answers", "ground_truth", "gt", "gt_answer", "correct_answer", "correct_option", "gold",
            "target", "label")  # fmt: skip
_IDS = ("index", "id", "question_id", "qid", "sample_id", "uid")
_HINTS = ("hint", "context")
_GROUPS = ("category", "l2_category", "split", "subset", "subject", "subfield", "topic", "task", "type",
           "question_type", "difficulty", "level", "domain", "capability", "language")  # fmt: skip
_GROUPS_MAX = 100
_TAKEN = frozenset({"row", "letters", "choices", "choices_text", "range", "dict", "none", "true", "false", "loop",
                    "self", "lipsum", "cycler", "joiner", "namespace"})  # fmt: skip
_ROTATION = 1_000_000
_LONG_ANSWER = 100  # characters; longer ones are hardly met to the letter
_NUMBERED = re.compile(r"(?:image|img|picture|photo)_?(\d+)", re.IGNORECASE)
_OPTION = re.compile(r"(?:option|choice)_?([a-z])", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"<image (\d+)>")
_WHOLE = re.compile(r"-?(?:0|[1-9]\d*)")

LETTER_PROMPT = "Answer with the option's letter from the given choices directly."
YES_NO_PROMPT = "Answer yes or no."
SHORT_PROMPT = "Answer the question using a single word or phrase."


@dataclass(frozen=True, slots=True)
class Guess:
    """What a file was taken for."""

    file: Path
    content: Mapping[str, Any]
    """As a task file has it; `dataset.files` from the folder of `file`."""
    lines: tuple[str, ...]
    """Each decision, as ``what: which``."""

    @property
    def task(self) -> Task:
        """The task."""
        return Task.model_validate({**self.content, "file": self.file})

    def anywhere(self) -> dict[str, Any]:
        """The content for a task file in any folder."""
        files = [str(self.file.parent / name) for name in self.content["dataset"]["files"]]
        return {**self.content, "dataset": {**self.content["dataset"], "files": files}}

    def told(self) -> str:
        """The lines under a heading."""
        head = f"{self.content['task']}, as guessed from {self.file.name} (`lmms-fast tasks new` writes it down):"
        return "\n  ".join([head, *self.lines])


def guess_file(path: Path) -> Guess:
    """What a data file, or a folder of pictures, most likely asks. Raises TaskError with one sentence."""
    return guess(sketch(path))


def guess(found: Sketch) -> Guess:
    """What the rows most likely ask. Raises TaskError with one sentence."""
    return _Guesser(found).guess()


class _Guesser:
    """Goes through the parts of a task file in order; `_lines` gathers what was decided."""

    def __init__(self, found: Sketch) -> None:
        self._found, self._rows = found, found.rows
        self._names = list(dict.fromkeys(name for row in found.rows for name in row))
        self._used: set[str] = set()
        self._lines: list[str] = []

    def guess(self) -> Guess:
        pictures, shared = self._pictures()
        question = self._named(_QUESTIONS)
        if question is None and pictures and (label := self._named(("label", "class"))):
            asked = self._classification(label)
        else:
            asked = self._questions(question)
        rows = len(self._rows)
        self._lines.insert(0, f"rows: {rows:,}" if rows < ROWS_MAX else f"rows: the first {rows:,} looked at")
        name = self._found.name
        content = {
            "task": name,
            "benchmark": name,
            "about": f"Guessed from {self._found.path.name}.",
            "source": self._found.path.name,
            "licence": "that of the data",
            "dataset": {"files": [self._found.path.name], **({"shared": shared} if shared else {})},
            **asked,
            "prompt": {"user": [*([] if self._placed(pictures, asked) else pictures), *asked["prompt"]["user"]]},
        }
        order = list(Task.model_fields)
        return Guess(self._found.path, dict(sorted(content.items(), key=lambda one: order.index(one[0]))),
                     tuple(self._lines))  # fmt: skip

    # Cells

    def _refuse(self, what: str, write: str) -> NoReturn:
        raise TaskError(f"{self._found.path}: {what}; {write} in a task file (tasks/README.md shows one).")

    def _column(self, name: str) -> list[Any]:
        return [row.get(name) for row in self._rows]

    def _filled(self, name: str) -> Iterator[tuple[int, Any]]:
        return ((number, value) for number, value in enumerate(self._column(name)) if not _empty(value))

    def _named(self, names: Sequence[str]) -> str | None:
        """The first of the names that is a column with anything in it, whatever its capitals and dashes."""
        plain = {re.sub(r"\W", "_", name.lower()): name for name in reversed(self._names)}
        return next((plain[name] for name in names if name in plain and any(self._filled(plain[name]))), None)

    def _ref(self, name: str) -> str:
        """The column in a template."""
        everywhere = all(name in row for row in self._rows)
        if everywhere and name.isidentifier() and name.isascii() and not keyword.iskeyword(name) and name not in _TAKEN:
            return name
        if "doc" in self._names:
            self._refuse(f"column {name} is reached as doc[{name!r}], and a column is called doc", "use `hooks:`")
        return f"doc[{name!r}]" if everywhere else f"doc.get({name!r})"

    def _all_empty_are(self, *names: str) -> bool:
        """Whether cells without anything are None or "", which templates know by themselves."""
        return all(value in (None, "") for name in names for value in self._column(name) if _empty(value))

    # Pictures

    def _pictures(self) -> tuple[list[dict[str, Any]], dict[str, str] | None]:
        numbered = sorted((int(match[1]), name) for name in self._names
                          if (match := _NUMBERED.fullmatch(name)) and any(self._filled(name)))  # fmt: skip
        columns = [name for _, name in numbered]
        if not columns and (single := self._named(_PICTURES) or self._picture_by_content()):
            columns = [single]
        if not columns:
            self._lines.append("pictures: none")
            return [], None
        self._used |= {*columns}
        shared = self._shared(columns[0]) if len(columns) == 1 else None
        kinds = dict.fromkeys(kind for name in columns for _, value in self._filled(name)
                              for kind in self._kinds(name, value, shared))  # fmt: skip
        missing = sum(all(_empty(row.get(name)) for name in columns) for row in self._rows)
        what = f"{_listed(columns)} ({', '.join(kinds)})"
        if shared:
            what += f"; a cell may be the {shared['key']} of the row with the picture"
        if missing:
            what += f"; {missing:,} rows have none"
        self._lines.append(f"pictures: {what}")
        optional = any(_empty(value) for name in columns for value in self._column(name))
        part: dict[str, Any] = {"image": columns[0] if len(columns) == 1 else columns}
        return [{**part, "optional": True} if optional else part], shared

    def _picture_by_content(self) -> str | None:
        """The one column in which every cell is a picture."""
        found = [name for name in self._names
                 if (cells := [value for _, value in self._filled(name)]) and all(map(_is_picture, cells))]  # fmt: skip
        if len(found) > 1:
            self._refuse(f"columns {_listed(found)} hold pictures", "say which are shown: `- image: [COLUMN, …]`")
        return found[0] if found else None

    def _shared(self, column: str) -> dict[str, str] | None:
        """VLMEvalKit's rule: a cell that is too short for a picture is the index of the row that has it."""
        short = {str(value) for _, value in self._filled(column) if not _is_picture(value)}
        key = self._named(_IDS) if short else None
        if key is None:
            return None
        holders = {str(row.get(key)) for row in self._rows if _is_picture(row.get(column))}
        return {"column": column, "key": key} if short <= holders else None

    def _kinds(self, column: str, value: Any, shared: object) -> Iterator[str]:
        for one in value if isinstance(value, list) else as_list(value) if isinstance(value, str) else [value]:
            match one:
                case Seen():
                    yield one.value
                case str() if one.lower().startswith(("http://", "https://")):
                    yield "addresses, fetched only with --allow-media-urls"
                case str() if is_path(one):
                    if column in self._found.absent:
                        self._refuse(f"column {column} names {self._found.absent[column]!r}, which is not beside the "
                                     "file", "put the pictures there, or say where they are")  # fmt: skip
                    yield "files beside it"
                case _ if not shared:
                    self._refuse(f"column {column} holds {str(one)[:40]!r}, which is neither a picture nor the index "
                                 "of a row that has one", "say which column has the pictures")  # fmt: skip

    def _placed(self, pictures: Sequence[Mapping[str, Any]], asked: Mapping[str, Any]) -> bool:
        """Whether the text says where its pictures stand."""
        return bool(pictures) and any("interleave" in part for part in asked["prompt"]["user"])

    # Questions

    def _questions(self, question: str | None) -> dict[str, Any]:
        answer = self._named(_ANSWERS)
        if question is None or (question == "text" and answer is None):
            hint = ("; it looks like a chat" if {"messages", "conversations"} & {*self._names} else "")
            self._refuse(f"no column is called question, query, problem or prompt{hint}; it has: "
                         f"{', '.join(self._names)}", "say what is asked: `prompt: {user: [{text: …}]}`")  # fmt: skip
        blank = next((number for number, row in enumerate(self._rows) if _empty(row.get(question))), None)
        if blank is not None:
            self._refuse(f"row {blank} has no {question}", "say with `where:` which rows are asked")
        odd = next(((number, value) for number, value in self._filled(question) if not isinstance(value, str)), None)
        if odd:
            self._refuse(f"column {question} holds {str(odd[1])[:40]!r} in row {odd[0]}, which is no text",
                         "say what is asked: `prompt: {user: [{text: …}]}`")  # fmt: skip
        self._used |= {question, *([answer] if answer else [])}
        self._lines.insert(0, f"question: column {question}")
        rule, choices_of = self._options()
        scored, instruction = self._scored(answer, choices_of)
        part: dict[str, Any] = {"text": self._text(question, bool(rule), instruction)}
        identity, circular = self._identity(choices_of)
        groups = self._groups(circular)
        kept = {"keep_together": f"{circular} % {_ROTATION}"} if circular else {}
        if any(_PLACEHOLDER.search(value) for _, value in self._filled(question)) and "image_1" in self._used:
            part["interleave"] = {"pattern": r"<image (\d+)>", "column": "image_{}"}
            self._lines.append("pictures stand where the question says <image 1>, <image 2>, …")
        return {**rule, **identity, **groups, **kept, **scored, "prompt": {"user": [part]},
                "report": [self._report(groups, circular)]}  # fmt: skip

    def _text(self, question: str, lettered: bool, instruction: str) -> str:
        asked = self._ref(question)
        if any("<image>" in value for _, value in self._filled(question)):
            asked = f"{asked} | replace('<image>', '') | trim"
            self._lines.append("<image> in a question: left out, pictures stand in front")
        hint = self._named([name for name in _HINTS if name not in self._used])
        before = ""
        if hint:
            self._used.add(hint)
            self._lines.append(f"before the question: column {hint}")
            ref = self._ref(hint)
            test = ref if self._all_empty_are(hint) else f"{ref} | string not in ('', 'None', 'nan')"
            before = f"{{% if {test} %}}{{{{ {ref} }}}}\n{{% endif %}}"
        options = "\n{{ choices_text }}" if lettered else ""
        said = f"\n{instruction}" if instruction else ""
        return f"{before}{{{{ {asked} }}}}{options}{said}"

    # Options

    def _options(self) -> tuple[dict[str, Any], Callable[[Doc], tuple[str, ...]]]:
        columns = self._option_columns()
        listed = self._named([name for name in _OPTIONS if name not in self._used])
        if columns and listed:
            self._refuse(f"options are in the columns {_listed(columns)} and in {listed}", "say which with `choices:`")
        if columns:
            rule, read = self._lettered_columns(columns)
        elif listed:
            self._used.add(listed)
            self._lines.append(f"options: column {listed}")
            rule, read = {"choices": self._list_of(listed)}, lambda row: _choices(row.get(listed))
        else:
            return {}, lambda row: ()
        counts = [len(read(row)) for row in self._rows]
        if 0 in counts:
            self._refuse(f"row {counts.index(0)} has no options while others have", "split the file, or write a "
                         "`target` and rules that serve both")  # fmt: skip
        if max(counts) > len(LETTERS):
            self._refuse(f"row {counts.index(max(counts))} has {max(counts)} options, more than there are letters",
                         "say how they are asked")  # fmt: skip
        return rule, read

    def _option_columns(self) -> list[str]:
        by_letter = {name: name for name in self._names if len(name) == 1 and name in LETTERS}
        if not {"A", "B"} <= by_letter.keys():
            by_letter = {match[1].upper(): name for name in self._names if (match := _OPTION.fullmatch(name))}
        found = []
        for letter in LETTERS:
            if letter not in by_letter:
                break
            if any(self._filled(by_letter[letter])):
                found.append(by_letter[letter])
        return found if len(found) > 1 else []

    def _lettered_columns(self, columns: list[str]) -> tuple[dict[str, Any], Callable[[Doc], tuple[str, ...]]]:
        for number, row in enumerate(self._rows):
            there = [not _empty(row.get(name)) for name in columns]
            if sum(there) < len(there) and any(there[there.index(False) :]):
                self._refuse(f"row {number} has no option {columns[there.index(False)]} but a later one",
                             "say what its letters are with `choices:`")  # fmt: skip
        self._used |= {*columns}
        short = columns == list(LETTERS[: len(columns)])
        self._lines.append(f"options: columns {columns[0]}–{columns[-1]}" if short else f"options: {_listed(columns)}")
        everywhere = all(name in row for name in columns for row in self._rows)
        rule: Any = columns
        if not everywhere or not self._all_empty_are(*columns):
            cells = ", ".join(map(self._ref, columns))
            rule = f"{{{{ [{cells}] | map('string') | reject('in', ['', 'None', 'nan']) }}}}"
        return {"choices": rule}, lambda row: tuple(str(row[name]) for name in columns if not _empty(row.get(name)))

    def _list_of(self, column: str) -> str:
        if any(isinstance(value, dict) for value in self._column(column)):
            return f"{{{{ {self._ref(column)}.values() }}}}"
        everywhere = all(column in row for row in self._rows)
        return column if everywhere else f"{{{{ {self._ref(column)} | as_list }}}}"

    # Answers

    def _scored(self, answer: str | None, choices_of: Callable[[Doc], tuple[str, ...]]) -> tuple[dict[str, Any], str]:
        """`target` and `score`, and the instruction that goes with them."""
        lettered = bool(choices_of(self._rows[0]))
        if answer is None:
            self._lines.append("answer: none in the file; responses are kept and not scored")
            score = {"extract": "letter" if lettered else "text"}
            return {"score": score}, LETTER_PROMPT if lettered else ""
        cells = dict(self._filled(answer))
        if any(isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, dict) for one in value))
               for value in cells.values()):  # fmt: skip
            self._refuse(f"column {answer} holds objects", "say which of their fields is the answer: `target: "
                         f"{{expression: \"{answer} | map(attribute='answer')\"}}`")  # fmt: skip
        if lettered:
            target, how = self._letter_target(answer, cells, choices_of)
            score, instruction, scored = {"extract": "letter"}, LETTER_PROMPT, "letter"
        else:
            target, how, score, instruction, scored = self._open_target(answer, cells)
        if missing := len(self._rows) - len(cells):
            target = {"expression": f"[{target}] if {self._ref(answer)} | string not in ('', 'None', 'nan') else []"}
            how += f"; {missing:,} rows have none and are not scored"
        elif isinstance(target, str):
            target = f"{{{{ {target} }}}}"
        self._lines.append(f"answer: column {answer}{how}")
        self._lines.append(f"scored: {scored}")
        return {"target": target, "score": score}, instruction

    def _letter_target(
        self, answer: str, cells: Mapping[int, Any], choices_of: Callable[[Doc], tuple[str, ...]]
    ) -> tuple[Any, str]:
        """The expression of the right option's letter, and how the column names it."""
        ref = self._ref(answer)
        options = {number: choices_of(self._rows[number]) for number in cells}
        texts = {number: _text_of(value) for number, value in cells.items()}
        letters = {number: text.strip(" ().:").upper() for number, text in texts.items()}
        named = {n: letters[n] for n in cells if letters[n] in [*LETTERS[: len(options[n])]]}
        told = {n: LETTERS[[*map(str.strip, options[n])].index(texts[n].strip())] for n in cells
                if texts[n].strip() in map(str.strip, options[n])}  # fmt: skip
        if len(named) == len(cells):
            if told and any(named[n] != letter for n, letter in told.items()):
                self._refuse("an answer is the letter of one option and the text of another", "say with `target:` "
                             "which is meant")  # fmt: skip
            plain = all(texts[n] == letters[n] for n in cells)
            return ref if plain else f"{ref} | trim(' ().:') | upper", ", the letter"
        if all(_is_whole(value) for value in cells.values()):
            return self._position_target(ref, {n: int(texts[n]) for n in cells}, options, told)
        if len(told) == len(cells):
            exact = all(texts[n] in options[n] for n in cells)
            found = f"choices.index({ref} | string)" if exact else \
                f"(choices | map('trim') | list).index({ref} | string | trim)"  # fmt: skip
            return f"letters[{found}]", ", the option's text"
        odd = next(n for n in cells if n not in (named if len(named) >= len(told) else told))
        several = " (where several are right, say whether any of them counts)" if isinstance(cells[odd], list) else ""
        return self._refuse(f"the answer {texts[odd][:40]!r} of row {odd} is neither the letter of an option nor its "
                            "text", f"say with `target:` what is right{several}")  # fmt: skip

    def _position_target(
        self, ref: str, numbers: Mapping[int, int], options: Mapping[int, tuple[str, ...]], told: Mapping[int, str]
    ) -> tuple[Any, str]:
        """The expression where answers are numbers of options."""
        from_0 = all(0 <= value < len(options[n]) for n, value in numbers.items())
        from_1 = all(1 <= value <= len(options[n]) for n, value in numbers.items())
        if len(told) == len(numbers) and not (from_0 or from_1):
            return f"letters[choices.index({ref} | string)]", ", the option's text"
        if from_0 == from_1 or told:
            self._refuse("the answers are numbers, and it is not plain whether options are counted from 0, from 1, or "
                         "are these numbers", "say with `target: \"{{ letters[…] }}\"`")  # fmt: skip
        less = "" if from_0 else " - 1"
        return f"letters[{ref} | int{less}]", f", the option's number from {0 if from_0 else 1}"

    def _open_target(self, answer: str, cells: Mapping[int, Any]) -> tuple[Any, str, dict[str, Any], str, str]:
        """The expression, how the column has it, rules, instruction, and the rules in words."""
        ref, values = self._ref(answer), list(cells.values())
        if all(isinstance(value, bool) for value in values):
            return f"'yes' if {ref} else 'no'", ", true or false", {"extract": "yes_no"}, YES_NO_PROMPT, "yes or no"
        said = {value.strip(" .").lower() if isinstance(value, str) else "" for value in values}
        if said <= {"yes", "no"}:
            plain = {*values} <= {"yes", "no"}
            instruction = "" if self._says("yes or no") else YES_NO_PROMPT
            return (ref if plain else f"{ref} | trim(' .') | lower", ", yes or no", {"extract": "yes_no"}, instruction,
                    "yes or no")  # fmt: skip
        if all(_is_whole(value) for value in values):
            return ref, ", a whole number", {"extract": "number_or_word"}, SHORT_PROMPT, "the first number"
        rules = {"extract": "first_line", "match": "exact_ignore_case"}
        scored = "first line, exact but for capitals"
        if max(len(_text_of(value)) for value in values) > _LONG_ANSWER:
            scored += "; some answers are too long to be met so: mind `score.match`, or a judge"
        if any(isinstance(value, list) or len(as_list(value)) != 1 for value in values):
            target: Any = {"column": answer} if len(cells) == len(self._rows) else f"({ref} | as_list)[0]"
            if isinstance(target, str):
                self._refuse(f"column {answer} holds lists, and is empty in some rows", "say with `where:` which rows "
                             "are asked")  # fmt: skip
            return target, ", any of the list", rules, SHORT_PROMPT, scored
        return ref, "", rules, SHORT_PROMPT, scored

    def _says(self, words: str) -> bool:
        """Whether every question holds the words."""
        question = self._named(_QUESTIONS) or ""
        return all(words in value.lower() for _, value in self._filled(question))

    # Classes

    def _classification(self, label: str) -> dict[str, Any]:
        cells = dict(self._filled(label))
        names = sorted({value for value in cells.values() if isinstance(value, str)})
        if len(cells) < len(self._rows) or any(not isinstance(value, str) for value in cells.values()):
            self._refuse(f"column {label} is no text in every row", "say what the classes are called")
        if len(names) < 2:
            self._refuse(f"all pictures are of the class {names[0]!r}", "say what is asked")
        self._used.add(label)
        what = "the folder's name" if self._found.path.is_dir() else f"column {label}"
        self._lines.insert(0, f"question: which of {len(names)} classes is shown")
        identity, _ = self._identity(lambda _: ())
        if self._found.path.is_dir():
            identity = {"id": "{{ image }}"}
        groups = self._groups(None)
        few = len(names) <= len(LETTERS)
        ref = self._ref(label)
        if few:
            self._lines += [f"options: the classes, {_listed(names)}", f"answer: {what}", "scored: letter"]
            asked = f"What does the picture show?\n{{{{ choices_text }}}}\n{LETTER_PROMPT}"
            rest: dict[str, Any] = {"choices": f"{{{{ {names!r} }}}}", "score": {"extract": "letter"},
                                    "target": f"{{{{ letters[choices.index({ref})] }}}}"}  # fmt: skip
        else:
            self._lines += [f"answer: {what}", "scored: first line, exact but for capitals"]
            asked = f"What does the picture show? Answer with one of these: {', '.join(names)}."
            rest = {"target": f"{{{{ {ref} }}}}", "score": {"extract": "first_line", "match": "exact_ignore_case"}}
        groups = {"groups": {"class": f"{{{{ {ref} }}}}", **groups.get("groups", {})}}
        return {**identity, **groups, **rest, "prompt": {"user": [{"text": asked}]},
                "report": [self._report(groups, None)]}  # fmt: skip

    # Rows

    def _identity(self, choices_of: Callable[[Doc], tuple[str, ...]]) -> tuple[dict[str, Any], str | None]:
        """`id`, and the expression of the index where rows are rotations of each other."""
        column = next((name for one in _IDS if (name := self._named([one])) and self._unique(name)), None)
        if column is None:
            self._lines.append("id: the row's number")
            return {}, None
        self._used.add(column)
        values, ref = self._column(column), self._ref(column)
        line = f"id: column {column}"
        circular = None
        if choices_of(self._rows[0]) and ref == column and all(_is_whole(value) for value in values):
            whole, questions = self._circles([int(value) for value in values], choices_of)
            if whole:
                circular = ref if all(isinstance(value, int) for value in values) else f"{ref} | int"
                line += f"; circular: rows {_ROTATION:,} apart are one question, right if all are"
                if whole < questions:
                    line += f"; {questions - whole:,} of {questions:,} lack rotations and do not count"
            elif questions:
                line += f"; rows {_ROTATION:,} apart, but no question has as many as options: each row counts by itself"
        self._lines.append(line)
        return {"id": f"{{{{ {ref} }}}}"}, circular

    def _circles(self, indices: Sequence[int], choices_of: Callable[[Doc], tuple[str, ...]]) -> tuple[int, int]:
        """How many questions have as many rows as options, and how many there are; (0, 0) where none is turned, or one
        is whose first row is missing."""
        rows = Counter(index % _ROTATION for index in indices)
        if len(rows) == len(indices) or not rows.keys() <= {*indices}:
            return 0, 0
        whole = sum(rows[index] == len(choices_of(row))
                    for index, row in zip(indices, self._rows, strict=True) if index in rows)  # fmt: skip
        return whole, len(rows)

    def _unique(self, column: str) -> bool:
        values = self._column(column)
        return not any(map(_empty, values)) and len({str(value) for value in values}) == len(values)

    def _groups(self, circular: str | None) -> dict[str, Any]:
        groups: dict[str, str] = {}
        for name in self._names:
            plain = re.sub(r"\W", "_", name.lower())
            if plain in _GROUPS and name not in self._used and self._groups_rows(name):
                groups[plain] = f"{{{{ {self._ref(name)} }}}}"
        self._lines.append(f"by: {', '.join(groups)}" if groups else "by: –")
        if circular:
            groups["circular_id"] = f"{{{{ {circular} % {_ROTATION} }}}}"
            groups["rotations"] = "{{ choices | length }}"
            groups["vanilla"] = f"{{{{ 1 if {circular} < {_ROTATION} else 0 }}}}"
        return {"groups": groups} if groups else {}

    def _groups_rows(self, column: str) -> bool:
        values = self._column(column)
        if any(isinstance(value, list | dict | Seen) for value in values):
            return False
        return 1 < len({str(value) for value in values}) <= min(_GROUPS_MAX, max(2, len(values) // 2))

    def _report(self, groups: Mapping[str, Any], circular: str | None) -> Any:
        by = [name for name in groups.get("groups", {}) if name not in ("circular_id", "rotations", "vanilla")]
        if circular:
            return {"name": "circular", "options": {"metric": "accuracy", "by": by}}
        return {"name": "mean", "options": {"by": by}} if by else {"name": "mean"}


def _empty(value: Any) -> bool:
    """Nothing, as files have it; ``nan`` is what pandas makes of an empty cell."""
    return value in (None, "", "nan", []) or value != value  # noqa: PLR0124  (a float that is no number)


def _is_picture(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(_is_picture, value))
    return isinstance(value, Seen) or is_path(value) or str(value).lower().startswith(("http://", "https://"))


def _is_whole(value: Any) -> bool:
    if isinstance(value, str):
        return _WHOLE.fullmatch(value) is not None
    return isinstance(value, int) and not isinstance(value, bool)


def _choices(value: Any) -> tuple[str, ...]:
    if isinstance(value, dict):
        return tuple(map(str, value.values())) if [*value] == [*LETTERS[: len(value)]] else ()
    found = () if _empty(value) else as_list(value)
    return found if len(found) > 1 else ()


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 6 else f"{', '.join(names[:4])}, … {names[-1]}"
