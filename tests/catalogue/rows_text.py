"""MMLU, GSM8K, IFEval, GPQA."""

from __future__ import annotations

from typing import Any

from lmms_fast.tasks.catalog import bundled_dir
from lmms_fast.tasks.spec import Task, load_file
from lmms_fast.types import Sample
from tests.catalogue.rows_judged import tagged

Rows = list[dict[str, Any]]


def _subjects() -> tuple[str, ...]:
    family = load_file(bundled_dir() / "mmlu" / "mmlu_{subject}.yaml")
    assert isinstance(family, Task)
    return family.family


def _mmlu(*subjects: str) -> Rows:
    return [
        {"question": f" Which, {subject}?", "subject": subject, "choices": ["one", "two", "three", "four"],
         "answer": len(subject) % 4}
        for subject in subjects
    ]  # fmt: skip


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
    **{("cais/mmlu", "all", split): _mmlu("abstract_algebra", "world_religions") for split in ("test", "validation")},
    **{("cais/mmlu", subject, split): _mmlu(subject) for subject in _subjects() for split in ("test", "validation")},
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
# Questions, steps and answers of the chain-of-thought paper.
_WORKED = (
    ("There are 15 trees in the grove. Grove workers will plant trees in the grove today. After they are done, there "
     "will be 21 trees. How many trees did the grove workers plant today?",
     "There are 15 trees originally. Then there were 21 trees after some more were planted. So there must have been 21 "
     "- 15 = 6.", 6),
    ("If there are 3 cars in the parking lot and 2 more cars arrive, how many cars are in the parking lot?",
     "There are originally 3 cars. 2 more cars arrive. 3 + 2 = 5.", 5),
    ("Leah had 32 chocolates and her sister had 42. If they ate 35, how many pieces do they have left in total?",
     "Originally, Leah had 32 chocolates. Her sister had 42. So in total they had 32 + 42 = 74. After eating 35, they "
     "had 74 - 35 = 39.", 39),
    ("Jason had 20 lollipops. He gave Denny some lollipops. Now Jason has 12 lollipops. How many lollipops did Jason "
     "give to Denny?",
     "Jason started with 20 lollipops. Then he had 12 after giving some to Denny. So he gave Denny 20 - 12 = 8.", 8),
    ("Shawn has five toys. For Christmas, he got two toys each from his mom and dad. How many toys does he have now?",
     "Shawn started with 5 toys. If he got 2 toys each from his mom and dad, then that is 4 more toys. 5 + 4 = 9.", 9),
    ("There were nine computers in the server room. Five more computers were installed each day, from monday to "
     "thursday. How many computers are now in the server room?",
     "There were originally 9 computers. For each of 4 days, 5 more computers were added. So 5 * 4 = 20 computers were "
     "added. 9 + 20 is 29.", 29),
    ("Michael had 58 golf balls. On tuesday, he lost 23 golf balls. On wednesday, he lost 2 more. How many golf balls "
     "did he have at the end of wednesday?",
     "Michael started with 58 golf balls. After losing 23 on tuesday, he had 58 - 23 = 35. After losing 2 more, he had "
     "35 - 2 = 33 golf balls.", 33),
    ("Olivia has $23. She bought five bagels for $3 each. How much money does she have left?",
     "Olivia had 23 dollars. 5 bagels for 3 dollars each will be 5 x 3 = 15 dollars. So she has 23 - 15 dollars left. "
     "23 - 15 is 8.", 8),
)  # fmt: skip
_COT = "".join(f"Q: {question}\nA: {steps} The answer is {answer}.\n\n" for question, steps, answer in _WORKED)
_GIVEN = (
    "Given the following problem, reason and give a final answer to the problem.\nProblem: {}\nYour response should "
    'end with "The final answer is [answer]" where [answer] is the response to the problem.\n'
)
_LLAMA = "".join(f"{_GIVEN.format(question)}{steps} The final answer is {answer}\n\n"
                 for question, steps, answer in _WORKED)  # fmt: skip
