"""What a judge model is asked about a response. Asked alike, it need not be asked again: the key is what is sent."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jinja2
import orjson

from lmms_fast.errors import TaskError
from lmms_fast.tasks.render import choices_text, environment
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Prediction


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that a judge is asked about a response."""

    messages: tuple[Mapping[str, Any], ...]
    """As journals have them: pictures by digest."""
    settings: Mapping[str, Any]
    """max_tokens, temperature, and `form`, a JSON schema or None."""
    vote: int

    def digest(self, *judge: Any) -> str:
        """The same for the same judge, rubric, question, reference and answer, whatever the run."""
        content = orjson.dumps([judge, self.messages, self.settings], option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(content, digest_size=16).hexdigest()


class Asker:
    """A task's rubric, compiled once. Raises TaskError for a template that is none."""

    def __init__(self, task: Task) -> None:
        rubric = task.score.judge
        assert rubric is not None, f"{task.task} has no rubric"
        env = environment(task.tables)
        self._file, self._rubric = task.file, rubric
        self._settings = {"max_tokens": rubric.max_tokens, "temperature": rubric.temperature, "form": rubric.form}
        try:
            self._prompt = env.from_string(rubric.prompt)
            self._system = env.from_string(rubric.system) if rubric.system else None
        except jinja2.TemplateSyntaxError as error:
            raise TaskError(f"{task.file}: score.judge: {error}.") from None

    def questions(self, record: Mapping[str, Any], response: str, prediction: Prediction) -> tuple[Question, ...]:
        """All votes, then with `swap` all votes on the answers in the other order, for a sample as the journal has it.

        `response` is without its thinking. Raises TaskError if a template does not fit the sample.
        """
        positions = (False, True) if self._rubric.swap else (False,)
        asked = [self._messages(record, response, prediction, swapped=swapped) for swapped in positions]
        votes = range(self._rubric.votes)
        return tuple(Question(messages, self._settings, vote) for messages in asked for vote in votes)

    def _messages(
        self, record: Mapping[str, Any], response: str, prediction: Prediction, *, swapped: bool
    ) -> tuple[Mapping[str, Any], ...]:
        choices = tuple(record["choices"])
        parts = [part for message in record["messages"] for part in message["parts"]]
        names = {
            "question": "\n".join(part for part in record["messages"][-1]["parts"] if isinstance(part, str)),
            "response": _inert(unicodedata.normalize("NFC", response.replace("\r\n", "\n")).strip()),
            "answer": _inert(str(prediction.first)),
            "target": list(record["target"]),
            "choices": choices,
            "choices_text": choices_text(choices),
            "groups": record["groups"],
            "facts": record["facts"],
            "swapped": swapped,
        }
        seen = parts if self._rubric.pictures else ()
        shown = [{"image": part["image"]} for part in seen if isinstance(part, Mapping)]
        try:
            system = [{"role": "system", "parts": [self._system.render(names)]}] if self._system else []
            return (*system, {"role": "user", "parts": [*shown, self._prompt.render(names)]})
        except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
            raise TaskError(f"{self._file}: score.judge: sample {record['id']}: {error}.") from None


_CONTROL = re.compile(r"<(?=[|｜][^<>|｜\s]{1,60}[|｜]>|(?:start|end)_of_turn>|/?s>)|\[(?=/?INST\])")


def _inert(text: str) -> str:
    """The text with a backslash inside what chat models take for the end of a turn: a server that reads such marks in
    what it is sent would let a response speak as the judge."""
    return _CONTROL.sub(r"\g<0>\\", text)
