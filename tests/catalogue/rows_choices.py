"""MMBench, MMStar, ScienceQA, AI2D, POPE."""

import base64
from typing import Any

from tests.catalogue.hub import picture

_ROTATION = 1_000_000


def _mmbench(part: str, question: int, rotation: int, **more: Any) -> dict[str, Any]:
    options = ["a cat", "a dog", "a banana"]
    turned = options[rotation:] + options[:rotation]
    return {
        "index": question + rotation * _ROTATION, "question": f"What is this, {part} {question}.{rotation}?",
        "hint": "It is alive." if question == 1 else "nan", "answer": "ABC"[turned.index("a dog")],
        **dict(zip("ABC", turned, strict=True)), "D": "nan", "category": "object_localization",
        "L2-category": "finegrained_perception", "image": picture(f"{part} {question}.{rotation}"), "source": "x",
        "comment": "nan", "split": part, **more,
    }  # fmt: skip


def _circular(part: str, **more: Any) -> list[dict[str, Any]]:
    return [_mmbench(part, question, rotation, **more) for rotation in range(3) for question in (1, 2)]


def _with_texts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The hub has the indices of MMBench's English files as text."""
    return [{**row, "index": str(row["index"])} for row in rows]


def _without(rows: list[dict[str, Any]], *columns: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in columns} for row in rows]


def _mmstar(part: str) -> list[dict[str, Any]]:
    return [
        {
            "index": number, "question": f"What, {part} {number}?\nOptions: A: cat, B: dog, C: cow, D: pig",
            "image": picture(f"{part} {number}"), "answer": "BD"[number], "category": "math",
            "l2_category": f"part {number}", "meta_info": {"source": "x"},
        }
        for number in (0, 1)
    ]  # fmt: skip


def _scienceqa(image: bool) -> list[dict[str, Any]]:
    return [
        {
            "image": picture(f"sqa {image} {number}") if image or number else None,
            "question": f"Which, {image} {number}?", "choices": ["cat", "dog"], "answer": number,
            "hint": "Look." if number else "", "task": "closed choice", "grade": "grade2", "subject": "natural science",
            "topic": "biology", "category": "x", "skill": "x", "lecture": "", "solution": "",
        }
        for number in (0, 1)
    ]  # fmt: skip


def _ai2d(part: str) -> list[dict[str, Any]]:
    return [
        {"question": f"Which, {part} {number}?", "options": ["a", "b", "c", "d"], "answer": str(number),
         "image": picture(f"{part} {number}")} for number in (2, 0)
    ]  # fmt: skip


def _pope(part: str, *categories: str) -> list[dict[str, Any]]:
    return [
        {
            "id": str(number), "question_id": str(number), "question": f"Is there a {category} thing {number}? ",
            "answer": "yes" if number % 2 else "no", "image_source": "COCO_1", "category": category,
            "image": picture(f"{part} {category} {number}"),
        }
        for category in categories for number in (1, 2, 3, 4)
    ]  # fmt: skip


_LITE = "lmms-lab-encoder/LMMs-Eval-Lite"
_BENCH = "lmms-lab-encoder/MMBench"
DATASETS = {
    (_BENCH, "en", "dev"): _with_texts(_circular("en dev")),
    (_BENCH, "en", "test"): _with_texts(_circular("en test")),
    (_BENCH, "cn", "dev"): _circular("cn dev"),
    (_BENCH, "cn", "test"): _circular("cn test"),
    (_BENCH, "cc", "test"): _without(_circular("cc test"), "hint", "L2-category", "split"),
    ("deepvk/MMBench-ru", None, "dev"): _without(
        _circular("ru", **{"l2-category": "finegrained_perception"}), "L2-category"
    ),
    ("NCSOFT/K-MMBench", None, "dev"): _without(
        _circular("ko", **{"l2-category": "finegrained_perception"}), "L2-category"
    ),
    (_LITE, "mmbench_en_dev", "lite"): _with_texts([_mmbench("en lite", 1, 0), _mmbench("en lite", 2, 1)]),
    (_LITE, "mmbench_cn_dev", "lite"): [_mmbench("cn lite", 1, 0), _mmbench("cn lite", 2, 1)],
    ("Lin-Chen/MMStar", None, "val"): _mmstar("star"),
    ("NCSOFT/K-MMStar", None, "val"): _mmstar("k-star"),
    ("morpheushoc/MMStar_opencompass", None, "val"): [
        {
            "index": number, "question": f"<image 1>What, oc {number}?", "A": "cat", "B": "dog", "C": "cow", "D": "pig",
            "answer": "BD"[number], "category": "math", "l2_category": f"part {number}", "bench": "MMStar",
            "image": base64.b64encode(picture(f"oc {number}")["bytes"]).decode(),
        }
        for number in (0, 1)
    ],
    ("lmms-lab-encoder/ScienceQA", "ScienceQA-FULL", "test"): _scienceqa(False),
    ("lmms-lab-encoder/ScienceQA", "ScienceQA-IMG", "test"): _scienceqa(True),
    ("lmms-lab-encoder/ai2d", None, "test"): _ai2d("ai2d"),
    ("Efficient-Large-Model/ai2d-no-mask", None, "test"): _ai2d("no mask"),
    (_LITE, "ai2d", "lite"): _ai2d("ai2d lite"),
    ("lmms-lab-encoder/POPE", None, "test"): _pope("pope", "adversarial", "popular", "random"),
    **{("lmms-lab-encoder/POPE", "Full", split): _pope(split, split) for split in ("adversarial", "popular", "random")},
}

