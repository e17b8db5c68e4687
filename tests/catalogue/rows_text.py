"""MMLU, GSM8K, IFEval, GPQA."""

from __future__ import annotations

from typing import Any

Rows = list[dict[str, Any]]


def _gsm8k(part: str, *numbers: int) -> Rows:
    return [
        {"question": f"How many apples, {part} {number}?", "answer": f"It is 1 + {number - 1}.\n#### {number:,}"}
        for number in numbers
    ]


def _gpqa(part: str) -> Rows:
    return [
        {
            "Question": f"Which, {part} {number}?", "Correct Answer": f" right  {part} [sic] \n",
            "Incorrect Answer 1": "Law [title]Gauss", "Incorrect Answer 2": "none of these", "Incorrect Answer 3": "42",
            "High-level domain": "Physics", "Subdomain": "Optics", "Record ID": f"rec{number}", "Explanation": "x",
        }
        for number in (1, 2)
    ]  # fmt: skip


_NOTHING = dict.fromkeys(("num_words", "relation", "keywords", "end_phrase"))
DATASETS: dict[tuple[str, str | None, str], Rows] = {
    ("cais/mmlu", "all", "test"): [
        {"question": f"Which, {subject}?", "subject": subject, "choices": ["one", "two", "three", "four"],
         "answer": answer}
        for subject, answer in (("abstract_algebra", 1), ("world_religions", 3))
    ],
    ("openai/gsm8k", "main", "test"): _gsm8k("test", 5, 1234),
    ("openai/gsm8k", "main", "train"): _gsm8k("train", 2, 3, 4, 5, 6, 7),
    ("wis-k/instruction-following-eval", None, "train"): [
        {
            "key": 1000, "prompt": "Write about <cats> & 'dogs'. No commas.",
            "instruction_id_list": ["punctuation:no_comma"], "kwargs": [_NOTHING],
        },
        {
            "key": 1001, "prompt": "Write at least 3 words with the keyword moon. No commas.",
            "instruction_id_list": ["length_constraints:number_words", "keywords:existence", "punctuation:no_comma"],
            "kwargs": [
                {**_NOTHING, "num_words": 3, "relation": "at least"}, {**_NOTHING, "keywords": ["moon"]}, _NOTHING,
            ],
        },
    ],
    **{("Idavidrein/gpqa", f"gpqa_{part}", "train"): _gpqa(part) for part in ("main", "diamond", "extended")},
}  # fmt: skip
_EXAMPLES = "".join(
    f"Question: How many apples, train {number}?\nAnswer: It is 1 + {number - 1}.\n#### {number}\n\n"
    for number in (2, 3, 4, 5, 6)
)
PROMPTS = {
    "mmlu": [
        "The following are multiple choice questions (with answers) about abstract algebra.\n\n"
        "Which, abstract_algebra?\nA. one\nB. two\nC. three\nD. four\nAnswer:"
    ],
    "gsm8k": [f"{_EXAMPLES}Question: How many apples, test 5?\nAnswer:"],
    "gsm8k_cot_zeroshot": ["Q: How many apples, test 5?\nA: Let's think step by step."],
    "ifeval": ["Write about <cats> & 'dogs'. No commas."],
    **{
        f"gpqa_{part}_cot_zeroshot": [
            f"What is the correct answer to this question:Which, {part} 1?\nChoices:\n{options}\nLet's think step by "
            "step: "
        ]
        for part, options in (
            ("main", "(A) none of these\n(B) right main \n(C) Law. Gauss\n(D) 42"),
            ("diamond", "(A) Law. Gauss\n(B) none of these\n(C) right diamond \n(D) 42"),
            ("extended", "(A) 42\n(B) right extended \n(C) none of these\n(D) Law. Gauss"),
        )
    },
}  # fmt: skip
RIGHT = {"ifeval": lambda sample: "The moon is up."}
# What is asked for may be absent from nonsense: no comma is in it.
WORST = {"ifeval": 0.5}
