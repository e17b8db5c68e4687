"""SEED-Bench 1, 2 and 2-Plus, RealWorldQA, BLINK, CV-Bench, MuirBench, Q-Bench, A-Bench, II-Bench, MMVP, NaturalBench,
V* Bench, MMT-Bench, HR-Bench, CMMMU."""

from __future__ import annotations

import base64
from typing import Any

from tests.catalogue.hub import picture

Rows = list[dict[str, Any]]


def _seed(part: str, letter: str = "abcd", **more: Any) -> Rows:
    return [
        {
            "answer": answer, **{f"choice_{one}": f"{part} option {one}" for one in letter}, "data_id": "x",
            "data_type": kind, "question": f"What, {part} {number}?", "question_id": number, "question_type_id": number,
            "image": [picture(f"{part} {number} {frame}") for frame in range(frames)], "segment": None, **more,
        }
        for number, (kind, frames, answer) in enumerate((("image", 1, "B"), ("video", 3, "D")))
    ]  # fmt: skip


def _seed_2() -> Rows:
    kinds = (("Image Generation", 6, "C"), ("Single Image", 1, "A"), ("Interleaved Image", 2, "D"))
    return [
        {
            "answer": answer, "choice_a": "task/1.jpg" if pictures > 1 else "a cat", "choice_b": "task/2.png",
            "choice_c": "a dog", "choice_d": "a cow", "data_id": [f"x{one}" for one in range(pictures)],
            "data_source": "x", "data_type": kind, "question": f"What is <img>, {kind}?", "question_id": "0",
            "question_type_id": 20, "image": [picture(f"seed 2 {kind} {one}") for one in range(pictures)],
            "subpart": "x", "version": "x",
        }
        for kind, pictures, answer in kinds
    ]  # fmt: skip


def _seed_2_plus() -> Rows:
    return [
        {
            "answer": answer, "choice_A": "one", "choice_B": "two", "choice_C": "three", "choice_D": "four",
            "data_id": "x", "question": f"How many, {kind}?", "question_id": "1", "question_image_type": kind,
            "image": picture(f"plus {kind}"),
        }
        for kind, answer in (("chart", "A"), ("map", "C"), ("web", "D"))
    ]  # fmt: skip


_DIRECTLY = "Please answer directly with only the letter of the correct option and nothing else."
_REALWORLD = [
    (f"Where is it?\n\nA. On the left\nB. On the right\nC. Nowhere\n{_DIRECTLY} ", "B"),
    ("How many cars are there? Please answer directly with a single word or number.", "3"),
    ("Is it far? Please answer directly with a single word or number.", "Yes"),
]
_BLINK = (
    "Art_Style", "Counting", "Forensic_Detection", "Functional_Correspondence", "IQ_Test", "Jigsaw",
    "Multi-view_Reasoning", "Object_Localization", "Relative_Depth", "Relative_Reflectance", "Semantic_Correspondence",
    "Spatial_Relation", "Visual_Correspondence", "Visual_Similarity",
)  # fmt: skip


def _blink(config: str) -> Rows:
    return [
        {
            "idx": f"val_{config}_{number}", "question": f"Which, {config} {number}?", "sub_task": config,
            **{f"image_{one}": picture(f"{config} {number} {one}") if one <= number else None for one in range(1, 5)},
            "choices": ["the first", "the second", "the third"][: number + 1], "answer": "(B)",
            "prompt": f"Which, {config} {number}?\nSelect from the following choices.\n(A) the first\n(B) the second",
            "explanation": "",
        }
        for number in (1, 2)
    ]  # fmt: skip


def _cv(config: str) -> Rows:
    kinds = (("2D", "Count", "ADE20K", "(C)"), ("2D", "Relation", "COCO", "(A)"), ("3D", "Depth", "Omni3D", "(B)"))
    return [
        {
            "idx": number, "type": kind, "task": task, "image": picture(f"cv {config} {task}"), "question": f"{task}?",
            "choices": ["x", "y", "z"], "answer": answer, "prompt": f"{task}, {config}? (A) x (B) y (C) z",
            "filename": "x.png", "source": source, "source_dataset": "x", "source_filename": "x", "target_class": None,
            "target_size": None, "bbox": None,
        }
        for number, (kind, task, source, answer) in enumerate(kinds) if config in ("default", kind)
    ]  # fmt: skip


def _muir() -> Rows:
    return [
        {
            "idx": f"{number}", "task": "Counting", "image_relation": "Multiview", "image_type": "Photography",
            "question": f"What of <image> and <image>, {number}?", "counterpart_idx": None, "answer": answer,
            "options": ["One", "<image>", "None of the choices provided"],
            "image_list": [picture(f"muir {number} {one}") for one in range(2)],
        }
        for number, answer in ((1, "A"), (2, "C"))
    ]  # fmt: skip


