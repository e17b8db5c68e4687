"""lmms-eval's own evaluation of recorded answers, for `bench.bridge`. Imports lmms-eval."""

from __future__ import annotations

import contextlib
import os
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lmms_eval.api.model import lmms
from lmms_eval.evaluator import simple_evaluate

from lmms_fast.bridge import opened
from lmms_fast.types import Message
from tests.catalogue.hub import everything

Answers = Mapping[str, Mapping[int, Sequence[str]]]
Asked = Mapping[str, Mapping[int, Sequence[Message]]]
Same = Callable[[Sequence[Message], Sequence[Mapping[str, Any]]], bool]


class Retold(lmms):
    """A model that says again what was recorded, and looks whether it is asked the same."""

    is_simple = False

    def __init__(self, answers: Answers, asked: Asked, same: Same) -> None:
        super().__init__()
        self._answers, self._asked, self._same = answers, asked, same
        self.all_the_same = True

    def generate_until(self, requests: list[Any]) -> list[str]:
        """The recorded answers, in order of repeats."""
        told: Counter[tuple[str, int]] = Counter()
        found = []
        for request in requests:
            _, doc_to_messages, _, doc_id, task, split = request.args
            if not told[task, doc_id]:
                messages = doc_to_messages(self.task_dict[task][split][doc_id])
                self.all_the_same &= self._same(self._asked[task][doc_id], messages)
            found.append(self._answers[task][doc_id][told[task, doc_id]])
            told[task, doc_id] += 1
        return found

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Not asked for."""
        raise NotImplementedError

    def generate_until_multi_round(self, requests: list[Any]) -> list[str]:
        """Not asked for."""
        raise NotImplementedError


def _splits() -> set[str]:
    return {split for _, _, split in everything().datasets}


def run_peer(
    name: str, data: Path, folder: Path, answers: Answers, asked: Asked, same: Same
) -> tuple[Mapping[str, Mapping[str, Any]], bool]:
    """Results by task and group; and whether all messages were the same. Its settings are those of its command line;
    documents are scored one after another, so that dice fall alike."""
    folder.mkdir(parents=True, exist_ok=True)
    model = Retold(answers, asked, same)
    arguments = Namespace(output_path=str(folder), process_with_media=False,
                          reasoning_tags='[["<think>", "</think>"], ["<analysis>", "</analysis>"]]')  # fmt: skip
    here = Path.cwd()
    with (
        opened.quiet(), opened.copies_in(data, _splits()),
        open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere),
    ):  # fmt: skip
        os.chdir(folder)
        try:
            found = simple_evaluate(model, tasks=[name], task_manager=opened.manager(()), cli_args=arguments,
                                    process_docs_parallel=1, bootstrap_iters=1, log_samples=True)  # fmt: skip
        finally:
            os.chdir(here)
            sys.stdout.flush()
    assert found is not None
    return {**found["results"], **found.get("groups", {})}, model.all_the_same
