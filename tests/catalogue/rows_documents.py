"""DocVQA, InfographicVQA, MP-DocVQA, ChartQA, OCRBench."""

from typing import Any

from tests.catalogue.hub import picture


def _docvqa(part: str, number: int, answers: list[str] | None) -> dict[str, Any]:
    return {
        "questionId": str(number), "question": f"What is on line {number}?", "question_types": ["form"],
        "image": picture(f"{part} {number}"), "docId": number, "ucsf_document_id": "x", "ucsf_document_page_no": "1",
        "answers": answers,
    }  # fmt: skip


def _pages(number: int, count: int, answers: str | None) -> dict[str, Any]:
    pages = {f"image_{page}": picture(f"mp {number} {page}") if page <= count else None for page in range(1, 21)}
    return {"questionId": str(number), "question": f"What is on page {number}?", "doc_id": "x", "page_ids": "['p0']",
            "answers": answers, "answer_page_idx": "0", "data_split": "val", **pages}  # fmt: skip


def _chart(part: str) -> list[dict[str, Any]]:
    return [
        {"type": kind, "question": f"How much, {part} {kind}?", "answer": answer, "image": picture(f"{part} {kind}")}
        for kind, answer in (("human_test", "12.5"), ("augmented_test", "Yes"))
    ]  # fmt: skip


_LITE = "lmms-lab-encoder/LMMs-Eval-Lite"
DATASETS = {
    **{
        ("lmms-lab-encoder/DocVQA", config, split): [
            _docvqa(f"{config} {split}", number, answers if split == "validation" else None)
            for number, answers in ((1, ["$1,000", "1000"]), (2, ["University"]))
        ]
        for config in ("DocVQA", "InfographicVQA") for split in ("validation", "test")
    },
    (_LITE, "docvqa_val", "lite"): [_docvqa("docvqa lite", 2, ["University"])],
    (_LITE, "infovqa_val", "lite"): [_docvqa("infovqa lite", 2, ["University"])],
    ("lmms-lab-encoder/MP-DocVQA", None, "val"): [_pages(1, 2, "['a word', 'words']"), _pages(2, 20, "['7']")],
    ("lmms-lab-encoder/MP-DocVQA", None, "test"): [_pages(3, 1, None)],
    ("lmms-lab-encoder/ChartQA", None, "test"): _chart("chart"),
    (_LITE, "chartqa", "lite"): _chart("chart lite"),
    ("echo840/OCRBench", None, "test"): [
        {
            "dataset": dataset, "question": f"What is written, {dataset}? ", "question_type": kind, "answer": answer,
            "image": picture(f"ocr {dataset}"),
        }
        for dataset, kind, answer in (
            ("IIIT5K", "Regular Text Recognition", ["CENTRE"]), ("DocVQA", "Doc-oriented VQA", ["12", "twelve"]),
            ("HME100k", "Handwritten Mathematical Expression Recognition", ["a ^ { 2 }"]),
        )
    ],
}  # fmt: skip
_SHORT = "Answer the question using a single word or phrase."


def _line(name: str, number: int) -> list[str]:
    return [f"<{name} {number}>", f"What is on line {number}?\n{_SHORT}"]


PROMPTS = {
    "docvqa_val": _line("DocVQA validation", 1), "docvqa_test": _line("DocVQA test", 1),
    "docvqa_val_lite": _line("docvqa lite", 2),
    "infovqa_val": _line("InfographicVQA validation", 1), "infovqa_test": _line("InfographicVQA test", 1),
    "infovqa_val_lite": _line("infovqa lite", 2),
    "multidocvqa_val": ["<mp 1 1>", "<mp 1 2>", f"What is on page 1?\n{_SHORT}"],
    "multidocvqa_test": ["<mp 3 1>", f"What is on page 3?\n{_SHORT}"],
    "chartqa": ["<chart human_test>", "How much, chart human_test?\nAnswer the question with a single word."],
    "chartqa_lite": [
        "<chart lite human_test>", "How much, chart lite human_test?\nAnswer the question with a single word.",
    ],
    "ocrbench": ["<ocr IIIT5K>", "What is written, IIIT5K?"],
}  # fmt: skip
WORST = dict.fromkeys(("docvqa_test", "infovqa_test", "multidocvqa_test"))
BEST = {**WORST, "ocrbench": 3.0}
