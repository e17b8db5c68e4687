"""A small made-up case of every published form: it is read, scored and compared like the real ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from lmms_fast.errors import UsageError
from lmms_fast.parity.compare import Comparison, agree, compare, excerpt, flat
from lmms_fast.parity.entries import Entry
from lmms_fast.parity.sets import KINDS, kind_of

REPO, COMMIT = "someone/outputs", "a" * 40


def run(folder: Path, metric: str, files: Mapping[str, Any], expected: Mapping[str, Any]) -> Comparison:
    """Write a set's files and compare it."""
    for name, content in files.items():
        path = folder / "someone+outputs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".xlsx":
            book = openpyxl.Workbook()
            assert book.active is not None
            for line in content:
                book.active.append(line)
            book.save(path)
        elif isinstance(content, list) and path.suffix == ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1), encoding="utf-8")
    entry = Entry(name="made/up", repo=REPO, commit=COMMIT, files=dict.fromkeys(files), metric=metric,
                  expected=dict(expected))  # fmt: skip
    return compare(entry, folder)


def mmmu_row(number: int, subject: str, response: str, answer: str = "A") -> dict[str, Any]:
    """A multiple-choice row of MMMU."""
    return {"id": f"validation_{subject}_{number}", "question_type": "multiple-choice", "answer": answer,
            "all_choices": ["A", "B"], "index2ans": {"A": "red", "B": "blue"}, "response": response}  # fmt: skip


CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "mmmu": (
        "mmmu_parse (acc)",
        {
            # random.seed(42) rolls A, A, B for three choices out of two.
            "out/Art/output.json": [mmmu_row(1, "Art", "(A)"), mmmu_row(2, "Art", "no idea")],
            "out/Biology/output.json": [
                mmmu_row(1, "Biology", "?"), mmmu_row(2, "Biology", "?", "A"),
                {"id": "validation_Biology_3", "question_type": "short-answer", "answer": "?", "all_choices": [],
                 "index2ans": {}, "response": "It is 4.5"},
            ],
            "out/total_val_output.json": {"validation_Art_1": "A", "validation_Art_2": "A", "validation_Biology_1": "A",
                                          "validation_Biology_2": "B"},
            "answer_dict_val.json": {f"validation_{name}": {"question_type": "?", "ground_truth": gold}
                                     for name, gold in (("Art_1", "A"), ("Art_2", "A"), ("Biology_1", "A"),
                                                        ("Biology_2", "A"), ("Biology_3", ["4.5", "4 1/2"]))},
        },
        {"correct": 4, "deterministic_correct": 2, "random_fallback_items": 3, "Overall": 0.8, "Art and Design": 1.0,
         "Science": 0.667},
    ),
    "mmmu_pro": (
        "mmmu_pro_parse",
        {"pro.jsonl": [
            {"id": "test_1", "options": "['one', 'two', \"it's\"]", "answer": "C", "response": "Answer: C",
             "pred_indexs": "C", "if_right": True},
            {"id": "test_2", "options": "['one', 'two']", "answer": "B", "response": "?", "pred_indexs": "B",
             "if_right": True},
        ]},
        {"correct": 2, "acc": 100.0, "deterministic_correct": 1, "random_fallback_items": 1},
    ),
    "pope of LLaVA": (
        "pope_llava",
        {
            "answers/model.jsonl": [{"question_id": 1, "prompt": "?", "text": "Yes", "answer_id": "x"},
                                    {"question_id": 2, "prompt": "?", "text": "No, sorry. Yes?", "answer_id": "y"},
                                    {"question_id": 3, "prompt": "?", "text": "", "answer_id": "z"},
                                    {"question_id": 4, "prompt": "?", "text": "No", "answer_id": "z"}],
            "llava_pope_test.jsonl": [{"question_id": 1, "image": "a", "text": "?", "category": "random"},
                                      {"question_id": 2, "image": "a", "text": "?", "category": "random"},
                                      {"question_id": 3, "image": "a", "text": "?", "category": "popular"},
                                      {"question_id": 4, "image": "a", "text": "?", "category": "popular"}],
            "coco_pope_random.json": '{"label": "yes"}\n{"label": "no"}\n',
            "coco_pope_popular.json": '{"label": "yes"}\n{"label": "no"}\n',
        },
        {"f1_random": 1.0, "f1_popular": 1.0, "f1_mean": 1.0, "acc": [1.0, 1.0], "published": 100.0},
    ),
    "gqa of LLaVA": (
        "gqa_exact",
        {
            "answers/model.jsonl": [{"question_id": "b", "prompt": "?", "text": "no"},
                                    {"question_id": "a", "prompt": "?", "text": "Yes.."},
                                    {"question_id": "c", "prompt": "?", "text": "yes "}],
            "questions.jsonl": [{"question_id": "a", "text": "Is it?\nAnswer."},
                                {"question_id": "b", "text": "What?"}, {"question_id": "c", "text": "Is it?"}],
            "golds.json": [{"question": "Is it?", "gt_answers": "yes"}, {"question": "What?", "gt_answers": "a cat"},
                           {"question": "Is it?", "gt_answers": "yes"}],
        },
        {"correct": 1, "acc": 100 / 3},
    ),
    "scienceqa of LLaVA": (
        "sqa_llava",
        {"model_output.jsonl": {
            "correct": [{"question_id": "4", "parsed_ans": "B", "ground_truth": "B", "pred": "B",
                         "is_multimodal": True}],
            "incorrect": [{"question_id": "5", "parsed_ans": "FAILED", "ground_truth": "A", "pred": "who knows",
                           "is_multimodal": False}],
        }},
        {"correct": 1, "acc": 50.0, "img_correct": 1, "img_n": 1, "img_acc": 100.0},
    ),
    "scienceqa of its authors": (
        "sqa_the_answer_is",
        {
            "gpt.json": {"acc": 100.0, "correct": 2, "count": 2, "args": {"seed": 3}, "results": {"4": 1, "5": 0},
                         "outputs": {"4": "The answer is B. BECAUSE: so.", "5": ""}},
            "golds.jsonl": {"correct": [], "incorrect": [
                {"question_id": "4", "parsed_ans": "A", "ground_truth": "B", "pred": "A", "is_multimodal": True},
                {"question_id": "5", "parsed_ans": "B", "ground_truth": "A", "pred": "B", "is_multimodal": False},
            ]},
        },
        {"published": 100.0, "correct_stored_preds": 2, "correct_regex_only": 1, "regex_failures": 1},
    ),
    "scienceqa with the data set's answers": (
        "sqa_the_answer_is",
        {
            "m.json": {"acc": 50.0, "correct": 1, "count": 2, "results": {"4": 1, "5": 1},
                       "outputs": {"4": "The answer is B.", "5": "The answer is B. The answer is C."}},
            "problems.json": {"4": {"question": "?", "choices": ["x", "y"], "answer": 1, "image": "image.png"},
                              "5": {"question": "?", "choices": ["x", "y"], "answer": 0, "image": None}},
        },
        {"acc": 50.0, "correct": 1, "img_n": 1, "regex_failures": 1},
    ),
    "mmmu, letters": (
        "mmmu_eval_only",
        {
            "total_val_output.json": {"validation_Art_1": "A", "validation_Math_1": "about 4"},
            "answer_dict_val.json": {
                "validation_Art_1": {"question_type": "multiple-choice", "ground_truth": "B"},
                "validation_Math_1": {"question_type": "short-answer", "ground_truth": "4"},
            },
        },
        {"Overall": 0.5, "Art and Design": 0.0, "Science": 1.0},
    ),
    "mmevalpro": (
        "mmevalpro",
        {"m.json": [{"index": number, "triplet_id": number // 3, "model_output": said, "answer": "A", "source": "MMMU",
                     "eval_type": kind} for number, (kind, said) in enumerate(
                         (kind, said) for said in ("AAA", "AAB")
                         for kind, said in zip(("Origin", "Perception", "Knowledge"), said, strict=True))]},
        {"MMMU": {"genuine_accuracy_score": 50.0, "average_score": 83.33, "knowledge_score": 50.0},
         "Macro_Average": {"genuine_accuracy_score": 50.0}, "Micro_Average": {"origin_score": 100.0}},
    ),
    "tabmwp": (
        "tabmwp",
        {
            "m.json": {"acc": 50.0, "correct": 2, "count": 2, "args": {"seed": 1}, "results": {
                "8": {"answer": "9", "output": "The answer is 9 boxes.", "prediction": "9 boxes", "true_false": True},
                "9": {"answer": "1,000", "output": "$1000.", "prediction": "$1000", "true_false": True}}},
            "problems.json": {"8": {"unit": "boxes", "choices": None}, "9": {"unit": None, "choices": None}},
        },
        {"correct": 2, "acc": 100.0},
    ),
    "tabmwp, normal forms stored": (  # the unit is in the data set alone
        "tabmwp",
        {"m.json": {"acc": 50.0, "correct": 1, "count": 2, "results": {
            "8": {"answer": "9", "answer_norm": "9", "prediction": "9 boxes", "prediction_norm": "9"},
            "9": {"answer": "Blue", "answer_norm": "Blue", "prediction": "$", "prediction_norm": "blue!"}}}},
        {"correct": 1, "acc": 50.0},
    ),
    "anls of responses with blanks": (  # what the distance is divided by has the blanks
        "anls",
        {"m.json": [{"question_id": 1, "answer": " ax", "annotation": ["ab"]}]},
        {"score": 2 / 3},
    ),
    "mmmu, blanks around a response": (  # the period is not at the end
        "mmmu_parse (acc)",
        {"out/Art/output.json": [mmmu_row(1, "Art", "B. ", "B"), mmmu_row(2, "Art", "B.", "B")],
         "answer_dict_val.json": {f"validation_Art_{number}": {"question_type": "?", "ground_truth": "B"}
                                  for number in (1, 2)}},
        {"deterministic_correct": 1, "random_fallback_items": 1},
    ),
    "a response that thinks": (  # its scorer cuts nothing off
        "vlmek_can_infer (exact matching)",
        {"m_X.xlsx": [["index", "A", "B", "answer", "prediction"], [0, "x", "y", "B", "A </think> B"]]},
        {"correct": 0},
    ),
    "Qwen-VL's form": (
        "anls",
        {"m.json": [{"question_id": 1, "answer": "cola", "annotation": ["Cola", "Coke"]},
                    {"question_id": 2, "answer": "beer", "annotation": ["Cola"]}]},
        {"score": 0.5},
    ),
    "captions by picture": (
        "coco_caption (tokenised)",
        {"gts.json": {"1": ["a cat sits on a mat"], "2": ["a dog runs"]},
         "res.json": {"1": ["a cat sits on a mat"], "2": ["a dog runs"]}},
        {"Bleu_1": 1.0, "ROUGE_L": 1.0, "METEOR": 1.0},
    ),
    "captions in COCO's form": (
        "coco_caption after PTB tokenisation",
        {"captions_val2014.json": {"images": [], "annotations": [{"image_id": 1, "caption": "A cat sits here."},
                                                                 {"image_id": 2, "caption": "A dog runs!"}]},
         "m_results.json": [{"image_id": 1, "caption": "a cat sits here"}, {"image_id": 2, "caption": "a dog runs"}]},
        {"Bleu_1": 1.0, "Bleu_2": 1.0, "ROUGE_L": 1.0},
    ),
    "anls": (
        "anls (tau 0.5)",
        {"gold_label.json": {"dataset_name": "x", "data": [{"questionId": 1, "answers": ["Coca Cola", "Cola"]},
                                                           {"questionId": 2, "answers": ["Pepsi"]}]},
         "submission.json": [{"questionId": 1, "answer": "coca  cola"}, {"questionId": 2, "answer": "water"}]},
        {"score": 0.5},
    ),
    "blink": (
        "blink: exact",
        {
            "out/Counting.json": {"val": [
                {"idx": "val_Counting_1", "answer": "(A)", "full_prediction": "(A) one", "prediction": "(A)"},
                {"idx": "val_Counting_2", "answer": "(C)", "full_prediction": "(B)", "prediction": "(B)"},
            ], "test": []},
            "out/Jigsaw.json": {"val": [{"idx": "val_Jigsaw_1", "answer": "(B)", "full_prediction": "So (B)",
                                         "prediction": "(B)"}]},
            "val_answers.json": {"val_Counting_1": "(A)", "val_Counting_2": "(C)", "val_Jigsaw_1": "(B)"},
        },
        {"correct": 2, "macro14": 75.0, "published": 75.0},
    ),
    "blink with a judge": (
        "blink; use stored prediction for the score",
        {"out/Jigsaw.json": {"val": [
            {"idx": "v1", "answer": "(B)", "full_prediction": "the second one", "prediction": "(B)"},
            {"idx": "v2", "answer": "(A)", "full_prediction": "(A)", "prediction": "(A) Picture 1"},
        ]}},
        {"correct": 1, "macro14": 50.0},
    ),
    "tempcompass": (
        "tempcompass_multi_choice",
        {
            "predictions/m/multi-choice.json": {"v": {"action": [
                {"question": "What?\nA. run\nB. jump", "answer": "A. run", "prediction": "A</s>"},
                {"question": "What?\nA. run\nB. jump", "answer": "B. jump", "prediction": "They jump"},
            ], "attribute change": [{"question": "?\nA. x\nB. y", "answer": "A. x", "prediction": "B) y"}]}},
            "auto_eval_results/m/multi-choice.json": {"v": {"action": [
                {"match_success": True, "rating": 1}, {"match_success": False, "rating": 1},
            ], "attribute change": [{"match_success": True, "rating": 0}]}},
        },
        {"correct": 2, "rule_matched": 2, "rule_correct": 1, "avg": 66.7, "action": 100.0, "attribute_change": 0.0},
    ),
    "tempcompass, captions": (
        "tempcompass_caption_matching",
        {"predictions/m/caption_matching.json": {"v": {"order": [{
            "question": "Which?\nCaption A: He runs.\nCaption B: He jumps.", "answer": "Caption B: He jumps.",
            "prediction": "B"}]}},
         "auto_eval_results/m/caption_matching.json": {"v": {"order": [{"match_success": True, "rating": 1}]}}},
        {"correct": 1, "rule_matched": 1},
    ),
    "tempcompass, yes or no": (
        "tempcompass_yes_no",
        {"predictions/m/yes_no.json": {"v": {"order": [{"question": "Is it?", "answer": "no", "prediction": "No."}]}},
         "auto_eval_results/m/yes_no.json": {"v": {"order": [{"match_success": True, "rating": 1}]}}},
        {"correct": 1, "avg": 100.0},
    ),
    "VLMEvalKit, letters": (
        "vlmek_can_infer (exact matching)",
        {
            "m_MMStar.xlsx": [
                ["index", "question", "A", "B", "C", "answer", "category", "prediction", "hit"],
                [0, "?", "a cat", "a dog", None, "B", "animals", "B. a dog", 1],
                [1, "?", 3, 4, 5, "B", "numbers", 4, 1],
                [2, "?", None, "4", "5", "C", "numbers", "no idea", 0],
            ],
            "m_MMStar_acc.csv": '"split","Overall","animals","numbers"\n"none","0.6666666666666666","1.0","0.5"\n',
        },
        {"correct": 2, "acc": 0.6666666666666666},
    ),
    "VLMEvalKit, circular": (
        "vlmek_can_infer + mmbench_circular",
        {"m_CCBench.xlsx": [
            ["index", "question", "A", "B", "answer", "category", "prediction"],
            [0, "?", "x", "y", "A", "art", "A"], [1_000_000, "?", "y", "x", "B", "art", "B"],
            [1, "?", "x", "y", "A", "art", "A"], [1_000_001, "?", "y", "x", "B", "art", "A"],
        ]},
        {"groups": 2, "circular_correct": 1, "acc": 0.5, "vanilla": 1.0, "all_rows": 0.75},
    ),
    "VLMEvalKit, POPE": (
        "yes_no_word + F1",
        {
            "m_POPE.xlsx": [
                ["question", "answer", "category", "index", "prediction", "extracted", "score"],
                ["?", "Yes", "adversarial,popular", 0, "Yes, there is.", "Yes", True],
                ["?", "No", "popular", 1, "Yes", "Yes", False],
                ["?", "No", "random", 2, "No", "No", True],
            ],
            "m_POPE_score.csv": '"split","Overall","acc","precision","recall"\n'
                                '"Overall","80.0","75.0","66.66666666666666","100.0"\n"adversarial","100","100","100","100"\n',
        },
        {"f1": 80.0, "acc": 75.0, "precision": 66.66666666666666, "recall": 100.0, "f1_popular": 66.66666666666666},
    ),
    "VLMEvalKit, MME": (
        "yes_no_word + mme_official aggregation",
        {"m_MME.xlsx": [
            ["index", "category", "image_path", "question", "answer", "prediction"],
            [0, "OCR", "a.jpg", "?", "Yes", "Yes"], [1, "OCR", "a.jpg", "?", "No", "No."],
            [2, "code_reasoning", "b.jpg", "?", "Yes", "Yes"], [3, "code_reasoning", "b.jpg", "?", "No", "Maybe"],
        ]},
        {"perception": 200.0, "reasoning": 50.0, "unknown": 1, "OCR": 200.0},
    ),
    "MME of its authors": (
        "mme_official",
        {"OCR.txt": "a.jpg\tIs it?\tYes\tYes\na.jpg\tIs it not?\tNo\tn\n"},
        {"perception": 50.0, "cognition": 0.0, "unknown": 1},
    ),
    "VLMEvalKit, HallusionBench": (
        "yes_no_word + hallusion_aAcc_fAcc_qAcc",
        {"m_HallusionBench.xlsx": [
            ["category", "l2-category", "index", "answer", "prediction"],
            ["VD", "VD_illusion", "VD_illusion_1_0_1_0", "Yes", "Yes"],
            ["VD", "VD_illusion", "VD_illusion_1_0_1_1", "No", "No"],
            ["VD", "VD_illusion", "VD_illusion_1_0_2_0", "No", "perhaps"],
        ]},
        {"aAcc": 66.66666666666667, "fAcc": 50.0, "qAcc": 50.0, "unknown": 1},
    ),
    "VLMEvalKit, OCRBench": (
        "ocrbench_substring",
        {"m_OCRBench.xlsx": [
            ["index", "question", "answer", "category", "prediction"],
            [0, "?", "['CENTRE', 'centre']", "Regular Text Recognition", "It says Centre"],
            [1, "?", "['x ^ 2']", "Handwritten Mathematical Expression Recognition", "x^2"],
            [2, "?", "['12']", "Key Information Extraction", 13],
        ]},
        {"Final Score": 2, "Text Recognition": 1, "Handwritten Mathematical Expression Recognition": 1,
         "Key Information Extraction": 0},
    ),
    "VLMEvalKit, ChartQA": (
        "chartqa_relaxed",
        {"m_ChartQA_TEST.xlsx": [
            ["index", "question", "answer", "split", "prediction"],
            [1, "?", "14", "test_human", "14.5"], [2, "?", "[2014, 2016]", "test_augmented", "2016"],
        ]},
        {"plain_gold_string": {"Overall": 50.0, "test_human": 100.0},
         "vlmevalkit_list_literals_split": {"Overall": 100.0}},
    ),
    "VLMEvalKit, TextVQA": (
        "vqa_soft_accuracy_10",
        {"m_TextVQA_VAL.xlsx": [["index", "question", "answer", "prediction"],
                                [1, "?", str(["dakota"] * 10), "Dakota"], [2, "?", str(["a"] * 10), "b"]]},
        {"acc": 50.0},
    ),
    "LLaVA, TextVQA": (
        "vqa_soft_accuracy_10",
        {
            "answers/m.jsonl": [{"question_id": "img1", "prompt": "What brand?\nAnswer.", "text": "Dakota"},
                                {"question_id": "img1", "prompt": "What brand?\nReference OCR token: X\nAnswer.",
                                 "text": "none"}],
            "TextVQA_val.json": {"dataset_type": "val", "data": [
                {"question_id": 7, "image_id": "img1", "question": "What brand?", "answers": ["dakota"] * 10},
            ]},
        },
        {"acc": 50.0},
    ),
    "VLMEvalKit, OCRVQA": (
        "exact_ci",
        {"m_OCRVQA.xlsx": [["index", "answer", "category", "prediction"], ["a_1", "Yes", "Art", "yes"],
                           ["a_2", 12, "Art", "12 "], ["a_3", "No", "Art", "No."]]},
        {"acc": 200 / 3},
    ),
    "MTVQA": (
        "mtvqa_substring per language",
        {"m_MTVQA_TEST.xlsx": [["index", "question", "answer", "category", "split", "prediction"],
                               [0, "?", "Kanal", "DE", "test", "Der Kanal."], [1, "?", "3.5", "FR", "test", "3.5"]]},
        {"DE": 1.0, "FR": 0.0},
    ),
    "letters stored": (
        "letter_equality",
        {"m.jsonl": [{"id": 1, "pred": "A", "answer": "A", "source": "ADE20K"},
                     {"id": 2, "pred": "B", "answer": "A", "source": "COCO"},
                     {"id": 3, "pred": "B", "answer": "B", "source": "Omni3D"}]},
        {"correct": 2, "2D": 50.0, "3D": 100.0, "acc": 75.0},
    ),
    "MMStar of its authors": (
        "mmstar_prefix",
        {"m.json": [{"index": 0, "answer": "A", "category": "math", "response": "a photo of a cat"},
                    {"index": 1, "answer": "B", "category": "math", "response": "the answer is B"}]},
        {"correct": 2, "math": 1.0},
    ),
    "M3CoT": (
        "m3cot_judge_answer",
        {"m.jsonl": [{"id": "a", "choices": ["red", "blue"], "answer": "B",
                      "response": "[Answer] (b) [Rationale] (a)"}]},
        {"correct": 1, "acc": 100.0},
    ),
    "MM-Vet": (
        "mmvet_mean",
        {
            "m_gpt-4-grade-1runs.json": {"v1_0": {"model": ["gpt-4"], "content": ["1.0"], "score": [1.0]},
                                         "v1_1": {"model": ["gpt-4"], "content": ["0.5"], "score": [0.5]}},
            "m.json": {"v1_0": "one", "v1_1": "two"},
            "mm-vet.json": {"v1_0": {"capability": ["ocr", "math"]}, "v1_1": {"capability": ["ocr"]}},
        },
        {"total": 75.0, "ocr": 75.0, "math": 100.0},
    ),
    "LLaVA-Bench": (
        "llavaw_ratio (judge replies stored)",
        {f"llava-v1.5-13b-eval{number}.jsonl": [{"question_id": 0, "category": "c", "content": f"8 {number}\nSince …"}]
         for number in (2, 4)},
        {"13b": [25.0, 50.0], "13b_mean_published": 37.5},
    ),
    "WildVision": (
        "wildvision_pairwise",
        {"m.jsonl": [{"question_id": str(number), "games": [{"judgment": reply, "score": None}]} for number, reply in
                     enumerate(["So [[B>>A]]", "So [[B>A]] or rather [[A>B]]", "none", "[[A<B]]"])]},
        {"much_better": 1, "worse": 1, "tie": 2, "reward": 12.5, "win_rate": 25.0},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_case(case: str, tmp_path: Path) -> None:
    """The form is read, and gives the figures that were worked out by hand."""
    metric, files, expected = CASES[case]
    found = run(tmp_path, metric, files, expected)
    assert found.problem is None
    assert [figure for figure in (*found.figures, *found.more) if not figure.agrees and not figure.why] == []
    assert found.reproduced


def test_differences_are_explained(tmp_path: Path) -> None:
    """A sample that the published file counts otherwise is shown with response, prediction and rule."""
    rows = [["index", "A", "B", "answer", "prediction", "hit"], [7, "x", "y", "A", "A", 0]]
    found = run(tmp_path, "vlmek_can_infer", {"m.xlsx": rows}, {"correct": 0})
    assert not found.reproduced
    (one,) = found.differences
    assert (one.id, one.response, one.ours, one.theirs) == ("7", "A", "A (right)", "(wrong)")
    assert one.rule


def test_score_file_that_differs(tmp_path: Path) -> None:
    """A figure in the score file that is not ours is reported; what decides is the manifest."""
    rows = [["index", "A", "B", "answer", "category", "prediction"], [7, "x", "y", "A", "c", "A"]]
    files = {"m.xlsx": rows, "m_acc.csv": '"split","Overall","c"\n"none","1.0","0.25"\n'}
    found = run(tmp_path, "vlmek_can_infer", files, {"correct": 1})
    assert found.reproduced
    assert [(one.name, one.ours, one.expected) for one in found.more if not one.agrees] == [("c", 1.0, 0.25)]


def test_unknown_figure_is_not_reproduced(tmp_path: Path) -> None:
    """What is not computed cannot count as agreed."""
    rows = [["index", "A", "B", "answer", "prediction"], [7, "x", "y", "A", "A"]]
    assert not run(tmp_path, "vlmek_can_infer", {"m.xlsx": rows}, {"correct": 1, "elo": 1200}).reproduced


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"m.xlsx": [["a", "b"], [1, 2]]}, "no file of the set has responses"),
        ({"m.json": "{nonsense"}, "is no JSON"),
        ({"m.jsonl": [{"prediction": "A"}]}, "no answer"),
        ({"m.csv": "prediction\nA\n"}, "no answer"),
    ],
)
def test_files_of_another_form(files: dict[str, Any], said: str, tmp_path: Path) -> None:
    """One sentence, no traceback."""
    found = run(tmp_path, "vlmek_can_infer", files, {"correct": 1})
    assert said in (found.problem or "")