def _qbench(part: str, *images: str, **more: Any) -> Rows:
    return [
        {
            "id": number, **{name: picture(f"{part} {number} {name}") for name in images},
            "question": f"How sharp, {part} {number}?", "option0": "Sharp", "option1": "Blurred",
            "option2": third, "option3": "N/A", "correct_choice": answer, **more,
        }
        for number, third, answer in ((1, "Neither", "C"), (2, "N/A", "B"))
    ]  # fmt: skip


def _mmvp() -> Rows:
    options = ("(a) Open (b) Closed", "(a) Left hand(s) (its own) (b) Right")
    return [
        {
            "Index": index, "Question": f"What about the pair {(index - 1) // 2}?", "Options": options[index > 2],
            "Correct Answer": "(a)" if index % 2 else "(b)", "image": picture(f"mmvp {index}"),
        }
        for index in (1, 2, 3, 4)
    ]  # fmt: skip


def _natural() -> Rows:
    kinds = (("yes_no", "Yes", "No"), ("multiple_choice", "A", "B"))
    return [
        {
            "Index": 4 * group + 2 * question + image, "Image": picture(f"natural {group} {image}"),
            "Question": f"Is it, {kind} {question}?", "Answer": first if question == image else second,
            "Question_Type": kind, "Source": "Flickr30K",
        }
        for group, (kind, first, second) in enumerate(kinds) for question in (0, 1) for image in (0, 1)
    ]  # fmt: skip


_VSTAR = "Answer with the option's letter from the given choices directly."


def _vstar() -> Rows:
    kinds = (("direct_attributes", "(A) red\n(B) blue\n(C) white\n(D) green", "C"),
             ("relative_position", "(A) left\n(B) right", "B"))  # fmt: skip
    return [
        {
            "image": picture(f"vstar {category}"), "text": f"What about {category}?\n{options}\n{_VSTAR}",
            "category": category, "label": label, "question_id": number,
        }
        for number, (category, options, label) in enumerate(kinds)
    ]  # fmt: skip


def _mmt(part: str, images: int | None, *, withheld: bool) -> Rows:
    return [
        {
            "index": number, "question": f"What, {part} {number}?", "A": "a cat", "B": "a dog",
            "C": None if number else "a cow", **dict.fromkeys("DEFGHI"),
            "answer": None if withheld else "BC"[number == 0], "category": "animal_recognition",
            "l2-category": "visual_recognition", "split": part,
            "image": picture(f"{part} {number}") if images is None
            else [picture(f"{part} {number} {one}") for one in range(images)],
        }
        for number in (0, 1)
    ]  # fmt: skip


def base64_picture(name: str) -> str:
    """A picture as text, as datasets that were tables keep it."""
    return base64.b64encode(picture(name)["bytes"]).decode()


def _hr(part: str) -> Rows:
    return [
        {
            "index": 4 * number + cycle, "question": f"What is the sign's colour, {part} {number}.{cycle}?", "A": "Red",
            "B": "Blue", "C": "White", "D": "Green", "answer": "ABCD"[cycle], "category": ("single", "cross")[number],
            "cycle_category": f"cycle {cycle}", "image": base64_picture(f"{part} {number}"),
        }
        for number in (0, 1) for cycle in range(4)
    ]  # fmt: skip


def _cmmmu(part: str, *, withheld: bool) -> Rows:
    kinds = (
        ("选择", '看<img="b.png">与<img="a.png">，再看<img="b.png">', ["甲", '<img="a.png">', "丙", "丁"], "AC"),
        ("判断", '<img="a.png">是猫', [None] * 4, "错"), ("填空", '<img="a.png">中有几只', [None] * 4, "3"),
    )  # fmt: skip
    return [
        {
            "id": f"{part}-{number}", "type": kind, "source_type": "website", "source": "x",
            "question": f"{question}，{part}", **{f"option{one}": text for one, text in enumerate(options, 1)},
            **{f"image_{one}": picture(f"cmmmu {part} {number} {one}") if one < 3 else None for one in range(1, 6)},
            **{f"image_{one}_filename": ("a.png", "b.png")[one - 1] if one < 3 else None for one in range(1, 6)},
            "answer": "?" if withheld else answer, "analysis": None, "category": "艺术与设计", "subcategory": "美术学",
            "img_type": "['油画']",
        }
        for number, (kind, question, options, answer) in enumerate(kinds)
    ]  # fmt: skip


