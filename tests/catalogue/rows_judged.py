"""Benchmarks that a judge scores, and LogicVista and We-Math."""

from typing import Any

from lmms_fast.types import Sample
from tests.catalogue.hub import picture

Row = dict[str, Any]


def _hallusion() -> list[Row]:
    return [
        {"category": category, "subcategory": "chart", "visual_input": "1", "set_id": "0", "figure_id": figure,
         "sample_note": "x", "question_id": "0", "question": f"Is it so, {category} {figure}?",
         "gt_answer_details": "It is so.", "gt_answer": answer, "filename": "x.png",
         "image": picture(f"hallusion {category} {figure}")}
        for category, figure, answer in (("VD", "0", "1"), ("VD", "1", "0"), ("VS", "0", "1"), ("VS", "1", "0"))
    ]  # fmt: skip


def _mathvista(split: str) -> list[Row]:
    kinds = [
        ("multi_choice", "text", None, ["red", "blue"], "blue", None), ("free_form", "integer", None, None, "3", "cm"),
        ("free_form", "float", 2.0, None, "1.25", None), ("free_form", "list", None, None, "[1, 2]", None),
    ]  # fmt: skip
    return [
        {"pid": str(number), "question": f"What, {split} {number}?", "image": f"images/{number}.jpg",
         "decoded_image": picture(f"mathvista {split} {number}"), "choices": choices, "unit": unit,
         "precision": precision, "answer": answer if split == "testmini" else "", "question_type": question_type,
         "answer_type": answer_type,
         "metadata": {"split": split, "category": "general-vqa", "task": "textbook question answering",
                      "context": "natural image", "grade": "high school", "source": "TQA", "language": "english",
                      "skills": ["arithmetic reasoning", "geometry reasoning"], "img_width": 16, "img_height": 12},
         "query": f"Hint: Please answer.\nQuestion: What, {split} {number}?"}
        for number, (question_type, answer_type, precision, choices, answer, unit) in enumerate(kinds)
    ]  # fmt: skip


def _mathverse(version: str, image: bool = True) -> list[Row]:
    return [
        {"sample_index": f"{version} {number}", "problem_index": str(number), "problem_version": version,
         "question": f"How long, {version} {number}?", "answer": "B", "question_type": "multi-choice",
         "image": picture(f"verse {version} {number}") if image else "",
         "metadata": {"split": "testmini", "source": "GeoQA", "subject": "Plane Geometry", "subfield": "Length"},
         "query_wo": f"Please directly answer the question.\nQuestion: How long, {version} {number}?",
         "query_cot": "Please first conduct reasoning.", "question_for_eval": f"How long, {version} {number}?"}
        for number in (1, 2)
    ]  # fmt: skip


def _mathvision(split: str) -> list[Row]:
    return [
        {"id": str(number), "question": f"How many, {split} {number}?\n<image1>", "options": options,
         "image": f"images/{number}.jpg", "decoded_image": picture(f"vision {split} {number}"), "answer": answer,
         "solution": None, "level": number, "subject": "algebra"}
        for number, (options, answer) in enumerate([(["2", "3"], "B"), ([], "7")], 1)
    ]  # fmt: skip


def _llava(part: str, caption: Any = "A cat sits.", answer: str = "gpt_answer", **more: Any) -> list[Row]:
    return [
        {"question_id": number, "question": f"What of it, {part} {category}?", "image": picture(f"{part} {category}"),
         "caption": caption, "gpt_answer": "by GPT", answer: f"A cat, {category}.", "category": category,
         "image_id": "001", **more}
        for number, category in enumerate(("conv", "detail", "complex"))
    ]  # fmt: skip


def _charxiv() -> list[Row]:
    places = ((0.0, 0.0, None), (1.0, 2.0, None), (-1.0, -1.0, "the left half"))
    return [
        {"image": picture(f"charxiv {number}"), "figure_path": f"images/{number}.jpg", "category": "cs", "year": "20",
         "original_figure_path": "x", "original_id": "x", "subplot_row": row, "subplot_col": column,
         "subplot_loc": where, "num_subplots": number + 1, "descriptive_q1": 1, "descriptive_q2": 10,
         "descriptive_q3": 13, "descriptive_q4": 19, "descriptive_a1": f"Title {number}", "descriptive_a2": "2",
         "descriptive_a3": "a, b", "descriptive_a4": "1", "reasoning_q": f"Which is larger, {number}?",
         "reasoning_q_source": (1, 4, 4)[number], "reasoning_a": ("model A", "0.25", "3")[number],
         "reasoning_a_type": 1}
        for number, (row, column, where) in enumerate(places)
    ]  # fmt: skip


def _mia() -> list[Row]:
    return [
        {"image": picture("mia 1"), "instruction": "Describe it in two lines.", "components": ["describe", "length"],
         "component_weight": [4, 6], "num_of_component": 2, "type": "basic"},
        {"image": picture("mia 2"), "instruction": "Describe it.", "components": ["describe"],
         "component_weight": [10], "num_of_component": 1, "type": "basic"},
        {"image": picture("mia 3"), "instruction": "Describe \"it\" in a poem's form & more.",
         "components": ["describe", "a poem's form", "length", "tone", "\"title\""],
         "component_weight": [2, 2, 2, 2, 2], "num_of_component": 5, "type": "basic"},
    ]  # fmt: skip


