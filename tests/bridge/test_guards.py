"""Pictures that remember their bytes; scoring code and the network. Needs no other evaluator."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from typing import Any

import pytest
from PIL import ExifTags, Image, ImageDraw, ImageFile

from lmms_fast.bridge import network
from lmms_fast.bridge.pictures import encoded, remembering


def jpeg() -> bytes:
    """A small photo, of noise."""
    out = io.BytesIO()
    Image.effect_noise((24, 16), 60).convert("RGB").save(out, "JPEG")
    return out.getvalue()


def documents(**columns: Any) -> Any:
    """A dataset with a column of one picture and one of several."""
    import datasets

    features = datasets.Features({"image": datasets.Image(), "images": datasets.List(datasets.Image()),
                                  "text": datasets.Value("string")})  # fmt: skip
    rows = {"image": [{"bytes": columns["image"], "path": None}], "text": ["x"],
            "images": [[{"bytes": one, "path": None} for one in columns["images"]]]}  # fmt: skip
    return remembering(datasets.Dataset.from_dict(rows, features=features))


def test_unchanged_pictures_are_sent_as_stored() -> None:
    """As they come, and after `convert`, alone and in lists; others are PNG of what they have become."""
    one, two = jpeg(), jpeg()
    doc = documents(image=one, images=[two, one])[0]
    assert encoded(doc["image"]) == encoded(doc["image"].convert("RGB")) == encoded(doc["image"].copy()) == one
    assert [encoded(picture.convert("RGB")) for picture in doc["images"]] == [two, one]
    smaller = doc["image"].resize((12, 8))
    for changed in (smaller, doc["image"].convert("L"), doc["image"].rotate(180), Image.new("RGB", (2, 2))):
        with Image.open(io.BytesIO(encoded(changed))) as sent:
            assert (sent.format, sent.mode, sent.size) == ("PNG", changed.mode, changed.size)
            assert sent.tobytes() == changed.tobytes()


def test_pictures_that_are_only_passed_on_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding is most of the work; a mode, a size, a conversion to the mode it has do not need it."""
    doc = documents(image=jpeg(), images=[])[0]
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decoded"))
    picture = doc["image"]
    assert picture.size == (24, 16)
    assert encoded(picture.convert("RGB").convert("RGB")).startswith(b"\xff\xd8")


def test_a_picture_that_lies_on_its_side_is_sent_upright() -> None:
    """As `datasets` gives it to lmms-eval."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    out = io.BytesIO()
    Image.effect_noise((24, 16), 60).convert("RGB").save(out, "JPEG", exif=exif)
    doc = documents(image=out.getvalue(), images=[])[0]
    with Image.open(io.BytesIO(encoded(doc["image"].convert("RGB")))) as sent:
        assert sent.size == (16, 24)
        assert sent.tobytes() == doc["image"].tobytes()


def test_a_picture_that_is_painted_on_is_not_the_stored_one() -> None:
    """Painted into the copy, though it remembers where it came from."""
    doc = documents(image=jpeg(), images=[])[0]
    copied = doc["image"].convert("RGB")
    copied.putpixel((0, 0), (255, 0, 255))
    assert encoded(doc["image"]).startswith(b"\xff\xd8")
    itself = doc["image"]
    ImageDraw.Draw(itself).point((0, 0), (255, 0, 255))
    for painted in (copied, itself):
        with Image.open(io.BytesIO(encoded(painted))) as sent:
            assert sent.format == "PNG"
            assert sent.getpixel((0, 0)) == (255, 0, 255)


def test_what_is_no_dataset_stays_as_it_is() -> None:
    """A list of documents, which a task may have made."""
    docs = [{"x": 1}]
    assert remembering(docs) is docs


def asks_directly() -> None:
    """Names a client itself."""
    import openai

    openai.OpenAI()


class Judge:
    """Its method asks."""

    def ask(self) -> None:
        """By a client."""
        asks_directly()


def asks_by_way_of_others(docs: list[Any]) -> list[None]:
    """Through a class of the same module, inside of a comprehension."""
    return [Judge().ask() for _ in docs]


def asks_nobody(text: str) -> str:
    """Plain code."""
    return text.strip().lower()


@pytest.mark.parametrize(("code", "client"), [(asks_directly, "openai"), (asks_by_way_of_others, "openai"),
                                              (asks_nobody, None), (None, None), (len, None)])  # fmt: skip
def test_clients_in_code(code: Any, client: str | None) -> None:
    """Found before anything is sent."""
    assert network.client_in(code) == client


def reach(host: str) -> None:
    """As a client would."""
    with socket.socket() as one:
        one.settimeout(0.2)
        one.connect((host, 9))


def test_connections_of_scoring_code_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By address and by name, in threads too, at once where code tries again, and in the end where it forgives all."""
    monkeypatch.delenv(network.ALLOW, raising=False)

    def ask(host: str) -> None:
        socket.getaddrinfo(host, 9) if host[0].isalpha() else reach(host)

    def quietly(host: str) -> None:
        with contextlib.suppress(BaseException):
            ask(host)
        assert network.met()

    def again_and_again(host: str) -> None:
        while True:
            with contextlib.suppress(Exception):
                ask(host)

    def in_a_thread(host: str) -> None:
        thread = threading.Thread(target=quietly, args=[host])
        thread.start()
        thread.join()

    for host in ("203.0.113.7", "judge.example"):
        for way in (ask, quietly, again_and_again, in_a_thread):
            with pytest.raises(network.AskedNetwork, match=f"scoring code wants to reach {host}"), network.watched("t"):
                way(host)
    assert not network.met()


def test_this_machine_and_what_the_user_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is no judge elsewhere; mistakes of the code come through; with the user's word nothing is refused."""
    monkeypatch.delenv(network.ALLOW, raising=False)
    with network.watched("t"), pytest.raises(ConnectionRefusedError):
        reach("127.0.0.1")
    with pytest.raises(KeyError), network.watched("t"):
        raise KeyError("a mistake")
    monkeypatch.setenv(network.ALLOW, "1")
    with network.watched("t"):
        assert not network.met()
    assert network.allowed()