DATASETS: dict[tuple[str, str | None, str], Rows] = {
    ("lmms-lab-encoder/SEED-Bench", None, "test"): _seed("seed"),
    ("lmms-lab-encoder/LMMs-Eval-Lite", "seedbench", "lite"): _seed("seed lite"),
    ("NCSOFT/K-SEED", None, "test"): [{**row, "image": row["image"][0]} for row in _seed("k-seed")],
    ("lmms-lab-encoder/SEED-Bench-2", None, "test"): _seed_2(),
    ("doolayer/SEED-Bench-2-Plus", None, "test"): _seed_2_plus(),
    ("lmms-lab-encoder/RealWorldQA", None, "test"): [
        {"image": picture(f"real {number}"), "image_path": f"{number}.webp", "question": question, "answer": answer}
        for number, (question, answer) in enumerate(_REALWORLD)
    ],
    **{("BLINK-Benchmark/BLINK", config, "val"): _blink(config) for config in _BLINK},
    **{("nyu-visionx/CV-Bench", config, "test"): _cv(config) for config in ("default", "2D", "3D")},
    ("MUIRBENCH/MUIRBENCH", None, "test"): _muir(),
    ("q-future/Q-Bench-HF", None, "dev"): _qbench("q", "image", question_type=1, question_concern=3),
    ("q-future/Q-Bench2-HF", None, "dev"): _qbench("q2", "image1", "image2", question_type=0, question_concern=0),
    ("q-future/A-Bench-HF", None, "dev"): _qbench("a", "image", category="part1 -> basic"),
    ("lmms-lab/II-Bench", None, "test"): [
        {
            "id": 7, "question": "What is implied?", **{f"option{one}": f"Point {one}" for one in range(1, 7)},
            "image": picture("ii 7"), "local_path": "x.png",
        },
    ],
    ("lmms-lab-eval/MMVP", None, "train"): _mmvp(),
    ("BaiqiL/NaturalBench-lmms-eval", None, "test"): _natural(),
    ("lmms-lab-encoder/vstar-bench", None, "test"): _vstar(),
    ("lmms-lab-encoder/MMT-Benchmark", None, "val"): _mmt("mmt val", None, withheld=False),
    ("lmms-lab-encoder/MMT-Benchmark", None, "test"): _mmt("mmt test", None, withheld=True),
    ("lmms-lab-encoder/MMT_MI-Benchmark", None, "val"): _mmt("mi val", 2, withheld=False),
    ("lmms-lab-encoder/MMT_MI-Benchmark", None, "test"): _mmt("mi test", 2, withheld=True),
    ("DreamMr/HR-Bench", "hrbench_version_split", "hrbench_4k"): _hr("hr 4k"),
    ("DreamMr/HR-Bench", "hrbench_version_split", "hrbench_8k"): _hr("hr 8k"),
    ("lmms-lab-encoder/CMMMU", None, "val"): _cmmmu("val", withheld=False),
    ("lmms-lab-encoder/CMMMU", None, "test"): _cmmmu("test", withheld=True),
}  # fmt: skip


def _options(part: str) -> str:
    return "\n".join(f"{letter.upper()}. {part} option {letter}" for letter in "abcd")


_NOTE = "Note: You only need to respond with {} without providing any additional information.\n"
_MMT = "Answer the question using a single character from the given options."
_INSTRUCTION = (
    "请回答以下多项选择题，并选出正确选项。这些题目可能包括单选和多选题型。如果所提供的信息不足以确定一个明确的答案，那么请根据可用的数据和你的判断来选择最可能正确的选项。"
)


def _cmmmu_asked(part: str) -> list[str]:
    one, two = f"<cmmmu {part} 0 1>", f"<cmmmu {part} 0 2>"
    return [two, one, two, one, (
        f"{_INSTRUCTION}\n\n问题：看<图片 2>与<图片 1>，再看<图片 2>，{part}\n"
        "选项：\n(A) 甲\n(B) <图片 1>\n(C) 丙\n(D) 丁\n\n正确答案：\n"
    )]  # fmt: skip


