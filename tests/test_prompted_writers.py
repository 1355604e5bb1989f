"""Instruction models that are prompted: by their chat template, and behind a real HTTP server."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chat_server import chat, running
from hf_oversample import LanguageModelOversampler, Oversampler
from hf_oversample.models.writers import prompts
from hf_oversample.models.writers.checkpoint import load_language_model
from hf_oversample.models.writers.journal import JournaledWriter
from hf_oversample.models.writers.prompts import PromptWriter, answered_text, messages_of
from hf_oversample.models.writers.requests import Refused, WritingRequest
from hf_oversample.models.writers.server import TRIES, ServerError, ServerWriter
from hf_oversample.oversamplers.anchors.plan import COPY
from miso_fixtures import encoder_folder, make_corpus, new_folder
from oversampler_checks import rows_of
from test_language_model_oversampler import corpus
from writer_fixtures import (
    contract_writer_folder,
    little_room,
    pretrained_folder,
    subword_tokenizer,
)

NAMES = ["ham", "spam"]
TEMPLATE = (
    "{% for m in messages %}{{ m['content'].split('\n')[-3][2:][:24] }}{% endfor %}"
    "{% if add_generation_prompt %}\nspam:{% endif %}"
)
REQUESTS = [
    WritingRequest(f"win prize {i}", 0, 1, 0, (i, 0, 0), True, "see you", ("call now", "win !"))
    for i in range(5)
]


def server_writer(url: str, **options: Any) -> ServerWriter:
    values = {"key_variable": "MY_KEY", "seed": 0, "max_length": 32, "temperature": 1.0}
    return ServerWriter(url, "a-model", NAMES, **{**values, "top_p": 0.95, **options})


# ---- prompts and answers


def test_a_prompt_shows_the_class_the_text_its_neighbour_and_examples() -> None:
    (message,) = messages_of(REQUESTS[0], NAMES)
    assert message["role"] == "user"
    content = message["content"]
    for part in ('"spam"', '"ham"', "- win prize 0", "- see you", "- call now", "- win !"):
        assert part in content
    assert "Write one new text" in content
    other = WritingRequest("see you soon", 0, 1, 0, (0, 0, 0), False)
    assert (
        'Change the last text into one of the class "spam"'
        in messages_of(other, NAMES)[0]["content"]
    )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("win a prize", "win a prize"),
        ('Sure! Here is one:\n\n"win a prize"\n', "win a prize"),
        ("```\n- win a prize\n```", "win a prize"),
        ("<think>hm\nhm</think>\n“win”", "win"),
        ('"win" and "lose"s', '"win" and "lose"s'),
        (" \n ", Refused("no answer")),
        ("", Refused("no answer")),
    ],
)
def test_the_text_of_an_answer(answer: str, expected: Any) -> None:
    assert answered_text(answer) == expected


# ---- a server


def test_requests_are_those_of_the_interface_and_the_key_is_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_KEY", "a-secret")
    with running(lambda number, body: (200, {}, chat(f"text {body['seed']}"))) as server:
        writer = server_writer(server.url)
        drafts = writer(REQUESTS)
        assert drafts == server_writer(server.url + "/")(REQUESTS), "by the seed of each request"
        assert drafts != server_writer(server.url, seed=1)(REQUESTS)
    assert len(set(drafts)) == len(REQUESTS)
    first = server.requests[0]
    assert first["path"] == "/v1/chat/completions"
    assert first["headers"]["Authorization"] == "Bearer a-secret"
    assert (first["model"], first["max_tokens"], first["top_p"]) == ("a-model", 32, 0.95)
    assert writer.usage.to_dict() == {
        "requests": 5,
        "prompt_tokens": 55,
        "written_tokens": 15,
        "reused": 0,
    }


@pytest.mark.parametrize(
    "failure",
    [
        (429, {"Retry-After": "7"}, b"{}"),
        (500, {}, b"oops"),
        (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, b""),
        (200, {}, b"<html>garbage</html>"),
        (200, {}, b'{"choices": []}'),
        (200, {}, b""),
        None,
    ],
    ids=["429", "500", "503", "garbage", "no choices", "empty", "nothing"],
)
def test_a_failing_server_is_asked_again_and_then_named(failure: Any) -> None:
    waits: list[float] = []
    with running(lambda n, _: failure if n < 2 else (200, {}, chat("win"))) as server:
        assert server_writer(server.url, pause=waits.append)(REQUESTS[:1]) == ["win"]
    assert waits == ([7.0, 7.0] if failure and failure[1].get("Retry-After") == "7" else [1, 2])
    waits.clear()
    with running(lambda n, _: failure) as server, pytest.raises(ServerError) as error:
        server_writer(server.url, pause=waits.append)(REQUESTS[:1])
    assert len(server.requests) == TRIES == len(waits) + 1
    said = str(error.value)
    assert f"{server.url}/chat/completions" in said
    assert f"{TRIES} times" in said
    for part in ("base_url", "a-model", "MY_KEY", "journal"):
        assert part in said


def test_what_is_refused_for_good_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "a-secret")
    with (
        running(lambda n, _: (401, {}, b'{"error": "no such key"}')) as server,
        pytest.raises(ServerError, match=r"answered 401 .*no such key") as error,
    ):
        server_writer(server.url)(REQUESTS[:1])
    assert len(server.requests) == 1
    assert "a-secret" not in str(error.value)
    moved = (302, {"Location": "http://127.0.0.1:9/v1"}, b"")
    with running(lambda n, _: moved) as server, pytest.raises(ServerError, match="answered 302"):
        server_writer(server.url)(REQUESTS[:1])


def test_answers_beside_a_failing_one_are_kept(tmp_path: Path) -> None:
    """Also where several requests are on their way at once: they were paid for."""
    fails = lambda n, body: (  # noqa: E731
        (400, {}, b"") if "win prize 2" in body["messages"][0]["content"] else (200, {}, chat("a"))
    )
    path = tmp_path / "journal.jsonl"
    with running(fails) as server, pytest.raises(ServerError) as error:
        JournaledWriter(server_writer(server.url, concurrency=5), path, "a", 5)(REQUESTS)
    assert error.value.drafts[2] is None
    kept = [draft for draft in error.value.drafts if draft is not None]
    assert len(path.read_text().splitlines()) == len(kept)
    assert len(kept) == len(server.requests) - 1


def test_empty_and_cut_answers_are_counted_not_fatal() -> None:
    answers = [chat(None), chat(""), chat("a lot", "length"), chat("win")]
    with running(lambda n, _: (200, {}, answers[n])) as server:
        drafts = server_writer(server.url, concurrency=1)(REQUESTS[:4])
    assert drafts == [Refused("no answer")] * 2 + [Refused("unfinished"), "win"]


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://a/v1", "http://", "http://me:pw@here/v1"])
def test_addresses_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base_url is") as error:
        server_writer(url)
    assert "pw" not in str(error.value)


# ---- the journal


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal.jsonl"
    fails = lambda n, _: (200, {}, chat(f"text {n}")) if n < 3 else (400, {}, b"")  # noqa: E731
    with running(fails) as server, pytest.raises(ServerError):
        JournaledWriter(server_writer(server.url, concurrency=1), path, "a", 1)(REQUESTS)
    assert [json.loads(line)["text"] for line in path.read_text().splitlines()] == [
        "text 0",
        "text 1",
        "text 2",
    ]
    with path.open("a") as file:
        file.write('{"request": "cut sh')
    works = lambda n, _: (200, {}, chat(f"new {n}") if n else chat(""))  # noqa: E731
    with running(works) as server:
        writer = JournaledWriter(server_writer(server.url, concurrency=1), path, "a", 1)
        drafts = writer(REQUESTS)
        assert len(server.requests) == 2
        assert writer.usage.reused == 3
        assert JournaledWriter(server_writer(server.url), path, "a", 1)(REQUESTS) == drafts
        assert len(server.requests) == 2, "nothing is asked twice"
        JournaledWriter(server_writer(server.url), path, "another model", 2)(REQUESTS)
        assert len(server.requests) == 7
    assert drafts == ["text 0", "text 1", "text 2", Refused("no answer"), "new 1"]
    path.write_text("[1]\n" + path.read_text())
    with pytest.raises(ValueError, match=r"line 1 of .*journal\.jsonl is no draft"):
        JournaledWriter(server_writer("http://localhost/v1"), path, "a", 1)


# ---- the oversampler


def prompted(url: str, **options: Any) -> LanguageModelOversampler:
    values = {"embedder": str(encoder_folder()), "gate": (), "training_words_only": False}
    return LanguageModelOversampler("a-model", base_url=url, **{**values, "seed": 0, **options})


def test_a_servers_texts_balance_a_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-secret")
    caplog.set_level("DEBUG")
    texts, _ = make_corpus((0, 90), seed=9)
    journal = tmp_path / "journal.jsonl"

    def answer(number: int, body: dict[str, Any]) -> Any:
        return (500, {"Retry-After": "0"}, b"") if number == 1 else (200, {}, chat(texts[number]))

    with running(answer) as server:
        oversampler = prompted(server.url, journal=journal).fit(corpus())
        asked = len(server.requests)
        again = prompted(server.url, journal=journal).fit(corpus())
        assert len(server.requests) == asked, "all from the journal"
    children = rows_of(oversampler.children(corpus()))
    assert len(children) == 40
    assert rows_of(again.children(corpus())) == children
    made = [row["text"] for row in children if row["origin"] == 1]
    assert len(made) > 10
    assert set(made) <= set(texts)
    plan = oversampler.fitted_plan()
    assert len(made) + oversampler.rejections["tries used up"] == (plan.extra["kind"] != COPY).sum()
    assert oversampler.usage_["prompt_tokens"] == 11 * (asked - 1)
    assert oversampler.usage_["seconds"] > 0
    assert again.usage_["reused"] == asked - 1
    oversampler.save_pretrained(tmp_path / "saved")
    assert rows_of(Oversampler.from_pretrained(tmp_path / "saved").children(corpus())) == children
    written = [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".arrow"]
    assert not any(b"a-secret" in content for content in written)
    assert "a-secret" not in caplog.text + repr(oversampler)


def chat_model_folder(template: str | None = TEMPLATE) -> Path:
    folder = new_folder() / "chat"
    shutil.copytree(pretrained_folder(), folder)
    tokenizer = subword_tokenizer()
    chatting = type(tokenizer)(
        tokenizer_object=tokenizer.backend_tokenizer, eos_token="<end>", pad_token="<pad>"
    )
    chatting.chat_template = template
    chatting.save_pretrained(folder)
    return folder


def test_a_chat_template_prompts_a_model_in_this_process(tmp_path: Path) -> None:
    options = {"prompting": True, "gate": (), "max_length": 24, "max_tries": 2, "seed": 0}
    folder = str(chat_model_folder())
    oversampler = LanguageModelOversampler(folder, **options).fit(corpus())
    children = rows_of(oversampler.children(corpus()))
    assert len(children) == 40
    assert oversampler.rejections["kept"] > 0
    assert oversampler.training_ == {}
    assert oversampler.usage_["written_tokens"] > 0
    again = LanguageModelOversampler(folder, **options, journal=tmp_path / "j").fit(corpus())
    assert rows_of(again.children(corpus())) == children
    other = LanguageModelOversampler(folder, **{**options, "seed": 1}).fit(corpus())
    assert rows_of(other.children(corpus())) != children


def test_prompts_that_cannot_work_are_named() -> None:
    bare = LanguageModelOversampler(str(pretrained_folder()), prompting=True, max_length=24)
    with pytest.raises(ValueError, match="has no chat template, so that it cannot be asked"):
        bare.fit(corpus())
    with pytest.raises(ValueError, match="but no embedder"):
        LanguageModelOversampler("a-model", base_url="http://localhost:1/v1")
    with pytest.raises(ValueError, match="is not trained: leave out"):
        prompted("http://localhost:1/v1", training={"rank": 4})
    with pytest.raises(ValueError, match="one of trained adapters, which are not prompted"):
        LanguageModelOversampler(str(contract_writer_folder()), prompting=True)


def test_prompts_longer_than_the_model_are_counted() -> None:
    model, tokenizer = load_language_model(str(chat_model_folder()))
    values = {"seed": 0, "tree": None, "temperature": 1.0, "top_k": 50, "top_p": 0.95}
    writer = PromptWriter(model, tokenizer, "it", NAMES, max_length=60, **values)
    assert writer(REQUESTS) == [Refused("too long")] * len(REQUESTS)
    writer = PromptWriter(model, tokenizer, "it", NAMES, max_length=2, **values)
    assert Refused("unfinished") in writer(REQUESTS)


def test_answers_are_the_same_where_memory_has_room_for_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, tokenizer = load_language_model(str(chat_model_folder()))
    values = {"seed": 0, "tree": None, "temperature": 1.0, "top_k": 50, "top_p": 0.95}
    writer = PromptWriter(model, tokenizer, "it", NAMES, max_length=12, **values)
    requests = [replace(REQUESTS[0], key=(row, 0, 0)) for row in range(4)]
    expected = writer(requests)
    refused = little_room(monkeypatch, prompts, 1)
    assert writer(requests) == expected
    assert refused == [4, 2]


def test_journals_of_adapters_are_used_again(tmp_path: Path) -> None:
    options = {"max_length": 32, "max_tries": 2, "gate": (), "seed": 0}
    fits = [
        LanguageModelOversampler(str(contract_writer_folder()), journal=tmp_path / "j", **options)
        for _ in range(2)
    ]
    one, two = (oversampler.fit(corpus()) for oversampler in fits)
    assert rows_of(one.children(corpus())) == rows_of(two.children(corpus()))
    assert one.usage_["requests"] > 0 == one.usage_["reused"]
    assert two.usage_["requests"] == 0
    assert two.usage_["reused"] == one.usage_["requests"]
    assert np.all(one.parents_ == two.parents_)
