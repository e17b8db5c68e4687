"""The forms in which benchmarks publish outputs: files → items to score."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lmms_fast.errors import DataError
from lmms_fast.parity.readers import GOLD, Row, field, listed, read_json, read_rows, text
from lmms_fast.parity.table import Item, Paths, is_question_file, named, sample, table, unique

# LLaVA


def llava_by_category(paths: Paths) -> list[Item]:
    """POPE: answers, the question file with categories, and a label file per category joined by position within it."""
    answers, questions = _llava(paths)
    labels = {match[1]: read_rows(path) for path in paths if (match := re.search(r"pope_(\w+)\.jsonl?$", path.name))
              and match[1] != "test"}  # fmt: skip
    items = []
    for category, ours in _by(questions, "category").items():
        if len(labels.get(category, ())) != len(ours):
            raise DataError(f"{len(ours)} questions of category {category}, {len(labels.get(category, ()))} labels.")
        for question, label in zip(ours, labels[category], strict=True):
            id = text(question["question_id"])
            found = sample(id, (text(label["label"]),), groups={"category": category})
            items.append(Item(found, answers[id]))
    return items


def llava_in_order(paths: Paths) -> list[Item]:
    """GQA: answers, and a list of golds in the order of the question file."""
    answers, questions = _llava(paths)
    golds = [row for path in named(paths, r"\.json$") for row in read_rows(path)]
    if len(golds) != len(questions):
        raise DataError(f"{len(questions)} questions, {len(golds)} answers to compare with.")
    items = []
    for question, gold in zip(questions, golds, strict=True):
        if "question" in gold and not text(question["text"]).startswith(text(gold["question"]).strip()):
            raise DataError(f"question {question['question_id']} and the answer at its place belong to different ones.")
        id = text(question["question_id"])
        items.append(Item(sample(id, listed(field(gold, GOLD))), answers[id]))
    return items


def _llava(paths: Paths) -> tuple[dict[str, str], list[Row]]:
    """Responses by question, and the rows of the question file."""
    rows = [row for path in named(paths, r"\.jsonl$") for row in read_rows(path)]
    answers = {text(row["question_id"]): text(row["text"]) for row in rows if not is_question_file(row)}
    return answers, [row for row in rows if is_question_file(row)]


def scienceqa(paths: Paths) -> list[Item]:
    """ScienceQA: LLaVA's lists of right and wrong items, or the benchmark's own map of outputs by question.

    The latter has no answers; they come from such lists of another model, or from the data set (`problems.json`).
    Stored results are option numbers.
    """
    outputs: dict[str, Any] = {}
    judged: dict[str, dict[str, Any]] = {}
    golds: dict[str, tuple[str, bool]] = {}
    """Letter, and whether there is a picture."""
    for path in paths:
        content = read_json(path)
        if isinstance(content.get("correct"), list):
            judged |= {text(row["question_id"]): {**row, "right": right == "correct"}
                       for right in ("correct", "incorrect") for row in content[right]}  # fmt: skip
        elif "outputs" in content:
            outputs = content
        else:
            golds |= {id: (_OPTIONS[row["answer"]], row.get("image") is not None) for id, row in content.items()}
    golds |= {id: (row["ground_truth"], bool(row["is_multimodal"])) for id, row in judged.items()}
    own = all(text(row["pred"]) == outputs["outputs"].get(id) for id, row in judged.items()) if outputs else True
    if judged and own:
        said = {id: (text(row["pred"]), _none(row["parsed_ans"]), row["right"]) for id, row in judged.items()}
    else:
        picks = {id: _OPTIONS[number] if 0 <= number < len(_OPTIONS) else None
                 for id, number in outputs["results"].items()}  # fmt: skip
        said = {id: (text(output), picks[id], picks[id] == golds[id][0]) for id, output in outputs["outputs"].items()}
    return [Item(sample(id, (golds[id][0],), _OPTIONS, groups={"picture": str(golds[id][1])}), *of_it)
            for id, of_it in said.items()]  # fmt: skip


_OPTIONS = ("A", "B", "C", "D", "E")


def _none(value: Any) -> str | None:
    """LLaVA writes FAILED where its expression finds nothing."""
    return None if value in (None, "FAILED") else text(value)


def _by(rows: Sequence[Row], name: str) -> dict[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[text(row[name])].append(row)
    return dict(found)


# The benchmarks' own


def mmmu(paths: Paths) -> list[Item]:
    """MMMU: a list per subject in the order of the subjects' names, the golds, and the authors' parsed letters."""
    outputs = sorted(named(paths, r"^output\.json$"), key=lambda path: path.parent.name)
    golds = _optional(paths, r"answer_dict")
    parsed = _optional(paths, r"total_.*output\.json$")
    items = []
    for path in outputs:
        for row in read_rows(path):
            id = text(row["id"])
            gold = golds[id]["ground_truth"] if id in golds else row["answer"]
            choices = tuple(map(text, row["index2ans"].values())) if row["question_type"] == "multiple-choice" else ()
            found = sample(id, _golds(gold), choices, groups={"subject": _subject(id)})
            theirs = parsed.get(id)
            items.append(Item(found, text(row["response"]), theirs if choices and isinstance(theirs, str) else None))
    return items


def mmmu_parsed(paths: Paths) -> list[Item]:
    """MMMU's other form: one map of id to answer, a letter for multiple choice, beside the golds."""
    golds = _optional(paths, r"answer_dict")
    maps = (read_json(path) for path in paths)
    answers = next(found for found in maps if not any(isinstance(said, Mapping) for said in found.values()))
    items = []
    for id, said in answers.items():
        gold = golds[id]
        choices = _OPTIONS if gold["question_type"] == "multiple-choice" else ()
        found = sample(id, _golds(gold["ground_truth"]), choices, groups={"subject": _subject(id)})
        items.append(Item(found, text(said)))
    return items


