"""MMMU, MME."""

from tests.catalogue.hub import picture

DATASETS = {
    ("lmms-lab-encoder/MMMU", None, "validation"): [
        {
            "id": f"validation_Art_{number}", "question": f"What is <image 1>, number {number}?",
            "options": "['a cat', 'a dog']" if kind == "multiple-choice" else "[]", "explanation": "",
            "image_1": picture(f"art {number}"), **{f"image_{other}": None for other in range(2, 8)},
            "img_type": "['Photo']", "answer": answer, "topic_difficulty": "Easy", "question_type": kind,
            "subfield": "x",
        }
        for number, kind, answer in ((1, "multiple-choice", "B"), (2, "open", "5"), (3, "open", "['red', 'blue']"))
    ],
    ("lmms-lab-encoder/MME", None, "test"): [
        {
            "question_id": f"{category}/{image}.png", "image": picture(f"{category} {image}"),
            "question": f"Is it {answer}? Please answer yes or no.", "answer": answer, "category": category,
        }
        for category in ("existence", "OCR", "code_reasoning") for image in (1, 2) for answer in ("Yes", "No")
    ],
}  # fmt: skip
PROMPTS = {
    "mmmu_val": [
        "What is", "<art 1>",
        ", number 1?\nA. a cat\nB. a dog\n\nAnswer with the option's letter from the given choices directly.",
    ],
    "mme": ["<existence 1>", "Is it Yes?\nAnswer the question using a single word or phrase."],
}  # fmt: skip
BEST = {"mme": 400.0}
