"""Which family a model is of, by its name. A judge is known to favour answers of its own family (arXiv 2404.13076)."""

from __future__ import annotations

import re
from collections.abc import Mapping

_FAMILIES: Mapping[str, str] = {
    "OpenAI": r"gpt|chatgpt|o[1-9](?=-|$)|davinci|openai",
    "Anthropic": r"claude",
    "Google": r"gemini|gemma|palm|paligemma",
    "Qwen": r"qwen|qwq|qvq",
    "Llama": r"llama|meta-llama",
    "Mistral": r"mistral|mixtral|pixtral|ministral|magistral",
    "DeepSeek": r"deepseek|janus",
    "InternLM": r"internvl|internlm|intern-s",
    "Phi": r"phi(?=-|$|\d)",
    "GLM": r"glm|cogvlm|cogagent|chatglm",
    "MiniCPM": r"minicpm",
    "Grok": r"grok",
    "Yi": r"yi(?=-)",
    "Kimi": r"kimi|moonshot",
    "Molmo": r"molmo|olmo",
    "SmolVLM": r"smolvlm|idefics",
    "Reka": r"reka",
    "Cohere": r"command|aya",
    "Nova": r"nova|amazon",
    "Step": r"step(?=-|\d)",
    "ERNIE": r"ernie",
    "Seed": r"doubao|seed(?=-|\d)",
    "Hunyuan": r"hunyuan",
}
_WORDS = re.compile("|".join(f"(?P<{name}>(?<![a-z])(?:{words}))" for name, words in _FAMILIES.items()))


def family(model: str) -> str | None:
    """The maker or line of a model; None where its name does not tell. A fine-tune counts as what its name says first
    of those that are known (``llava-v1.6-mistral`` as Mistral)."""
    found = _WORDS.search(model.lower().rpartition("/")[2]) or _WORDS.search(model.lower())
    return found.lastgroup if found else None


def same_family(one: str, other: str) -> str | None:
    """The family that both are of, or their name where they are the same model; None where they differ or are not
    known."""
    if one == other:
        return family(one) or one
    return found if (found := family(one)) is not None and found == family(other) else None
