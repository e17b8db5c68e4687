"""DocVQA."""

from typing import Any

from tests.catalogue.hub import picture


def _docvqa(number: int, answers: list[str] | None) -> dict[str, Any]:
    return {
        "questionId": str(number), "question": f"What is on line {number}?", "question_types": ["form"],
        "image": picture(f"page {number}"), "docId": number, "ucsf_document_id": "x", "ucsf_document_page_no": "1",
        "answers": answers,
    }  # fmt: skip


DATASETS = {
    ("lmms-lab-encoder/DocVQA", "DocVQA", "validation"): [_docvqa(1, ["$1,000", "1000"]), _docvqa(2, ["University"])],
    ("lmms-lab-encoder/DocVQA", "DocVQA", "test"): [_docvqa(3, None), _docvqa(4, None)],
    ("lmms-lab-encoder/LMMs-Eval-Lite", "docvqa_val", "lite"): [_docvqa(2, ["University"])],
}
_PROMPT = ["<page 1>", "What is on line 1?\nAnswer the question using a single word or phrase."]
PROMPTS = {
    "docvqa_val": _PROMPT,
    "docvqa_val_lite": ["<page 2>", _PROMPT[1].replace("1", "2")],
    "docvqa_test": ["<page 3>", _PROMPT[1].replace("1", "3")],
}
BEST = WORST = {"docvqa_test": None}
