"""MMMU, MMMU-Pro, MME."""

from typing import Any

from tests.catalogue.hub import picture


def _mmmu(split: str, number: int, kind: str, answer: str) -> dict[str, Any]:
    return {
        "id": f"{split}_Art_{number}", "question": f"What is <image 1>, {split} {number}?",
        "options": "['a cat', 'a dog']" if kind == "multiple-choice" else "[]", "explanation": "",
        "image_1": picture(f"{split} {number}"), **{f"image_{other}": None for other in range(2, 8)},
        "img_type": "['Photo']", "answer": answer, "topic_difficulty": "Easy", "question_type": kind, "subfield": "x",
    }  # fmt: skip


def _pro(number: int) -> dict[str, Any]:
    return {"id": f"test_Art_{number}", "options": str([f"option {one}" for one in range(10)]), "answer": "CJ"[number],
            "subject": "Art"}  # fmt: skip


_KINDS = ((1, "multiple-choice", "B"), (2, "open", "5"), (3, "open", "['red', 'blue']"))
DATASETS = {
    ("lmms-lab-encoder/MMMU", None, "validation"): [_mmmu("validation", *one) for one in _KINDS],
    ("lmms-lab-encoder/MMMU", None, "dev"): [_mmmu("dev", *one) for one in _KINDS],
    ("lmms-lab-encoder/MMMU", None, "test"): [_mmmu("test", *one[:2], "?") for one in _KINDS],
    ("MMMU/MMMU_Pro", "standard (10 options)", "test"): [
        {
            **_pro(number), "question": f"What is <image 1>, pro {number}?", "image_1": picture(f"pro {number}"),
            **{f"image_{other}": None for other in range(2, 8)},
        }
        for number in (0, 1)
    ],
    ("MMMU/MMMU_Pro", "vision", "test"): [{**_pro(number), "image": picture(f"screen {number}")} for number in (0, 1)],
    ("lmms-lab-encoder/MME", None, "test"): [
        {
            "question_id": f"{category}/{image}.png", "image": picture(f"{category} {image}"),
            "question": f"Is it {answer}? Please answer yes or no.", "answer": answer, "category": category,
        }
        for category in ("existence", "OCR", "code_reasoning") for image in (1, 2) for answer in ("Yes", "No")
    ],
}  # fmt: skip

_DIRECT = "Answer with the option's letter from the given choices directly."
_TEN = "\n".join(f"{letter}. option {number}" for number, letter in enumerate("ABCDEFGHIJ"))
_THINK = (
    "The last line of your response should be of the following format: 'Answer: $LETTER' (without quotes) where LETTER "
    "is one of options. Think step by step before answering."
)


def _interleaved(split: str) -> list[str]:
    return ["What is", f"<{split} 1>", f", {split} 1?\nA. a cat\nB. a dog\n\n{_DIRECT}"]


PROMPTS = {
    "mmmu_val": _interleaved("validation"),
    "mmmu_val_pass64": _interleaved("validation"),
    "mmmu_dev": _interleaved("dev"),
    "mmmu_test": _interleaved("test"),
    "mmmu_val_qwen": [
        "<validation 1>",
        "Question: What is <image 1>, validation 1?\nOptions:\nA. a cat\nB. a dog\nAnswer with the option letter only.",
    ],
    **{
        f"mmmu_{task}_group_img": [
            "<?>", f"What is <image 1>, {split} 1?\n(A) a cat\n(B) a dog\n\n{_DIRECT}",
        ]
        for task, split in (("val", "validation"), ("test", "test"))
    },
    "mmmu_pro_standard": [
        "<pro 0>",
        f"What is <image 1>, pro 0?\n{_TEN}\n\nAnswer with the option letter from the given choices directly.",
    ],
    "mmmu_pro_standard_cot": [
        "<pro 0>",
        f"What is <image 1>, pro 0?\n{_TEN}\n\nAnswer the following multiple choice question. {_THINK}",
    ],
    "mmmu_pro_vision": ["<screen 0>", "Answer with the option letter from the given choices directly."],
    "mmmu_pro_vision_cot": [
        "<screen 0>", f"Write out the multiple-choice question in the image and then solve it. {_THINK}",
    ],
    "mme": ["<existence 1>", "Is it Yes?\nAnswer the question using a single word or phrase."],
}  # fmt: skip
WORST = dict.fromkeys(("mmmu_test", "mmmu_test_group_img"))
BEST = {"mme": 400.0, **WORST}
