"""What a user types for `--endpoint` → an address, where its key is, and the provider's habits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from lmms_fast.errors import UsageError


@dataclass(frozen=True, slots=True)
class Profile:
    """How a provider's chat API differs from the common denominator."""

    name: str
    base_url: str
    key_env: tuple[str, ...]
    """Environment variables that may hold the key, first found wins."""
    tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    sends_seed: bool = True
    """Gemini answers `seed` with 400."""
    first_limit: int = 8
    """Requests in flight that `--concurrency auto` starts from, and the most it goes to."""
    most: int = 256


LOCAL = "local"
PRESETS: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("openai", "https://api.openai.com/v1", ("OPENAI_API_KEY",), "max_completion_tokens"),
        Profile(
            "gemini",
            "https://generativelanguage.googleapis.com/v1beta/openai",
            ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
            sends_seed=False,
        ),
        Profile("anthropic", "https://api.anthropic.com/v1", ("ANTHROPIC_API_KEY",), sends_seed=False),
        Profile("openrouter", "https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",)),
        Profile("together", "https://api.together.xyz/v1", ("TOGETHER_API_KEY",)),
        Profile("fireworks", "https://api.fireworks.ai/inference/v1", ("FIREWORKS_API_KEY",)),
        Profile("groq", "https://api.groq.com/openai/v1", ("GROQ_API_KEY",)),
        Profile("mistral", "https://api.mistral.ai/v1", ("MISTRAL_API_KEY",)),
        Profile("xai", "https://api.x.ai/v1", ("XAI_API_KEY",)),
        Profile("deepinfra", "https://api.deepinfra.com/v1/openai", ("DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN")),
        Profile("dashscope", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", ("DASHSCOPE_API_KEY",)),
    )
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that can be asked."""

    name: str
    """As the user typed it; recorded as served_by."""
    profile: Profile
    model: str
    """The name the server knows the model by."""
    api_key: str | None = field(default=None, repr=False)
    keeps_media: bool = False
    """A medium it was sent can be named instead of sent again."""

    @property
    def chat_url(self) -> str:
        """Where requests go."""
        return f"{self.profile.base_url}/chat/completions"

    @property
    def headers(self) -> dict[str, str]:
        """The key as the API wants it."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}


def resolve(text: str) -> Profile:
    """The profile of a preset's name or a URL, with or without ``/v1`` or ``/chat/completions``.

    Raises UsageError for anything else.
    """
    if text in PRESETS:
        return PRESETS[text]
    url = text.rstrip("/")
    if "://" not in url and (url.startswith(("localhost", "127.")) or "." in url.split("/")[0]) and ":" in url:
        url = f"http://{url}"
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError("--endpoint: a URL must not carry a key or password, nor ? or #; use --api-key-env NAME.")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UsageError(
            f"--endpoint {text}: neither 'local', a URL, nor a preset; presets: {', '.join(PRESETS)}."
        )
    url = url.removesuffix("/chat/completions").rstrip("/")
    if not urlsplit(url).path:
        url += "/v1"
    return Profile(text, url, ("LMMS_FAST_API_KEY", "OPENAI_API_KEY"), first_limit=16, most=512)


def find_key(profile: Profile, chosen: str | None, environ: Mapping[str, str] = os.environ) -> str | None:
    """The key from the environment. `chosen` is the variable named by --api-key-env.

    Raises UsageError when the chosen variable, or the only one a preset knows, is not set, or holds what is no key.
    """
    names = (chosen,) if chosen else profile.key_env
    for name in names:
        if key := environ.get(name, "").strip():
            # HTTP libraries show a header that they cannot send.
            if not (key.isascii() and key.isprintable()):
                raise UsageError(f"{name}: the key has a line break or another character of no key; copy it again.")
            return key
    if chosen:
        raise UsageError(f"--api-key-env {chosen}: that environment variable is not set.")
    if profile.name in PRESETS:
        raise UsageError(f"--endpoint {profile.name}: set {' or '.join(names)} to your key, or --api-key-env NAME.")
    return None
