"""GQA."""

from tests.catalogue.hub import picture

_GQA = [
    {"id": "201", "imageId": "n1", "question": "Is it red?", "answer": "no", "fullAnswer": "No, it is blue."},
    {"id": "202", "imageId": "n2", "question": "What is left?", "answer": "chair", "fullAnswer": "The chair is left."},
    {"id": "203", "imageId": "n1", "question": "What colour is it?", "answer": "blue", "fullAnswer": "It is blue."},
]
_PICTURES = {name: picture(f"gqa {name}") for name in ("n2", "n1")}
DATASETS = {
    ("lmms-lab-encoder/GQA", "testdev_balanced_instructions", "testdev"): _GQA,
    ("lmms-lab-encoder/GQA", "testdev_balanced_images", "testdev"): [
        {"id": name, "image": one} for name, one in _PICTURES.items()
    ],
    ("lmms-lab-encoder/LMMs-Eval-Lite", "gqa", "lite"): [{**row, "image": _PICTURES[row["imageId"]]} for row in _GQA],
}
PROMPTS = {
    name: ["<gqa n1>", "Is it red?\nAnswer the question using a single word or phrase."] for name in ("gqa", "gqa_lite")
}
