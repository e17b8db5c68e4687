"""Control plane: is an endpoint there, is the key right, which model does it serve?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx
import orjson

from lmms_fast.endpoints.classify import message
from lmms_fast.endpoints.load import parse_load
from lmms_fast.endpoints.presets import PRESETS, Endpoint, Profile, find_key
from lmms_fast.endpoints.redact import redact
from lmms_fast.errors import EndpointError, Unreachable
from lmms_fast.types import Load


async def connect(profile: Profile, model: str | None, api_key: str | None) -> Endpoint:
    """An endpoint that was reached and knows the model. Raises EndpointError with one sentence if not.

    Without `model` the server must serve exactly one.
    """
    served = await served_models(profile, api_key)
    if served is None and model is None:
        raise EndpointError(f"{profile.name}: the server does not list its models; name one with --model.")
    if model is None:
        if served is None or len(set(served.values())) != 1:
            names = ", ".join(list(served or ())[:20])
            raise EndpointError(f"{profile.name} serves {len(served or ())} models; choose with --model: {names}.")
        model = next(iter(served))
    # Listing is advisory for hosted APIs (aliases, previews); a server of our own kind lists all it answers to.
    elif served is not None and model not in served and len(served) <= 20:
        raise EndpointError(f"{profile.name} does not serve '{model}'; it serves: {', '.join(served)}.")
    return Endpoint(profile.name, profile, model, api_key)


async def connect_all(
    profiles: Sequence[Profile], model: str | None, key_env: str | None
) -> tuple[list[Endpoint], list[tuple[Profile, Unreachable]]]:
    """Those that were reached, and those that were not with the reason, each in the order given. Raises EndpointError.
    """
    keys = [find_key(profile, key_env) for profile in profiles]
    found = await asyncio.gather(*(connect(profile, model, key) for profile, key in zip(profiles, keys, strict=True)),
                                 return_exceptions=True)  # fmt: skip
    reached: list[Endpoint] = []
    missing: list[tuple[Profile, Unreachable]] = []
    for profile, one in zip(profiles, found, strict=True):
        if isinstance(one, Unreachable):
            missing.append((profile, one))
        elif isinstance(one, BaseException):
            raise one
        else:
            reached.append(one)
    return reached, missing


async def served_models(profile: Profile, api_key: str | None) -> dict[str, str] | None:
    """Names from ``/models``, each with the model behind it (aliases share one); None where there is no such list.

    Raises Unreachable, or EndpointError for a wrong key.
    """
    url = f"{profile.base_url}/models"
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        # Certificates take 26 ms to load, and of our own servers there may be hundreds, without any.
        async with httpx.AsyncClient(timeout=20, verify=url.startswith("https:")) as client:
            answer = await client.get(url, headers=headers)
    except httpx.TimeoutException:
        raise Unreachable(f"{profile.name}: no answer from {url} within 20 s; is the server up?") from None
    except httpx.HTTPError as error:
        why = redact(str(error), api_key)
        raise Unreachable(f"{profile.name}: cannot reach {url} ({why}); is the server up, the URL right?") from None
    content = redact(answer.content, api_key)
    if answer.status_code in (401, 403):
        names = " or ".join(profile.key_env)
        how = f"the key was refused ({message(content)})" if api_key else "it wants a key and none was found"
        raise EndpointError(f"{profile.name}: {how}; set {names}, or name another variable with --api-key-env.")
    if answer.status_code >= 500:
        raise Unreachable(f"{profile.name}: {url} answers HTTP {answer.status_code}: {message(content)}")
    return _names(content) if answer.status_code == httpx.codes.OK else None


async def read_load(client: httpx.AsyncClient, endpoint: Endpoint) -> Load | None:
    """How busy a server says it is; None where it does not say. Raises httpx.HTTPError when it does not answer."""
    if endpoint.profile.name in PRESETS:
        return None
    answer = await client.get(endpoint.profile.base_url.removesuffix("/v1") + "/metrics", headers=endpoint.headers)
    return parse_load(answer.text) if answer.status_code == 200 else None


def _names(content: bytes) -> dict[str, str] | None:
    try:
        listed = orjson.loads(content)["data"]
        return {str(item["id"]): str(item.get("root") or item["id"]) for item in listed}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
