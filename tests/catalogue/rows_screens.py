"""WebSRC, VisualWebBench, ScreenSpot, DUDE, SimpleVQA."""

from __future__ import annotations

import json
from typing import Any

from lmms_fast.types import Sample
from tests.catalogue.hub import picture
from tests.catalogue.rows_more_choices import base64_picture

Rows = list[dict[str, Any]]


def _websrc(part: str, *, withheld: bool) -> Rows:
    return [
        {
            "domain": domain, "page_id": "0000007", "question": f"What is on sale, {part} {domain}?",
            "image": base64_picture(f"{part} {domain}"), **({"id": f"t{number}"} if withheld else
            {"answer": f"{domain} no. {number}", "element_id": number}),
        }
        for number, domain in enumerate(("auto", "book"))
    ]  # fmt: skip


def _web(task: str, **columns: list[Any]) -> Rows:
    return [
        {
            "id": f"{task}_{number}", "task_type": task, "website": "example.com",
            "image": picture(f"web {task} {number}"), "image_size": [1280, 800],
            **{name: values[number] for name, values in columns.items()},
        }
        for number in (0, 1)
    ]  # fmt: skip


_BOXES = [[0.1, 0.25, 0.5, 0.75], [0.0, 0.5, 0.25, 1.0]]
_EIGHT = [[[0.1, 0.1, 0.2, 0.2]] * 8] * 2
_WEB = {
    "web_caption": _web("web_caption", answer=["Shoes for every day", "News of the town"]),
    "heading_ocr": _web("heading_ocr", answer=["Welcome home", "Our prices"]),
    "webqa": _web("webqa", question=["Who sells?", "What for?"], answer=[["A shop", "the shop"], ["money"]]),
    "element_ocr": _web("element_ocr", bbox=_BOXES, answer=["Read more about us", "Sign in here"]),
    "element_ground": _web(
        "element_ground", elem_desc=["the search field", "the logo"], options=_EIGHT, answer=[2, 7]
    ),
    "action_prediction": _web(
        "action_prediction", bbox=_BOXES, options=[["Home", "Basket", "Help"]] * 2, answer=[1, 0]
    ),
    "action_ground": _web(
        "action_ground", instruction=["find shoes", "go home"], options=_EIGHT, answer=[0, 5]
    ),
}  # fmt: skip


def _screenspot() -> Rows:
    return [
        {
            "file_name": f"{source}.png", "bbox": [0.125, 0.25, 0.5, 0.75], "instruction": f"open the {source} view",
            "data_type": kind, "data_source": source, "image": picture(f"spot {source}", (40, 20)),
        }
        for source, kind in (("ios", "text"), ("windows", "icon"), ("shop", "text"))
    ]  # fmt: skip


def _v2() -> Rows:
    boxes = ([0.25, 0.5, 0.5, 1.0], [10.0, 5.0, 20.0, 15.0], [20.0, 10.0, 8.0, 4.0])
    return [
        {
            "bbox": box, "instruction": f"open view {number}", "data_type": "text", "data_source": "ios",
            "image": picture(f"spot v2 {number}", (40, 20)),
        }
        for number, box in enumerate(boxes)
    ]  # fmt: skip


def _pro() -> Rows:
    return [
        {
            "bbox": [10, 5, 20, 15], "instruction": f"press {kind}", "ui_type": kind, "img_size": [40, 20],
            "application": "blender", "platform": "windows", "group": "Creative", "id": kind, "img_filename": "x.png",
            "instruction_cn": "x", "image": picture(f"spot pro {kind}", (40, 20)),
        }
        for kind in ("text", "icon")
    ]  # fmt: skip


DATASETS: dict[tuple[str, str | None, str], Rows] = {
    ("rootsautomation/websrc", None, "dev"): _websrc("websrc", withheld=False),
    ("rootsautomation/websrc-test", None, "test"): _websrc("websrc test", withheld=True),
    **{("lmms-lab-encoder/VisualWebBench", task, "test"): rows for task, rows in _WEB.items()},
    ("rootsautomation/ScreenSpot", None, "test"): _screenspot(),
    ("HongxinLi/ScreenSpot_v2", None, "test"): _v2(),
    ("TIGER-Lab/ScreenSpot-Pro", None, "test"): _pro(),
    ("jordyvl/DUDE_subset_100val", None, "train"): [
        {"question": f"What, dude {number}?", "answers": answers, "options": options,
         "images": [picture(f"dude {number} {page}") for page in range(number)]}
        for number, answers, options in ((1, ["B"], ["red", "blue"]), (2, ["a date", "the date"], []))
    ],
    ("m-a-p/SimpleVQA", None, "test"): [
        {"data_id": number, "image": base64_picture(f"simple {number}"), "question": f" Who, simple {number}? ",
         "answer": answer, "language": language, "source": "x"}
        for number, answer, language in ((1, "The Cat", "EN"), (2, "猫", "CN"))
    ],
}  # fmt: skip