def _wemath() -> list[Row]:
    keys = ("2steps_1", "2steps_2", "2steps_multi", "3steps_1", "3steps_2", "3steps_3", "3steps_multi")
    return [
        {"ID": key[0], "split": "testmini", "knowledge concept": "area", "question": f"What is {key}?",
         "option": "A. 1; B. 2; C. 3", "answer": "B", "image_path": picture(f"we {key}"), "key": key,
         "question number": 1, "knowledge concept description": "x"}
        for key in keys
    ]  # fmt: skip


_VERSIONS = ("text_lite", "text_dominant", "vision_intensive", "vision_dominant", "vision_only")
_LANGUAGES = ("arabic", "bengali", "chinese", "french", "hindi", "japanese", "russian", "spanish", "urdu")
_VERSE = "CaraJ/MathVerse-lmmseval"
DATASETS: dict[tuple[str, str | None, str], list[Row]] = {
    ("lmms-lab-encoder/HallusionBench", None, "image"): _hallusion(),
    ("AI4Math/MathVista", None, "testmini"): _mathvista("testmini"),
    ("AI4Math/MathVista", None, "test"): _mathvista("test"),
    (_VERSE, "testmini", "testmini"): _mathverse("Text Dominant") + _mathverse("Vision Only"),
    (_VERSE, "testmini_text_only", "text_only"): _mathverse("Text Only", image=False),
    **{(_VERSE, "testmini_version_split", version): _mathverse(version) for version in _VERSIONS},
    ("MathLLMs/MathVision", None, "test"): _mathvision("test"),
    ("MathLLMs/MathVision", None, "testmini"): _mathvision("testmini"),
    ("lmms-lab-encoder/MMVet", None, "test"): [
        {"question_id": f"v1_{number}", "image": image, "question": f"What is x, {number}?", "answer": answer,
         "image_source": "x", "capability": capability, "added_in": "v1"}
        for number, (image, answer, capability) in enumerate(
            [(picture("vet 0"), "-1<AND>-5", "ocr,math"), (None, "a cat<OR>cat", "rec")]
        )
    ],
    ("lmms-lab-encoder/llava-bench-in-the-wild", None, "train"): _llava("wild", ["A cat.", "A mat."]),
    ("NCSOFT/K-LLaVA-W", None, "test"): _llava("wild ko"),
    **{("gagan3012/multilingual-llava-bench", one, "train"): _llava(f"wild {one}") for one in _LANGUAGES},
    ("lmms-lab-encoder/llava-bench-coco", None, "train"): _llava("coco", answer="answer"),
    ("lmms-lab-encoder/LLaVA-Bench-Wilder", None, "test"): [
        {"Question": f"Why, {number}?", "Answer": "Because.", "image": picture(f"wilder {number}"), "Category": "x"}
        for number in (1, 2)
    ],
    ("lmms-lab-encoder/Ferret-Bench", None, "test"): [
        {"question_id": number, "question": f"What is in [1, 2, 3, {number}]?", "image": picture(f"ferret {number}"),
         "context": ["A cat.", "cat: [1, 2, 3, 4]"], "gpt_answer": "A cat.", "category": category}
        for number, category in enumerate(("refer_desc", "refer_reason", "ground_conv"))
    ],
    ("princeton-nlp/CharXiv", None, "validation"): _charxiv(),
    ("lmms-lab-encoder/MIA-Bench", None, "test"): _mia(),
    ("RekaAI/VibeEval", None, "test"): [
        {"example_id": f"e{number}", "category": f"difficulty-{category}", "prompt": f" What is it, {category}?\n",
         "reference": "A cat.", "media_filename": "x.png", "media_url": "https://example.org/x.png",
         "image": picture(f"vibe {number}")}
        for number, category in enumerate(("normal", "hard"))
    ],
    ("lscpku/LogicVista", None, "test"): [
        {"image": picture(f"logic {number}"), "question": f"Which comes next, {number}? A B C D", "answer": answer}
        for number, answer in ((1, "D"), (2, "A, C"))
    ],
    ("We-Math/We-Math", None, "testmini"): _wemath(),
}  # fmt: skip

_BOXED = 'Please solve the problem step by step and put your answer in one "\\boxed{}".'
_LETTER = "Answer the question with the option's letter from the given choices directly."
_COT = "Question: What, testmini 0?\nChoices:\n(A) red\n(B) blue\nHint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end."  # noqa: E501 - to the letter
_REASON = "First perform reasoning, then finally select the question from the choices in the following format: " \
    "Answer: xxx."
