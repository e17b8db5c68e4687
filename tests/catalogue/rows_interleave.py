"""LLaVA-Interleave Bench."""

from typing import Any

from tests.catalogue.hub import picture

Row = dict[str, Any]
_KINDS = (("RAVEN", "multi-choice", "C"), ("NLVR2_Mantis", "multi-choice", "B. no, it is not"),
          ("IEdit", "open-ended", "Remove the cat. Add a dog."))  # fmt: skip


def _question(part: str, number: int) -> str:
    return f"<image> <image> Which comes next, {part} {number}? A. x B. y C. z"


def _rows(part: str, most: int) -> list[Row]:
    return [
        {"sample_id": number, "sub_task": sub_task,
         **{f"image_{place}": picture(f"{part} {number} {place}") if place < 2 else None for place in range(most)},
         "question": _question(part, number), "answer": answer, "question_type": kind}
        for number, (sub_task, kind, answer) in enumerate(_KINDS)
    ]  # fmt: skip


def _views() -> list[Row]:
    return [
        {"sample_id": number, "sub_task": sub_task,
         **{f"image_{place}": picture(f"view {number} {place}") if place < 6 else None for place in range(8)},
         "conversations": [{"from": "human", "value": _question("view", number)}, {"from": "gpt", "value": answer}],
         "task_instruction_id": 0, "task_instruction": None, "question_type": kind}
        for number, (sub_task, kind, answer) in enumerate(
            [("ScanQA", "open-ended", "a brown table"), ("nuscenes", "multi-choice", "A")]
        )
    ]  # fmt: skip


_HUB = "lmms-lab-encoder/LLaVA-NeXT-Interleave-Bench"
DATASETS: dict[tuple[str, str | None, str], list[Row]] = {
    (_HUB, "in_domain", "test"): _rows("in", 12),
    (_HUB, "out_of_domain", "test"): [
        {**row, "choice_list": None, "dataset": "x", "split": "test", "num_sample": 3, "task_instruction": ""}
        for row in _rows("out", 5)
    ],
    (_HUB, "multi_view_in_domain", "test"): _views(),
}
PROMPTS = {
    **{f"llava_interleave_bench_{part}_domain": [f"<{part} 0 0>", f"<{part} 0 1>", _question(part, 0)]
       for part in ("in", "out")},
    "llava_interleave_bench_multi_view": [*(f"<view 0 {place}>" for place in range(6)), _question("view", 0)],
}  # fmt: skip