_SHOT = "You are given a screenshot of a webpage"
_NO_MORE = "and do not output any explanation or any other contents.\n"
_LETTER = f"\n\nYou should directly tell me your choice in a single uppercase letter, {_NO_MORE}"
_BOXED = (
    f"{_SHOT} with a red rectangle bounding box. The [x1, y1, x2, y2] coordinates of the bounding box is "
    "[0.1, 0.25, 0.5, 0.75].\n"
)
_LABELLED = "In this website screenshot, I have labeled IDs for some HTML elements as candicates. Tell me which one "
_CLICK = (
    "Identify the UI element for the instruction and output exactly one click point as [x, y] in normalized "
    "coordinates within [0, 1]. Do not output a bounding box.\nInstruction: "
)


def _of_web(task: str, text: str) -> list[str]:
    return [f"<web {task} 0>", text]


PROMPTS = {
    "websrc_val": [
        "<websrc auto>", "Answer the question using a single word or phrase.\nWhat is on sale, websrc auto?",
    ],
    "websrc_test": [
        "<websrc test auto>", "Answer the question using a single word or phrase.\nWhat is on sale, websrc test auto?",
    ],
    "visualwebbench_web_caption": _of_web("web_caption", (
        f"{_SHOT}. Please generate the meta web description information of this webpage, i.e., content attribute in "
        f'<meta name="description" content=""> HTML element.\n\nYou should use the following format, {_NO_MORE[:-2]}:\n'
        '<meta name="description" content="YOUR ANSWER">\n'
    )),
    "visualwebbench_heading_ocr": _of_web("heading_ocr", (
        f"{_SHOT}. Please generate the main text within the screenshot, which can be regarded as the heading of the "
        f"webpage.\n\nYou should directly tell me the main content, {_NO_MORE}"
    )),
    "visualwebbench_webqa": _of_web("webqa", (
        f"Who sells?\nYou should directly tell me your answer in the fewest words possible, {_NO_MORE}"
    )),
    "visualwebbench_element_ocr": _of_web("element_ocr", (
        f"{_BOXED}Please perform OCR in the bounding box and recognize the text content within the red bounding box."
        "\n\nYou should use the following format:\nThe text content within the red bounding box is: <YOUR ANSWER>\n"
    )),
    "visualwebbench_element_ground": _of_web("element_ground", (
        f"{_LABELLED}best matches the description: the search field{_LETTER}"
    )),
    "visualwebbench_action_prediction": _of_web("action_prediction", (
        f"{_BOXED}Please select the best webpage description that matches the new webpage after clicking the selected "
        f"element in the bounding box:\nA. Home\nB. Basket\nC. Help{_LETTER}"
    )),
    "visualwebbench_action_ground": _of_web("action_ground", (
        f"{_LABELLED}I should click to complete the following task: find shoes{_LETTER}"
    )),
    "screenspot_rec_test": [
        "<spot ios>",
        "Bounding box coordinates are specified in the format (top-left x, top-left y, bottom-right x, bottom-right "
        "y). All values are floating point numbers bounded between 0 and 1 with two decimal places of precision (e.g., "
        "0.15). Please provide the bounding box coordinates of the region that corresponds to the command: open the "
        "ios view",
    ],
    # An outline is drawn, so it is another picture.
    "screenspot_reg_test": [
        "<?>", "Direct a user to interact with the highlighted region [0.12, 0.25, 0.50, 0.75].",
    ],
    "screenspot_v2": ["<spot v2 0>", f"{_CLICK}open view 0"],
    "screenspot_pro": ["<spot pro text>", f"{_CLICK}press text"],
    "dude": ["<dude 1 0>", "What, dude 1?\nA. red\nB. blue\nAnswer with a single word or phrase."],
    "simplevqa": ["<simple 1>", "Who, simple 1?\nAnswer the question using a short phrase."],
}  # fmt: skip


def _click(sample: Sample) -> str:
    left, top, right, bottom = json.loads(sample.target[0])
    return f"[{(left + right) / 2}, {(top + bottom) / 2}]"


def _as_asked(before: str, after: str) -> Any:
    return lambda sample: f"{before}{sample.target[0]}{after}"


RIGHT = {
    "screenspot_v2": _click,
    "screenspot_pro": _click,
    "visualwebbench_web_caption": _as_asked('<meta name="description" content="', '">'),
    "visualwebbench_element_ocr": _as_asked("The text content within the red bounding box is: ", ""),
}
_WEB_TASKS = [f"visualwebbench_{task}" for task in _WEB]
WORST = {"websrc_test": None}
BEST = {**WORST, **dict.fromkeys(_WEB_TASKS, 100.0), "screenspot_reg_test": 10.0}