_TITLE = (
    "For the current plot, what is its title?\n    * Your final answer should be the most relevant title of the plot "
    "that is explicitly written.\n    * If the plot does not have an explicit title or contains only a letter, answer "
    "'Not Applicable'."
)
_LARGER = (
    "Which is larger, 0?\n    * Your final answer must be grounded to some text that is explicitly written and "
    "relevant to the question in the chart.\n    * If you need to answer multiple terms, separate them with commas.\n"
    "    * Unless specified in the question (such as answering with a letter), you are required to answer the full "
    "names of subplots and/or labels by default."
)
PROMPTS = {
    "hallusion_bench_image": ["<hallusion VD 0>", "Is it so, VD 0?"],
    "mathvista_testmini_cot": ["<mathvista testmini 0>", _COT],
    "mathvista_testmini_cot_reasoning": ["<mathvista testmini 0>", _COT],
    "mathvista_testmini_solution": ["<mathvista testmini 0>", f"{_COT}\nSolution:"],
    "mathvista_testmini_format": [
        "<mathvista testmini 0>", "What, testmini 0?\nA. red\nB. blue\n"
        "Answer with the option's letter from the given choices directly.",
    ],
    "mathvista_test": [
        "<mathvista test 0>", f"{_REASON}\nQuestion: What, test 0?\nChoices:\n(A) red\n(B) blue",
    ],
    **{
        f"mathverse_{task}": [f"<verse {version} 1>",
                              f"Please directly answer the question.\nQuestion: How long, {version} 1?"]
        for task, version in (("testmini", "Text Dominant"), ("testmini_reasoning", "Text Dominant"),
                              *((f"testmini_{version}", version) for version in _VERSIONS))
    },
    "mathverse_testmini_text_only": ["Please directly answer the question.\nQuestion: How long, Text Only 1?"],
    **{
        f"mathvision_{task}": [f"<vision {split} 1>",
                              before + f"How many, {split} 1?\n<image1>\nChoices: A. 2\nB. 3{after}"]
        for split in ("test", "testmini")
        for task, before, after in (
            (split, _BOXED, f"\n{_LETTER}"), (f"reason_{split}", _BOXED, ""), (f"{split}_reasoning", _BOXED, ""),
        )
    },
    "mmvet": ["<vet 0>", "First please perform reasoning, and think step by step to provide best answer to the "
              "following question: \n\nWhat is x, 0?"],
    "llava_in_the_wild": ["<wild conv>", "What of it, wild conv?"],
    "llava_in_the_wild_ko": ["<wild ko conv>", "What of it, wild ko conv?"],
    **{
        f"llava_in_the_wild_{language}": [f"<wild {language} conv>", f"What of it, wild {language} conv?"]
        for language in _LANGUAGES
    },
    "llava_bench_coco": ["<coco conv>", "What of it, coco conv?"],
    "llava_wilder_small": ["<wilder 1>", "Why, 1?"],
    "ferret": ["<ferret 0>", "What is in [1, 2, 3, 0]?"],
    "charxiv_val_reasoning": ["<charxiv 0>", _LARGER], "charxiv_val_reasoning_cot": ["<charxiv 0>", _LARGER],
    "charxiv_val_descriptive": ["<charxiv 0>", _TITLE], "charxiv_val_descriptive_cot": ["<charxiv 0>", _TITLE],
    "mia_bench": ["<mia 1>", "Describe it in two lines."],
    "vibe_eval": ["<vibe 0>", "What is it, normal?"],
    "logicvista_reasoning": ["<logic 1>", "Which comes next, 1? A B C D"],
    "wemath_testmini_reasoning": ["<we 2steps_1>", "What is 2steps_1?\nA. 1; B. 2; C. 3"],
}  # fmt: skip


def tagged(sample: Sample) -> str:
    """The first accepted answer as the reasoning tasks want it."""
    return f"<think>So it is.</think>\n<answer>{(*sample.target, 'x')[0]}</answer>"


_TAGGED = ("mathvista_testmini_cot_reasoning", "mathverse_testmini_reasoning", "mathvision_test_reasoning",
           "mathvision_testmini_reasoning", "charxiv_val_reasoning_cot", "charxiv_val_descriptive_cot",
           "logicvista_reasoning", "wemath_testmini_reasoning")  # fmt: skip
RIGHT = dict.fromkeys(_TAGGED, tagged)
_JUDGED = (
    "hallusion_bench_image", "mathverse_testmini", "mathverse_testmini_text_only",
    *(f"mathverse_testmini_{version}" for version in _VERSIONS), "mathvision_reason_test", "mathvision_reason_testmini",
    "mmvet", "llava_in_the_wild", "llava_in_the_wild_ko", "llava_bench_coco", "llava_wilder_small", "ferret",
    *(f"llava_in_the_wild_{language}" for language in _LANGUAGES),
    "charxiv_val_reasoning", "charxiv_val_descriptive", "mia_bench", "vibe_eval", "mathvista_test",
)  # fmt: skip
# MathVista asks its judge where a response is not the answer alone.
_MATHVISTA = ("mathvista_testmini_cot", "mathvista_testmini_solution", "mathvista_testmini_format")
BEST = {**dict.fromkeys(_JUDGED), **dict.fromkeys(_MATHVISTA, 100.0),
        **dict.fromkeys(("mathvision_test", "mathvision_testmini"), 100.0)}  # fmt: skip
WORST = {**dict.fromkeys(_JUDGED), **dict.fromkeys(_MATHVISTA)}
