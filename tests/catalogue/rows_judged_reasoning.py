"""The tasks for models that think, of benchmarks whose rows are in the other modules."""

from tests.catalogue.rows_judged import tagged

_LETTERS_10 = "\n".join(f"{letter}. option {number}" for number, letter in enumerate("ABCDEFGHIJ"))
_BENCH = "There are several options:\nA. a cat\nB. a dog\nC. a banana"
PROMPTS = {
    "ai2d_reasoning": ["<ai2d 2>", "Which, ai2d 2?\nA. a\nB. b\nC. c\nD. d"],
    "chartqa_reasoning": ["<chart human_test>", "How much, chart human_test?"],
    "cv_bench_reasoning": ["<cv default Count>", "Count, default? (A) x (B) y (C) z"],
    "docvqa_val_reasoning": ["<DocVQA validation 1>", "What is on line 1?"],
    "docvqa_test_reasoning": ["<DocVQA test 1>", "What is on line 1?"],
    "infovqa_val_reasoning": ["<InfographicVQA validation 1>", "What is on line 1?"],
    "infovqa_test_reasoning": ["<InfographicVQA test 1>", "What is on line 1?"],
    **{
        f"mmbench_{language}_{split}_reasoning": [
            f"<{language} {split} 1.0>", f"It is alive. What is this, {language} {split} 1.0? {_BENCH}",
        ]
        for language in ("en", "cn") for split in ("dev", "test")
    },
    "mmmu_pro_standard_reasoning": ["<pro 0>", f"What is <image 1>, pro 0?\n{_LETTERS_10}"],
    "mmmu_pro_vision_reasoning": ["<screen 0>"],
    "mmmu_val_reasoning": ["What is", "<validation 1>", ", validation 1?\nA. a cat\nB. a dog"],
    "mmstar_reasoning": ["<star 0>", "What, star 0?\nOptions: A: cat, B: dog, C: cow, D: pig"],
    "ocrbench_reasoning": ["<ocr IIIT5K>", "What is written, IIIT5K?"],
    "realworldqa_reasoning": [
        "<real 0>", "Where is it?\n\nA. On the left\nB. On the right\nC. Nowhere\n"
        "Please answer directly with only the letter of the correct option and nothing else.",
    ],
    "seedbench_2_plus_reasoning": ["<plus chart>", "How many, chart?\nA. one\nB. two\nC. three\nD. four"],
    "seedbench_reasoning": [
        "<seed 0 0>", "What, seed 0?\nA. seed option a\nB. seed option b\nC. seed option c\nD. seed option d",
    ],
    # The instruction is the dataset's.
    "vstar_bench_reasoning": [
        "<vstar direct_attributes>", "What about direct_attributes?\nA. red\nB. blue\nC. white\nD. green\n"
        "Answer with the option's letter from the given choices directly.",
    ],
}  # fmt: skip
RIGHT = dict.fromkeys(PROMPTS, tagged)
_TESTS = {f"{name}_test_reasoning": None for name in ("docvqa", "infovqa", "mmbench_en", "mmbench_cn")}
BEST = {**_TESTS, "mmbench_en_dev_reasoning": 100.0, "mmbench_cn_dev_reasoning": 100.0, "ocrbench_reasoning": 3.0}
WORST: dict[str, float | None] = {**_TESTS}