_SHUFFLED = {
    "main": ("none of these", "right main ", "Law. Gauss", "42"),
    "diamond": ("Law. Gauss", "none of these", "right diamond ", "42"),
    "extended": ("42", "right extended ", "none of these", "Law. Gauss"),
}
_EXPERTS = "Here are some example questions from experts. Answer the final question yourself, following the format " \
    "of the previous questions exactly.\n"
_BARE = "Which, diamond 1?\n\nA)  right  diamond [sic] \n\nB) none of these\nC) Law [title]Gauss\nD) 42"
_SIMPLE = (
    "Answer the following multiple choice question. The last line of your response should be of the following format: "
    "'Answer: $LETTER' (without quotes) where LETTER is one of ABCD. Think step by step before answering but always "
    "provide a final answer within the word limit.\n\n"
)


def _lettered(part: str, between: str = "\n") -> str:
    return between.join(f"({letter}) {text}" for letter, text in zip("ABCD", _SHUFFLED[part], strict=True))


def _about(subject: str, form: str = "{}\nA. one\nB. two\nC. three\nD. four\nAnswer:") -> list[str]:
    return [
        f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n"
        + form.format(f"Which, {subject}?")
    ]


_FLAN = "Q: {}\n(A) one (B) two (C) three (D) four\nA:"
_FLANS = {"cot_zeroshot": f"{_FLAN} Let's think step by step.", "n_shot_generative": _FLAN}


PROMPTS = {
    "mmlu": _about("abstract_algebra"),
    **{f"mmlu_{subject}{end}": _about(subject) for subject in _subjects() for end in ("", "_generative")},
    **{f"mmlu_flan_{name}": _about("abstract_algebra", form) for name, form in _FLANS.items()},
    **{
        f"mmlu_flan_{name}_{subject}": _about(subject, form) for subject in _subjects() for name, form in _FLANS.items()
    },
    "gsm8k": [f"{_EXAMPLES}Question: How many apples, test 5?\nAnswer:"],
    "gsm8k_cot": [f"{_COT}Q: How many apples, test 5?\nA:"],
    "gsm8k_cot_self_consistency": [f"{_COT}Q: How many apples, test 5?\nA:"],
    "gsm8k_cot_llama": [_LLAMA + _GIVEN.format("How many apples, test 5?")],
    "gsm8k_cot_zeroshot": ["Q: How many apples, test 5?\nA: Let's think step by step."],
    "ifeval": ["Write about <cats> & 'dogs'. No commas."],
    **{
        f"gpqa_{part}_{form}": [f"{before}Which, {part} 1?\nChoices:\n{_lettered(part)}\n{after}"]
        for part in _SHUFFLED
        for form, before, after in (
            ("cot_zeroshot", "What is the correct answer to this question:", "Let's think step by step: "),
            ("cot_n_shot", f"{_EXPERTS}Question: ", "Let's think step by step: "),
            ("generative_n_shot", f"{_EXPERTS}Question: ", "Answer:"),
        )
    },
    "gpqa_diamond_reasoning": [f"Question: Which, diamond 1?\nChoices:\n{_lettered('diamond', ' ')}"],
    "gpqa_diamond_openai": [_BARE],
    "gpqa_diamond_openai_agg64": [_BARE],
    "gpqa_diamond_openai_maj64_cov64_train": [_SIMPLE + _BARE],
}  # fmt: skip


def _sentence(sample: Sample) -> str:
    return f"The answer is {sample.target[0].partition('#### ')[2]}."


RIGHT = {
    "ifeval": lambda sample: "The moon is up.", "gpqa_diamond_reasoning": tagged,
    "gsm8k_cot": _sentence, "gsm8k_cot_self_consistency": _sentence,
}  # fmt: skip
# What is asked for may be absent from nonsense: no comma is in it.
WORST = {"ifeval": 0.5}