_LETTER = "Answer with the option's letter from the given choices directly."
_POSTS = {
    "en dev": _LETTER, "en test": _LETTER, "cn dev": "请直接使用所提供的选项字母作为答案回答。",
    "cn test": "请直接使用所提供的选项字母作为答案回答。", "cc test": "请直接使用所提供的选项字母作为答案回答。",
    "ru": "Выбери правильный вариант ответа буквой.", "ko": "주어진 선택지 중 해당 옵션의 문자로 바로 답하세요.",
    "en lite": _LETTER, "cn lite": "请直接使用所提供的选项字母作为答案回答。",
}  # fmt: skip


def _asked(part: str) -> list[str]:
    hint = "" if part == "cc test" else "It is alive. "
    options = "A. a cat\nB. a dog\nC. a banana"
    return [f"<{part} 1.0>",
            f"{hint}What is this, {part} 1.0? There are several options:\n{options}\n\n{_POSTS[part]}"]  # fmt: skip


_SHORT = "Answer the question using a single word or phrase."
PROMPTS = {
    "mmbench_en_dev": _asked("en dev"), "mmbench_en_dev_static": _asked("en dev"), "mmbench_en_test": _asked("en test"),
    "mmbench_cn_dev": _asked("cn dev"), "mmbench_cn_test": _asked("cn test"), "mmbench_cn_cc": _asked("cc test"),
    "mmbench_ru_dev": _asked("ru"), "mmbench_ko_dev": _asked("ko"), "mmbench_en_dev_lite": _asked("en lite"),
    "mmbench_cn_dev_lite": _asked("cn lite"),
    **{
        task: [
            f"<{part} 0>", f"What, {part} 0?\nOptions: A: cat, B: dog, C: cow, D: pig\n{_LETTER[:-1]}",
        ]
        for task, part in (("mmstar", "star"), ("mmstar_ko", "k-star"))
    },
    "mmstar_oc": [
        "<oc 0>", f"What, oc 0?\nOptions:\nA. cat\nB. dog\nC. cow\nD. pig\n\n{_LETTER[:-1]}",
    ],
    "mmstar_qwen": [
        "<star 0>",
        "Question: What, star 0?\nOptions: A: cat, B: dog, C: cow, D: pigAnswer with the option letter only.",
    ],
    "scienceqa": [f"Which, False 0?\nA. cat\nB. dog\n{_LETTER}"],
    "scienceqa_img": ["<sqa True 0>", f"Which, True 0?\nA. cat\nB. dog\n{_LETTER}"],
    **{
        task: [f"<{part} 2>", f"Which, {part} 2?\nA. a\nB. b\nC. c\nD. d\n{_LETTER}"]
        for task, part in (("ai2d", "ai2d"), ("ai2d_no_mask", "no mask"), ("ai2d_lite", "ai2d lite"))
    },
    "pope": ["<pope adversarial 1>", f"Is there a adversarial thing 1?\n{_SHORT}"],
    **{
        task: [f"<{split} {split} 1>", f"Is there a {split} thing 1?\n{_SHORT}"]
        for task, split in (("pope_adv", "adversarial"), ("pope_pop", "popular"), ("pope_random", "random"))
    },
}  # fmt: skip
_TESTS = {"mmbench_en_test": None, "mmbench_cn_test": None}
_SCORED = ("mmbench_en_dev", "mmbench_en_dev_static", "mmbench_cn_dev", "mmbench_cn_cc", "mmbench_ru_dev",
           "mmbench_ko_dev", "mmbench_en_dev_lite", "mmbench_cn_dev_lite")  # fmt: skip
BEST = {**_TESTS, **dict.fromkeys(_SCORED, 100.0)}
# A response that names no option goes to the judge.
_JUDGED = ("mmbench_en_dev", "mmbench_cn_dev", "mmbench_cn_cc", "mmbench_ru_dev", "mmbench_ko_dev",
           "mmbench_en_dev_lite", "mmbench_cn_dev_lite")  # fmt: skip
# To POPE what is not a no is a yes: of four, two are right.
WORST = {**_TESTS, **dict.fromkeys(_JUDGED), **dict.fromkeys(("pope", "pope_adv", "pope_pop", "pope_random"), 2 / 3)}
