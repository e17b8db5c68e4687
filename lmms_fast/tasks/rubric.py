"""What a judge model is asked about a response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jinja2

from lmms_fast.errors import TaskError
from lmms_fast.tasks.render import choices_text, environment
from lmms_fast.tasks.spec import Task
from lmms_fast.types import Message, Prediction


class Asker:
    """A task's rubric, compiled once. Raises TaskError for a template that is none."""

    def __init__(self, task: Task) -> None:
        rubric = task.score.judge
        assert rubric is not None, f"{task.task} has no rubric"
        env = environment(task.tables)
        self._file = task.file
        try:
            self._prompt = env.from_string(rubric.prompt)
            self._system = env.from_string(rubric.system) if rubric.system else None
        except jinja2.TemplateSyntaxError as error:
            raise TaskError(f"{task.file}: score.judge: {error}.") from None

    def question(self, record: Mapping[str, Any], response: str, prediction: Prediction) -> tuple[Message, ...]:
        """The turns, as text, for a sample as the journal has it. Raises TaskError if a template does not fit it."""
        choices = tuple(record["choices"])
        names = {
            "question": "\n".join(part for part in record["messages"][-1]["parts"] if isinstance(part, str)),
            "response": response,
            "answer": prediction.first,
            "target": list(record["target"]),
            "choices": choices,
            "choices_text": choices_text(choices),
            "groups": record["groups"],
            "facts": record["facts"],
        }
        try:
            system = (Message("system", (self._system.render(names),)),) if self._system else ()
            return (*system, Message("user", (self._prompt.render(names),)))
        except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
            raise TaskError(f"{self._file}: score.judge: sample {record['id']}: {error}.") from None