def test_an_index_used_twice_does_not_merge_rows(tmp_path: Path) -> None:
    """SEED-Bench 2 has fewer indices than rows."""
    rows = [["index", "A", "B", "answer", "prediction"], [7, "x", "y", "A", "A"], [7, "x", "y", "A", "B"]]
    found = run(tmp_path, "vlmek_can_infer", {"m.xlsx": rows}, {"correct": 1, "acc": 0.5})
    assert (found.reproduced, found.items) == (True, 2)


def test_kind_by_the_longest_name() -> None:
    """The metric may go on in words; unknown ones are named with what there is."""
    assert kind_of("coco_caption after PTB tokenisation") is KINDS["coco_caption after ptb tokenisation"]
    assert kind_of("coco_caption (inputs tokenised)") is KINDS["coco_caption"]
    assert kind_of("anls (paper's formula)") is KINDS["anls paper"]
    assert kind_of("anls (tau 0.5)") is KINDS["anls"]
    assert kind_of("vlmek_can_infer + mmbench_circular") is KINDS["vlmek_can_infer + mmbench_circular"]
    with pytest.raises(UsageError, match="no kind of set"):
        kind_of("mathvision")


@pytest.mark.parametrize(
    ("ours", "expected", "same"),
    [
        (0.36666, 0.367, True), (0.3664, 0.367, False), (330, 330.0, True), (331, 330.0, False), (44.04, 44.1, False),
        (0.8445873526259379, 0.8445873526259379, True), (0.8445873526, 0.8445873526259379, True),
        (0.84458735, 0.8445873526259379, False), (36.05, 36.1, True), (1e-12, 1e-12, True),
    ],
)  # fmt: skip
def test_agree_to_the_digit(ours: float, expected: float, same: bool) -> None:
    """As many decimals as were published, no fewer."""
    assert agree(ours, expected) is same


def test_flat() -> None:
    """Nested figures get names; texts are none."""
    assert dict(flat({"a": [1, 2.5], "b": {"c": 3}, "d": "x"})) == {"a[0]": 1.0, "a[1]": 2.5, "b.c": 3.0}


def test_excerpt() -> None:
    """One line, both ends."""
    assert excerpt("a\n b") == "a b"
    assert len(excerpt("x" * 1000)) < 200
