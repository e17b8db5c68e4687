"""What judges say of an answer, the best there is and the worst, in the form that a task's reader takes."""

from __future__ import annotations

from lmms_fast.tasks.spec import Task
from lmms_fast.types import Sample
from tests.catalogue.test_catalogue import TASKS

RUBRICS = {
    f"{name}/{variant}": scored
    for name, task in TASKS.items()
    for variant, scored in (("default", task), *((one, task.scored_by(one)) for one in task.scoring_variants))
    if scored.score.judge is not None
}
"""Every task and scoring variant that asks a judge."""
_BY_READER = {
    "zero_one": ("1", "0"),
    "attempt": ("correct", "incorrect"),
    "json_field": ('{"extracted_answer": "x", "score": 1}', '{"extracted_answer": "x", "score": 0}'),
    "verdict": ("correct", "incorrect"),
    "score_pair": ("1 10\nSo it is.", "10 1\nSo it is."),
    "preference": ("My verdict: [[B>>A]]", "My verdict: [[A>>B]]"),
    "mia": ("total score: 10/10", "total score: 0/10"),
}
_BY_BENCHMARK = {
    "MM-Vet": ("1.0", "0.0"),
    "Vibe-Eval": ("Explanation: so it is.\nRating: 5", "Explanation: so it is.\nRating: 1"),
    # Whose reference has ten points whatever it is compared with.
    "LLaVA-Bench (Wilder)": ("10 10\nSo it is.", "10 1\nSo it is."),
}


def replies(task: Task, sample: Sample) -> tuple[str, str]:
    """The best and the worst, with the answers in the usual order."""
    assert task.score.judge is not None
    read = task.score.judge.read
    if read.name in ("option_letter", "reply"):
        return sample.target[0], str(read.options.get("none", "zzz"))
    return _BY_BENCHMARK.get(task.benchmark) or _BY_READER[read.name]


def mirrored(reply: str) -> str:
    """The same said of two answers in the other order."""
    line, _, rest = reply.partition("\n")
    if "[[" in line:
        return line.translate(str.maketrans("AB", "BA"))
    return "\n".join([" ".join(reversed(line.split(" "))), rest])
