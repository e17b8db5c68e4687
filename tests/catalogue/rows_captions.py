"""COCO, NoCaps, Flickr30k, TextCaps, RefCOCO, IconQA."""

from __future__ import annotations

from typing import Any

from lmms_fast.tasks.catalog import Catalog
from lmms_fast.types import Sample
from tests.catalogue.hub import picture

_WORDS = ["a red kite over a field", "two dogs run on the beach", "the old clock stands still"]


def _references(number: int) -> list[str]:
    return [f"{_WORDS[number]} .", f"{_WORDS[number]} today"]


def _coco(part: str, *, withheld: bool = False) -> list[dict[str, Any]]:
    return [
        {
            "question_id": f"COCO_val2014_00000000{number}.jpg", "image": picture(f"{part} {number}"),
            "question": "Please carefully observe the image and come up with a caption for the image",
            "answer": None if withheld else _references(number), "id": number, "license": 1,
        }
        for number in range(3)
    ]  # fmt: skip


def _captions(part: str, id: str, references: str, *, withheld: bool = False) -> list[dict[str, Any]]:
    return [
        {id: str(number), "image": picture(f"{part} {number}"), references: None if withheld else _references(number)}
        for number in range(3)
    ]  # fmt: skip


def _refcoco(part: str) -> list[dict[str, Any]]:
    return [
        {
            "question_id": f"{part}.{number}", "image": picture(f"{part} {number}", (40, 20)),
            "question": "Please carefully observe the area circled in the image and come up with a caption for it.",
            "answer": _references(number), "segmentation": [1.0, 2.0, 9.0, 2.0, 9.0, 8.0],
            "bbox": [4.0, 2.0, 8.0, 10.0], "iscrowd": 0, "file_name": "x.jpg",
        }
        for number in range(3)
    ]  # fmt: skip


def _iconqa(part: str) -> list[dict[str, Any]]:
    kinds = (("choose_img", "choice_0.png,choice_1.png", "choice_1.png"), ("choose_txt", "cat,dog, cow", "cow"),
             ("fill_in_blank", "", "seven"))  # fmt: skip
    return [
        {
            "question_id": f"{part} {kind}", "question": "Which one", "choices": options, "answer": answer,
            "query_image": picture(f"{part} {kind}"), "ques_type": kind, "label": "x", "grade": "y", "skills": "z",
            **{f"choice_image_{number}": picture(f"{part} {number}") if kind == "choose_img" and number < 2 else None
               for number in range(5)},
        }
        for kind, options, answer in kinds
    ]  # fmt: skip


_LITE = "lmms-lab-encoder/LMMs-Eval-Lite"
_ENC = "lmms-lab-encoder"
_REF = {"RefCOCO": ("val", "test", "testA", "testB"), "RefCOCOplus": ("val", "testA", "testB"),
        "RefCOCOg": ("val", "test")}  # fmt: skip
DATASETS = {
    (f"{_ENC}/COCO-Caption", None, "val"): _coco("coco 14"),
    (f"{_ENC}/COCO-Caption", None, "test"): _coco("coco 14 test", withheld=True),
    (f"{_ENC}/COCO-Caption2017", None, "val"): _coco("coco 17"),
    (f"{_ENC}/COCO-Caption2017", None, "test"): _coco("coco 17 test", withheld=True),
    (_LITE, "coco2017_cap_val", "lite"): _coco("coco lite"),
    # The hub's rows name pictures by address; a file beside the data stands for it here, as nothing is fetched.
    **{
        ("yerevann/coco-karpathy", None, split): [
            {"filename": f"COCO_val2014_0000{number}.jpg", "imgid": number, "sentences": _references(number),
             "url": picture(f"karpathy {split} {number}")} for number in range(3)
        ]
        for split in ("validation", "test")
    },
    (f"{_ENC}/NoCaps", None, "validation"): _captions("nocaps", "image_id", "annotations_captions"),
    (f"{_ENC}/NoCaps", None, "test"): _captions("nocaps test", "image_id", "annotations_captions", withheld=True),
    (_LITE, "nocaps_val", "lite"): _captions("nocaps lite", "image_id", "annotations_captions"),
    (f"{_ENC}/flickr30k", None, "test"): _captions("flickr", "img_id", "caption"),
    (_LITE, "flickr30k_test", "lite"): _captions("flickr lite", "img_id", "caption"),
    (f"{_ENC}/TextCaps", None, "val"): _captions("textcaps", "image_id", "caption_str"),
    (f"{_ENC}/TextCaps", None, "train"): _captions("textcaps train", "image_id", "caption_str"),
    (f"{_ENC}/TextCaps", None, "test"): _captions("textcaps test", "image_id", "caption_str", withheld=True),
    (_LITE, "textcaps_val", "lite"): _captions("textcaps lite", "image_id", "caption_str"),
    **{(f"{_ENC}/{name}", None, split): _refcoco(f"{name} {split}")
       for name, splits in _REF.items() for split in splits},
    (_LITE, "refcoco_bbox_val", "lite"): _refcoco("RefCOCO lite"),
    (f"{_ENC}/ICON-QA", None, "val"): _iconqa("icon"),
    (f"{_ENC}/ICON-QA", None, "test"): _iconqa("icon test"),
}  # fmt: skip

