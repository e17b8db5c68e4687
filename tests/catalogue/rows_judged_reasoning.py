"""The tasks for models that think, of benchmarks whose rows are in the other modules."""

from tests.catalogue.rows_judged import tagged

_LETTERS_10 = "\n".join(f"{letter}. option {number}" for number, letter in enumerate("ABCDEFGHIJ"))
_BENCH = "\nA. a cat\nB. a dog\nC. a banana"
_SHORT = "Answer the question using a single word or phrase."
_LETTER = "Answer with the option's letter from the given choices directly."
_SCREEN = f"{_LETTERS_10}\n\nAnswer the question in the image."
PROMPTS = {
    "ai2d_reasoning": ["<ai2d 2>", "Which, ai2d 2?\nA. a\nB. b\nC. c\nD. d"],
    "chartqa_reasoning": ["<chart human_test>", "How much, chart human_test?"],
    "cv_bench_reasoning": ["<cv default Count>", "Count, default? (A) x (B) y (C) z"],
    "cv_bench_2d_reasoning": ["<cv 2D Count>", "Count, 2D? (A) x (B) y (C) z"],
    "cv_bench_3d_reasoning": ["<cv 3D Depth>", "Depth, 3D? (A) x (B) y (C) z"],
    "docvqa_val_reasoning": ["<DocVQA validation 1>", f"What is on line 1?\n{_SHORT}"],
    "docvqa_test_reasoning": ["<DocVQA test 1>", f"What is on line 1?\n{_SHORT}"],
    "infovqa_val_reasoning": ["<InfographicVQA validation 1>", f"What is on line 1?\n{_SHORT}"],
    "infovqa_test_reasoning": ["<InfographicVQA test 1>", f"What is on line 1?\n{_SHORT}"],
    **{
        f"mmbench_{language}_{split}_reasoning": [
            f"<{language} {split} 1.0>", f"It is alive. What is this, {language} {split} 1.0? {header}{_BENCH}",
        ]
        for language, header in (("en", ""), ("cn", "There are several options:")) for split in ("dev", "test")
    },
    "mmmu_pro_standard_reasoning": ["What is", "<pro 0>", f", pro 0?\n{_LETTERS_10}"],
    "mmmu_pro_vision_reasoning": [_SCREEN, "<screen 0>", _SCREEN],
    "mmmu_val_reasoning": ["What is", "<validation 1>", ", validation 1?\nA. a cat\nB. a dog"],
    "mmstar_reasoning": ["<star 0>", "What, star 0?\nOptions: A: cat, B: dog, C: cow, D: pig"],
    "ocrbench_reasoning": ["<ocr IIIT5K>", "What is written, IIIT5K?"],
    "realworldqa_reasoning": [
        "<real 0>", "Where is it?\n\nA. On the left\nB. On the right\nC. Nowhere\n"
        "Please answer directly with only the letter of the correct option and nothing else.",
    ],
    "seedbench_2_plus_reasoning": ["<plus chart>", f"How many, chart?\nA. one\nB. two\nC. three\nD. four\n{_LETTER}"],
    "seedbench_reasoning": [
        "<seed 0 0>",
        f"What, seed 0?\nA. seed option a\nB. seed option b\nC. seed option c\nD. seed option d\n{_LETTER}",
    ],
    # The instruction is the dataset's.
    **{
        f"vstar_bench{part}_reasoning": [f"<vstar {category}>", f"What about {category}?\n{options}\n{_LETTER}"]
        for part, category, options in (
            ("", "direct_attributes", "A. red\nB. blue\nC. white\nD. green"),
            ("_direct_attributes", "direct_attributes", "A. red\nB. blue\nC. white\nD. green"),
            ("_relative_position", "relative_position", "A. left\nB. right"),
        )
    },
}  # fmt: skip
RIGHT = dict.fromkeys(PROMPTS, tagged)
_TESTS = {f"{name}_test_reasoning": None for name in ("docvqa", "infovqa", "mmbench_en", "mmbench_cn")}
BEST = {**_TESTS, "mmbench_en_dev_reasoning": 100.0, "mmbench_cn_dev_reasoning": 100.0, "ocrbench_reasoning": 3.0}
WORST: dict[str, float | None] = {**_TESTS}