PROMPTS = {
    **{
        task: [f"<{part} 0 0>", f"What, {part} 0?\n{_options(part)}\n{_VSTAR}"]
        for task, part in (("seedbench", "seed"), ("seedbench_lite", "seed lite"))
    },
    "seedbench_ko": [
        "<k-seed 0 0>", f"What, k-seed 0?\n{_options('k-seed')}\n주어진 선택지 중 해당 옵션의 문자로 바로 답하세요.",
    ],
    "seedbench_2": [
        *(f"<seed 2 Image Generation {one}>" for one in range(6)),
        "<image> <image>\nWhat is <img>, Image Generation?\nA. <image>\nB. <image>\nC. a dog\nD. a cow\n" + _VSTAR,
    ],
    "seedbench_2_plus": ["<plus chart>", f"How many, chart?\nA. one\nB. two\nC. three\nD. four\n{_VSTAR}"],
    "realworldqa": [
        "<real 0>", f"Where is it?\n\nA. On the left\nB. On the right\nC. Nowhere\n{_DIRECTLY}",
    ],
    **{
        "blink_" + config.lower().replace("-", "_"): [
            f"<{config} 1 1>",
            f"{_NOTE.format('A, B')}Which, {config} 1?\nSelect from the following choices.\n"
            "(A) the first\n(B) the second",
        ]
        for config in _BLINK
    },
    "cv_bench": ["<cv default Count>", f"{_NOTE.format('A, B, C')}\nCount, default? (A) x (B) y (C) z"],
    "cv_bench_2d": ["<cv 2D Count>", f"{_NOTE.format('A, B, C')}\nCount, 2D? (A) x (B) y (C) z"],
    "cv_bench_3d": ["<cv 3D Depth>", f"{_NOTE.format('A, B, C')}\nDepth, 3D? (A) x (B) y (C) z"],
    "muirbench": [
        "<muir 1 0>", "<muir 1 1>",
        f"What of <image> and <image>, 1?\nA. One\nB. <image>\nC. None of the choices provided\n{_VSTAR}",
    ],
    "qbench_dev": ["<q 1 image>", f"How sharp, q 1?\nA. Sharp\nB. Blurred\nC. Neither\n{_VSTAR}\n"],
    "qbench2_dev": [
        "<q2 1 image1>", "<q2 1 image2>", f"How sharp, q2 1?\nA. Sharp\nB. Blurred\nC. Neither\n{_VSTAR}\n",
    ],
    "abench_dev": ["<a 1 image>", f"How sharp, a 1?\nA. Sharp\nB. Blurred\nC. Neither\n{_VSTAR}\n"],
    "ii-bench": [
        "<ii 7>",
        "Instruction: Please try to answer the single-answer multiple choice question below based on the picture "
        "provided.\nQuestion: What is implied?\n(A) Point 1\n(B) Point 2\n(C) Point 3\n(D) Point 4\n(E) Point 5\n"
        "(F) Point 6\nAnswer:",
    ],
    "mmvp": ["<mmvp 1>", f"What about the pair 0?\nA. Open\nB. Closed\n{_VSTAR}"],
    "naturalbench": ["<natural 0 0>", "Is it, yes_no 0? Please answer Yes or No."],
    **{
        task: [
            f"<vstar {category}>",
            f"What about {category}?\n{options}\n{_VSTAR}\n{_VSTAR}",
        ]
        for task, category, options in (
            ("vstar_bench", "direct_attributes", "A. red\nB. blue\nC. white\nD. green"),
            ("vstar_bench_direct_attributes", "direct_attributes", "A. red\nB. blue\nC. white\nD. green"),
            ("vstar_bench_relative_position", "relative_position", "A. left\nB. right"),
        )
    },
    **{
        task: [*pictures, f"Question: <image>\nWhat, {part} 0?\nA: a cat\nB: a dog\nC: a cow\n{_MMT}"]
        for task, part, pictures in (
            ("mmt_val", "mmt val", ["<mmt val 0>"]), ("mmt_test", "mmt test", ["<mmt test 0>"]),
            ("mmt_mi_val", "mi val", ["<mi val 0 0>", "<mi val 0 1>"]),
            ("mmt_mi_test", "mi test", ["<mi test 0 0>", "<mi test 0 1>"]),
        )
    },
    **{
        f"hrbench{part}": [
            f"<hr {part} 0>",
            f"What is the sign's colour, hr {part} 0.0?\nA. Red\nB. Blue\nC. White\nD. Green\n"
            "Answer the option letter directly.",
        ]
        for part in ("4k", "8k")
    },
    "cmmmu_val": _cmmmu_asked("val"), "cmmmu_test": _cmmmu_asked("test"),
}  # fmt: skip
_WITHHELD = dict.fromkeys(("ii-bench", "mmt_test", "mmt_mi_test", "cmmmu_test"))
_PERCENT = ("vstar_bench", "vstar_bench_direct_attributes", "vstar_bench_relative_position", "mmt_val", "mmt_mi_val")
BEST = {**_WITHHELD, **dict.fromkeys(_PERCENT, 100.0)}
# A response that names no option goes to the judge.
WORST = {**_WITHHELD, **dict.fromkeys(("hrbench4k", "hrbench8k"))}