_ASK = "Provide a one-sentence caption for the provided image."
_NAMES = {
    "coco2014_cap_val": "coco 14", "coco2014_cap_test": "coco 14 test", "coco2017_cap_val": "coco 17",
    "coco2017_cap_test": "coco 17 test", "coco2017_cap_val_lite": "coco lite", "nocaps_val": "nocaps",
    "nocaps_test": "nocaps test", "nocaps_val_lite": "nocaps lite", "flickr30k_test": "flickr",
    "flickr30k_test_lite": "flickr lite", "textcaps_val": "textcaps", "textcaps_train": "textcaps train",
    "textcaps_test": "textcaps test", "textcaps_val_lite": "textcaps lite",
}  # fmt: skip
_REC = (
    "Bounding box coordinates are specified in the format (top-left x, top-left y, bottom-right x, bottom-right y). "
    "All values are floating point numbers bounded between 0 and 1. Please provide the bounding box coordinate of the "
    f"region this sentence describes: {_WORDS[0]} ."
)
_JSON = (
    f'Locate every object that matches the description "{_WORDS[0]} .", "{_WORDS[0]} today" in the image. Report bbox '
    "coordinates in JSON format."
)


def _source(task: str) -> str:
    found = Catalog().load(task)
    return f"{found.dataset.hub[0].path.partition('/')[2]} {found.dataset.split}"


_REFCOCO = [
    name for name in Catalog().names()
    if name.startswith("refcoco") and hasattr(Catalog().load(name), "dataset") and name != "refcoco_bbox_val_lite"
]  # fmt: skip
_REGION = "Provide a short description for this region."
_ICON = "Given a set of images and a question, please provide the answer to the question.\nQuestion: Which one.\n"
PROMPTS = {
    **{task: [f"<{part} 0>", _ASK] for task, part in _NAMES.items()},
    "coco_karpathy_val": ["<karpathy validation 0>", "Describe the image briefly."],
    "coco_karpathy_test": ["<karpathy test 0>", "Describe the image briefly."],
    # What is drawn on is another picture, without a name.
    **{task: ["<?>", _REGION] for task in [*_REFCOCO, "refcoco_bbox_val_lite"]},
    **{task: [f"<{_source(task)} 0>", _REC] for task in _REFCOCO if "_rec_" in task},
    **{task: [f"<{_source(task)} 0>", _JSON] for task in _REFCOCO if "grounding" in task},
    **{
        task: [
            f"<{part} choose_img>", f"<{part} 0>", f"<{part} 1>",
            f"{_ICON}Options:\nA. The first image.\nB. The second image.\nPlease answer with the option letter from "
            "the given choices directly.",
        ]
        for task, part in (("iconqa_val", "icon"), ("iconqa_test", "icon test"))
    },
}  # fmt: skip


def _best_box(sample: Sample) -> str:
    """The gold as an answer; JSON where that is asked for."""
    return f'```json\n[{{"bbox_2d": {sample.target[0]}}}]\n```' if "grounding" in sample.task else sample.target[0]


RIGHT = {task: _best_box for task in _REFCOCO if "_rec_" in task or "grounding" in task}
WORST = dict.fromkeys(("coco2014_cap_test", "coco2017_cap_test", "nocaps_test", "textcaps_test"))
_CIDER = 9.488720140075914  # of captions equal to one of two references
BEST = {
    **WORST,
    **{task: _CIDER for task in [*_NAMES, "coco_karpathy_val", "coco_karpathy_test", "refcoco_bbox_val_lite"]
       if task not in WORST},
    **{task: _CIDER for task in _REFCOCO if task not in RIGHT},
}  # fmt: skip