def _golds(value: Any) -> tuple[str, ...]:
    """A text that looks like a list is one answer here."""
    return listed(value) if isinstance(value, list) else (text(value),)


def _subject(id: str) -> str:
    """Clinical_Medicine of validation_Clinical_Medicine_3."""
    return "_".join(id.split("_")[1:-1])


def mmmu_pro(paths: Paths) -> list[Item]:
    """MMMU-Pro: rows with the options as a Python list, the authors' pick and verdict."""
    return unique([
        Item(sample(row["id"], (text(row["answer"]),), listed(row["options"]), groups={"subject": row.get("subject")}),
             text(row["response"]), text(row["pred_indexs"]) if row.get("pred_indexs") is not None else None,
             row.get("if_right"))
        for path in named(paths, r"\.jsonl$") for row in read_rows(path)
    ])  # fmt: skip


def mathvista(paths: Paths) -> list[Item]:
    """MathVista: what a language model extracted from each response, with the question's type and options."""
    items = []
    for row in read_rows(named(paths, r"^output_")[0]):
        about = row["metadata"]
        found = sample(
            row["pid"], (text(row["answer"]),), map_text(row["choices"]),
            groups={"question_type": row["question_type"], "answer_type": row["answer_type"],
                    **{name: about.get(name) for name in ("language", "source", "category", "task", "context",
                                                          "grade")},
                    "skills": ",".join(about.get("skills", ()))},
            facts={"question_type": row["question_type"], "answer_type": row["answer_type"],
                   "precision": row["precision"]},
        )  # fmt: skip
        items.append(Item(found, text(row.get("extraction")), None, row.get("true_false")))
    return items


def map_text(values: Sequence[Any] | None) -> tuple[str, ...]:
    """A list that may be missing, as texts."""
    return tuple(map(text, values or ()))


def blink(paths: Paths, *, stored: bool) -> list[Item]:
    """BLINK: a file per task with rows under `val`. The text is the response, or with `stored` the published
    prediction, where a language model took part in that. How many options a task has is seen from its golds."""
    golds = _optional(paths, r"answers?\.json$")
    items = []
    for path in sorted(path for path in paths if not re.search(r"answers?\.json$", path.name)):
        rows = read_json(path)["val"]
        last = max(text(golds.get(row["idx"], row["answer"])) for row in rows)
        options = [f"option {letter}" for letter in _OPTIONS if f"({letter})" <= last]
        for row in rows:
            gold = golds.get(row["idx"], row["answer"])
            found = sample(row["idx"], (text(gold),), options, groups={"task": path.stem})
            said, theirs = text(row["full_prediction"]), text(row["prediction"])
            items.append(Item(found, theirs if stored else said, theirs, theirs == gold))
    return items


def mathv(paths: Paths) -> list[Item]:
    """MATH-V: responses with the verdict on each, and the questions."""
    about = {text(row["id"]): row for row in read_rows(named(paths, r"^test(mini)?\.jsonl$")[0])}
    items = []
    for row in read_rows(next(path for path in named(paths, r"\.jsonl$") if not path.name.startswith("test"))):
        question = about[text(row["id"])]
        found = sample(row["id"], (text(question["answer"]),), map_text(question["options"]),
                       groups={"subject": question["subject"], "level": question["level"]})  # fmt: skip
        items.append(Item(found, text(row["response"]), None, row.get("correct")))
    return items


def tempcompass(paths: Paths) -> list[Item]:
    """TempCompass: predictions by video and aspect, and the authors' rating of each; `match_success` where a rule
    gave it, a language model otherwise."""
    rated = read_json(next(path for path in paths if "auto_eval_results" in path.parts))
    items = []
    for video, aspects in read_json(next(path for path in paths if "predictions" in path.parts)).items():
        for aspect, rows in aspects.items():
            for number, row in enumerate(rows):
                rating = rated[video][aspect][number]
                found = sample(
                    f"{video}/{aspect}/{number}", (text(row["answer"]),), choices_in(row["question"]),
                    groups={"aspect": aspect, "rule": str(bool(rating["match_success"]))},
                    facts={"question": row["question"]},
                )  # fmt: skip
                items.append(Item(found, text(row["prediction"]), None, bool(rating["rating"])))
    return items


