"""WildVision-Bench."""

from typing import Any

from tests.catalogue.hub import picture

_PARTS = ("0617", "0630")
DATASETS: dict[tuple[str, str | None, str], list[dict[str, Any]]] = {
    ("WildVision/wildvision-arena-data", f"release_bench_{part}_with_modelresponse", "test500"): [
        {"question_id": f"{part}{number}", "image": picture(f"wildvision {part} {number}"),
         "instruction": f"What is this, {part} {number}? ", "language": "English", "gpt-4o": "No.",
         "claude-3-sonnet-20240229": "It is a cat."}
        for number in (1, 2)
    ]
    for part in _PARTS
}  # fmt: skip
PROMPTS = {f"wildvision_{part}": [f"<wildvision {part} 1>", f"What is this, {part} 1?"] for part in _PARTS}
BEST = dict.fromkeys(PROMPTS)
WORST = dict.fromkeys(PROMPTS)
