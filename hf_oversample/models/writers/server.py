"""Texts by an instruction model behind any server with OpenAI's interface for chats."""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

from hf_oversample.models.writers.decoding import Usage
from hf_oversample.models.writers.prompts import answered_text, messages_of
from hf_oversample.models.writers.requests import Draft, PartlyWrittenError, Refused, WritingRequest
from hf_oversample.numeric import noise

TRIES = 6
"""How often a request is sent before the run ends."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0


class ServerError(PartlyWrittenError):
    """A server that did not answer as it should, after all tries; `drafts` are those of the call's
    other requests."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        """None: the key would go along to another server."""


class ServerWriter:
    """
    Asks a model by `POST {base_url}/chat/completions`.

    Answers of 408, 409, 429 and 500 and above, answers that are no JSON of the right shape, and
    none at all are asked for again, with growing waits (or as long as `Retry-After` says).

    Args:
        base_url: such as "http://localhost:8000/v1".
        model: its name there.
        class_names: names of the classes, by code.
        key_variable: the environment variable with the key, if the server wants one. It is read
            when a request is sent, and written nowhere.
        seed: sent with each request, hashed with its key; a server may ignore it.
        max_length: tokens of an answer at most.
        temperature, top_p: of the drawing.
        timeout: seconds for an answer.
        concurrency: requests at a time.
        pause: called with the seconds before a further try.

    Raises:
        ValueError: a `base_url` that is no address.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        class_names: Sequence[str],
        *,
        key_variable: str,
        seed: int,
        max_length: int,
        temperature: float,
        top_p: float,
        timeout: float = 120.0,
        concurrency: int = 4,
        pause: Callable[[float], None] = time.sleep,
    ):
        check_base_url(base_url)
        self.url = base_url.rstrip("/") + "/chat/completions"
        self.model, self.class_names, self.key_variable = model, list(class_names), key_variable
        self.seed, self.max_length = seed, max_length
        self.temperature, self.top_p = temperature, top_p
        self.timeout, self.concurrency, self.pause = timeout, concurrency, pause
        self.usage = Usage()
        self._opener = urllib.request.build_opener(_NoRedirects())

    def __call__(self, requests: Sequence[WritingRequest]) -> list[Draft]:
        """
        Drafts, in the requests' order; an empty answer is refused as "no answer", one that was cut
        as "unfinished".

        Raises:
            ServerError: a request was refused, or not answered as it should after all tries.
        """
        with ThreadPoolExecutor(self.concurrency) as pool:
            sent = [pool.submit(self._answer, request) for request in requests]
            wait(sent, return_when=FIRST_EXCEPTION)
            for future in sent:  # after a failure those that have not begun
                future.cancel()
        drafts: list[Draft | None] = []
        failure: ServerError | None = None
        for future in sent:
            error = None if future.cancelled() else future.exception()
            if error is not None and not isinstance(error, ServerError):
                raise error
            failure = failure or error
            if future.cancelled() or error is not None:
                drafts.append(None)
                continue
            draft, prompt_tokens, written_tokens = future.result()
            drafts.append(draft)
            self.usage.requests += 1
            self.usage.prompt_tokens += prompt_tokens
            self.usage.written_tokens += written_tokens
        if failure is not None:
            failure.drafts = drafts
            raise failure
        return [draft for draft in drafts if draft is not None]

    def _answer(self, request: WritingRequest) -> tuple[Draft, int, int]:
        seed = int(noise.hash_counters(self.seed, noise.stream("server"), *request.key))
        body = {
            "model": self.model,
            "messages": messages_of(request, self.class_names),
            "max_tokens": self.max_length,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": seed % 2**31,
        }
        seconds, said = FIRST_WAIT, ""
        for number in range(TRIES):
            if number:
                self.pause(seconds)
            seconds = min(LONGEST_WAIT, FIRST_WAIT * 2**number)
            try:
                return self._parsed(self._sent(body))
            except urllib.error.HTTPError as error:
                said = f"answered {error.code} {error.reason}"
                if error.code not in (408, 409, 429) and error.code < 500:
                    detail = " ".join(error.read(400).decode("utf-8", "replace").split())
                    raise ServerError(f"{self.url} {said}: {detail}. {self._advice()}") from None
                stated = error.headers.get("Retry-After")
                seconds = min(LONGEST_WAIT, _seconds(stated, seconds))
            except (OSError, http.client.HTTPException) as error:
                said = f"did not answer ({getattr(error, 'reason', None) or error!r})"
            except ValueError as error:
                said = f"gave an answer that is not one of a chat ({error})"
        raise ServerError(f"{self.url} {said}, {TRIES} times. {self._advice()}")

    def _advice(self) -> str:
        return (
            f"Check base_url, the model's name ({self.model}) and the key in the environment "
            f"variable {self.key_variable}, or wait, and run again: answers that were written to "
            "the journal are not asked for again."
        )

    def _sent(self, body: dict[str, Any]) -> bytes:
        headers = {"Content-Type": "application/json"}
        key = os.environ.get(self.key_variable)
        if key:
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)
        with self._opener.open(request, timeout=self.timeout) as answer:
            content: bytes = answer.read()
            return content

    def _parsed(self, content: bytes) -> tuple[Draft, int, int]:
        try:
            told = json.loads(content)
            choice = told["choices"][0]
            text = choice["message"]["content"]
            usage = told.get("usage") or {}
            tokens = [int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            shown = " ".join(content[:80].decode("utf-8", "replace").split())
            raise ValueError(f"{shown!r} …" if content else "it is empty") from None
        if choice.get("finish_reason") == "length":
            return Refused("unfinished"), tokens[0], tokens[1]
        draft = answered_text(text) if isinstance(text, str) else Refused("no answer")
        return draft, tokens[0], tokens[1]


def check_base_url(base_url: str) -> None:
    """Raise ValueError where an address has no scheme or host, or holds a password."""
    parts = urllib.parse.urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValueError(
            f"base_url is {parts._replace(netloc=parts.hostname or '').geturl()!r}; it is an "
            "address such as http://localhost:8000/v1, without a user or a password: the key is "
            "read from the environment"
        )


def _seconds(stated: str | None, otherwise: float) -> float:
    """What `Retry-After` says; it may be a date, which is not read."""
    try:
        return max(0.0, float(stated)) if stated is not None else otherwise
    except ValueError:
        return otherwise