def choices_in(question: str) -> tuple[str, ...]:
    """The options that a question spells out, one a line behind its first."""
    return tuple(re.sub(r"^[A-Z][.)]\s*", "", line) for line in question.split("\n")[1:] if line.strip())


def captions(paths: Paths) -> dict[str, list[Item]]:
    """Captions and their references by picture; several files of captions are several systems, named by their file."""
    if sheets := [path for path in paths if path.suffix == ".xlsx"]:
        return {"": table(sheets, golds=listed)}
    references = named(paths, r"gts|refs?\b|references|captions_\w+20\d\d\.json|annotations")[0]
    golds = _by_picture(references)
    found = {}
    for path in paths:
        if path != references and path.suffix == ".json":
            found[path.stem] = [Item(sample(key, golds[key]), said[0]) for key, said in _by_picture(path).items()]
    return found


def _by_picture(path: Path) -> dict[str, list[str]]:
    """Captions by picture: an object by picture, or COCO's rows of `image_id` and `caption`."""
    content = read_json(path)
    rows = content.get("annotations") if isinstance(content, Mapping) else content
    if not isinstance(rows, list):
        return {text(key): list(listed(value)) for key, value in content.items()}
    found: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        found[text(row["image_id"])].append(text(row["caption"]))
    return dict(found)


def vqa(paths: Paths) -> list[Item]:
    """Ten answers a question: in the row, or in a data set file where LLaVA's answers have to be looked up by picture
    and question, since their ids are those of the pictures."""
    rows = [row for path in paths if path.suffix != ".xlsx" for row in read_rows(path)]
    questions = {(text(row["image_id"]), text(row["question"]).lower()): row for row in rows
                 if {"image_id", "question", "answers"} <= row.keys()}  # fmt: skip
    if not questions:
        return table(paths, golds=listed)
    return unique([
        Item(sample(row["question_id"], listed(questions[text(row["question_id"]), _asked(row["prompt"])]["answers"])),
             text(row["text"]))
        for row in rows if "prompt" in row
    ])  # fmt: skip


def _asked(prompt: str) -> str:
    """The question inside LLaVA's prompt, without tokens from OCR and the instruction."""
    if prompt.startswith("OCR tokens: "):
        return prompt.partition("Question: ")[2].partition(" Short answer:")[0].lower()
    lines = prompt.split("\n")
    return (lines[1] if lines[0].startswith("Reference OCR token:") else lines[0]).lower()


def mme(paths: Paths) -> list[Item]:
    """MME: a table with `category` and picture, or the authors' text files, one a category: picture, question, gold and
    response between tabs."""
    texts = [path for path in paths if path.suffix == ".txt"]
    items = []
    for path in texts:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            picture, _, gold, said = line.split("\t", 3)
            found = sample(f"{path.stem}/{number}", (gold,), groups={"category": path.stem, "question_id": picture})
            items.append(Item(found, said))
    return items or table(paths, groups=lambda row: {"question_id": field(row, ("image_path", "image", "question_id"))})


# Judges


def mmvet(paths: Paths) -> Iterator[tuple[str, str, list[float]]]:
    """MM-Vet: id, capabilities joined by commas, and the judge's score of each run."""
    about = read_json(named(paths, r"mm-vet\.json$")[0])
    for row in read_rows(named(paths, r"grade.*\.json$")[0]):
        yield text(row["id"]), ",".join(about[row["id"]]["capability"]), list(row["score"])


def llava_bench(paths: Paths) -> dict[str, list[list[tuple[str, float, float]]]]:
    """LLaVA-Bench: for each system its runs, each a list of id and the judge's scores of reference and model, which are
    on the first line of the reply."""
    found: defaultdict[str, list[list[tuple[str, float, float]]]] = defaultdict(list)
    for path in sorted(paths):
        run = []
        for row in (row for row in read_rows(path) if "content" in row):
            reference, model = text(row["content"]).partition("\n")[0].replace(",", " ").split()[:2]
            run.append((text(row["question_id"]), float(reference), float(model)))
        if run:
            found[re.sub(r"-eval\d+$", "", path.stem)].append(run)
    return dict(found)


def wildvision(paths: Paths) -> Iterator[tuple[str, str]]:
    """WildVision: id, and the verdict on the model (B) against the reference (A), the last in double brackets; a reply
    with none of the four is a tie."""
    for path in named(paths, r"\.jsonl$"):
        for row in read_rows(path):
            verdicts = re.findall(r"\[\[([AB<>=]+)\]\]", text(field(row["games"][0], ("judgment", "judgement"))))
            yield text(row["question_id"]), _VERDICTS.get(verdicts[-1] if verdicts else "", "tie")


_VERDICTS = {"B>>A": "much_better", "B>A": "better", "A>B": "worse", "A>>B": "much_worse"}


def _optional(paths: Paths, pattern: str) -> dict[str, Any]:
    return next((read_json(path) for path in paths if re.search(pattern, path.name)), {})
