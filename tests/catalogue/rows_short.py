"""Short answers: GQA, VQAv2, OK-VQA, VizWiz, TextVQA, ST-VQA."""

from typing import Any

from tests.catalogue.hub import picture

_GQA = [
    {"id": "201", "imageId": "n1", "question": "Is it red?", "answer": "no", "fullAnswer": "No, it is blue."},
    {"id": "202", "imageId": "n2", "question": "What is left?", "answer": "chair", "fullAnswer": "The chair is left."},
    {"id": "203", "imageId": "n1", "question": "What colour is it?", "answer": "blue", "fullAnswer": "It is blue."},
]
_PICTURES = {name: picture(f"gqa {name}") for name in ("n2", "n1")}


def _vqa(part: str, *answers: str, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "question_id": number, "image": picture(f"{part} {number}"),
            "question": f"what is the {part} Thing {number}?",
            **({"answers": [answer] * 10} if answers else {"answers": None}), **more,
        }
        for number, answer in enumerate(answers or ("", ""))
    ]  # fmt: skip


def _vqav2(part: str, *answers: str) -> list[dict[str, Any]]:
    rows = _vqa(part, *answers, question_type="what", answer_type="other" if answers else None)
    for row in rows:
        if row["answers"]:
            row["multiple_choice_answer"] = row["answers"][0]
            row["answers"] = [{"answer": answer, "answer_confidence": "yes", "answer_id": number + 1}
                              for number, answer in enumerate(row["answers"])]  # fmt: skip
    return rows


_LITE = "lmms-lab-encoder/LMMs-Eval-Lite"
_TEXT: dict[str, Any] = {"ocr_tokens": ["STOP", "GO"], "image_id": "x", "image_classes": ["Sign"]}
DATASETS = {
    ("lmms-lab-encoder/GQA", "testdev_balanced_instructions", "testdev"): _GQA,
    ("lmms-lab-encoder/GQA", "testdev_balanced_images", "testdev"): [
        {"id": name, "image": one} for name, one in _PICTURES.items()
    ],
    (_LITE, "gqa", "lite"): [{**row, "image": _PICTURES[row["imageId"]]} for row in _GQA],
    ("lmms-lab-encoder/VQAv2", None, "validation"): _vqav2("v2", "a net", "2"),
    ("lmms-lab-encoder/VQAv2", None, "test"): _vqav2("v2 test"),
    (_LITE, "vqav2_val", "lite"): _vqav2("v2 lite", "a net", "2"),
    ("lmms-lab-encoder/OK-VQA", None, "val2014"): _vqa("ok", "race", "pony tail", question_type="one",
                                                       answer_type="other"),
    (_LITE, "ok_vqa_val2014", "lite"): _vqa("ok lite", "race", question_type="one", answer_type="other"),
    ("lmms-lab-encoder/VizWiz-VQA", None, "val"): _vqa("vizwiz", "unanswerable", "soup", category="other"),
    ("lmms-lab-encoder/VizWiz-VQA", None, "test"): _vqa("vizwiz test", category=None),
    (_LITE, "vizwiz_vqa_val", "lite"): _vqa("vizwiz lite", "soup", category="other"),
    ("lmms-lab-encoder/textvqa", None, "validation"): _vqa("text", "stop", "1,000", **_TEXT),
    ("lmms-lab-encoder/textvqa", None, "test"): _vqa("text test", **_TEXT),
    (_LITE, "textvqa_val", "lite"): _vqa("text lite", "stop", **_TEXT),
    ("lmms-lab-encoder/ST-VQA", None, "test"): [
        {name: value for name, value in row.items() if name != "answers"} for row in _vqa("st")
    ],
}  # fmt: skip
_SHORT = "Answer the question using a single word or phrase."
_INSUFFICIENT = "When the provided information is insufficient, respond with 'Unanswerable'."


def _asked(part: str, *lines: str, small: bool = False) -> list[str]:
    question = f"what is the {part} Thing 0?"
    return [f"<{part} 0>", "\n".join([question.capitalize() if small else question, *lines, _SHORT])]


PROMPTS = {
    **{name: ["<gqa n1>", f"Is it red?\n{_SHORT}"] for name in ("gqa", "gqa_lite")},
    "vqav2_val": _asked("v2"), "vqav2_test": _asked("v2 test"), "vqav2_val_lite": _asked("v2 lite"),
    "ok_vqa_val2014": _asked("ok", _INSUFFICIENT), "ok_vqa_val2014_lite": _asked("ok lite", _INSUFFICIENT),
    "vizwiz_vqa_val": _asked("vizwiz", _INSUFFICIENT, small=True),
    "vizwiz_vqa_test": _asked("vizwiz test", _INSUFFICIENT, small=True),
    "vizwiz_vqa_val_lite": _asked("vizwiz lite", _INSUFFICIENT, small=True),
    "textvqa_val": _asked("text", small=True), "textvqa_test": _asked("text test", small=True),
    "textvqa_val_lite": _asked("text lite", small=True),
    "stvqa": _asked("st"),
}  # fmt: skip
WORST = dict.fromkeys(("vqav2_test", "vizwiz_vqa_test", "textvqa_test", "stvqa"))
BEST = dict(WORST)
