"""The Space's app: its work without a page, and the page in a real browser."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

import chromium
from miso_fixtures import make_corpus, trained_generator_folder

SPACE = Path(__file__).resolve().parent.parent / "hub_cards" / "space"
has_gradio = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None,
    reason='gradio is not installed: pip install "hf_oversample[space]"',
)


def corpus_csv() -> str:
    texts, labels = make_corpus((24, 10))
    names = ("ham", "spam")
    lines = [f"{names[code]},{text}" for text, code in zip(texts, labels, strict=True)]
    return "\n".join(["label,text", *lines])


def test_the_folder_is_a_space() -> None:
    text = (SPACE / "README.md").read_text(encoding="utf-8")
    head = yaml.safe_load(text.split("---")[1])
    assert head["sdk"] == "gradio"
    assert (SPACE / head["app_file"]).is_file()
    assert len(head["short_description"]) <= 60  # the Hub's limit
    needed = (SPACE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert {re.split(r"[\[<>=]", line)[0] for line in needed} == {"hf_oversample", "gradio"}
    assert "mcp_server=True" in (SPACE / "app.py").read_text(encoding="utf-8")


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setenv("GENERATORS", str(trained_generator_folder()))
    spec = importlib.util.spec_from_file_location("space_app", SPACE / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@has_gradio
def test_rows_anchors_and_a_file_without_the_page(app: ModuleType) -> None:
    rows = app.read_rows(corpus_csv())
    assert len(rows) == 34
    table = app.difficult_rows(rows, "spam")
    assert len(table) == 10
    shares = [line[1] for line in table]
    assert shares == sorted(shares, reverse=True)
    names = sorted({"ham", "spam"})
    assert names == sorted({one["label"] for one in rows})
    text = app.balanced_rows(rows, [{"text": "x", "label": "spam", "parent": 3}], [0])
    lines = [json.loads(line) for line in text.splitlines()]
    assert (len(lines), lines[-1]["origin"], lines[-1]["parent"]) == (35, "synthetic", 3)


@has_gradio
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2", "no column text or label"),
        ("text,label\nhi,", "Line 2 has no text or no label"),
        ("text,label\na,x\nb,x\nc,x", "of two classes"),
    ],
)
def test_what_is_no_csv_of_rows_is_told(app: ModuleType, text: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        app.read_rows(text)


@has_gradio
@pytest.mark.parametrize("name", ["", "/etc", "../secret", "trained"])
def test_nobody_looks_around_on_the_machine(app: ModuleType, name: str) -> None:
    with pytest.raises(Exception, match="Choose a generator of the list"):
        app.make_anchors(app.read_rows(corpus_csv()), name, "spam", 3)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the app keeps what it lets people download."""
    return tmp_path_factory.mktemp("space")


@pytest.fixture(scope="module")
def server(files: Path) -> Iterator[str]:
    """The app as a Space starts it, on a free port of this machine."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "GENERATORS": str(trained_generator_folder()),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_TEMP_DIR": str(files),
    }
    address = f"http://127.0.0.1:{port}"
    with (files / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, SPACE / "app.py"], env=environment, stdout=log, stderr=log
        )
        try:
            for _ in range(600):
                assert process.poll() is None, (files / "log").read_text()
                try:
                    urlopen(address, timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.5)
            yield address
        finally:
            process.kill()
            process.wait()


@has_gradio
@pytest.mark.slow
def test_an_agent_uses_the_same_steps_as_tools(server: str) -> None:
    """Over the MCP server, with the client of the protocol's own package."""
    import asyncio

    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    rows = [
        dict(zip(("label", "text"), line.split(",", 1), strict=True))
        for line in corpus_csv().splitlines()[1:]
    ]
    spam = sum(one["label"] == "spam" for one in rows)

    async def talk() -> dict[str, Any]:
        async with (
            streamable_http_client(f"{server}/gradio_api/mcp/") as streams,
            ClientSession(streams[0], streams[1]) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools

            async def call(name: str, **values: Any) -> tuple[bool, str]:
                answer = await session.call_tool(name, values)
                return answer.isError, answer.content[0].text

            return {
                "tools": {tool.name: tool.description for tool in tools},
                "difficult": await call("difficult_rows", rows=rows, rare="spam"),
                "made": await call(
                    "make_anchors",
                    rows=rows,
                    generator=str(trained_generator_folder()),
                    rare="spam",
                    number=2,
                ),
                "class": await call("difficult_rows", rows=rows, rare="eggs"),
                "row": await call("difficult_rows", rows=[*rows, {"text": "x"}], rare="spam"),
                "folder": await call(
                    "make_anchors", rows=rows, generator="/etc", rare="spam", number=2
                ),
                "place": await call("balanced_rows", rows=rows, made=[], accepted=[3]),
            }

    told = asyncio.run(talk())
    assert {"read_rows", "difficult_rows", "make_anchors", "balanced_rows"} <= set(told["tools"])
    assert all(told["tools"].values())
    failed, table = told["difficult"]
    assert not failed
    assert len(ast.literal_eval(table)) == spam  # gradio writes lists as Python does
    failed, made = told["made"]
    assert not failed
    assert {one["label"] for one in ast.literal_eval(made)} <= {"spam"}
    for name, message in {
        "class": "No row is of the class 'eggs'; the classes are ham, spam.",
        "row": "Row 34 has no text or no label.",
        "folder": "Choose a generator of the list",
        "place": "There is no new text 3: 0 were made",
    }.items():
        failed, text = told[name]
        assert failed
        assert message in text


FILL = """(text => {
  const box = document.querySelector('textarea');
  Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set.call(box, text);
  box.dispatchEvent(new Event('input', { bubbles: true }));
})"""


@has_gradio
@pytest.mark.slow
@pytest.mark.skipif(chromium.installed() is None, reason=chromium.MISSING)
def test_the_page_from_rows_to_a_download(server: str, files: Path, tmp_path: Path) -> None:
    path = chromium.installed()
    assert path is not None
    with chromium.running(path, tmp_path / "browser") as browser:
        page = browser.open(server, width=1280)

        def until(script: str) -> None:
            for _ in range(300):
                if page.evaluate(script):
                    return
                time.sleep(0.2)
            raise AssertionError(f"never: {script}; {page.evaluate('document.body.innerText')}")

        until("!!document.querySelector('#read') && !!document.querySelector('textarea')")
        page.evaluate(f"{FILL}({json.dumps(corpus_csv())})")
        page.press("#read", "Enter")
        until("document.querySelector('#told').innerText.includes('34 rows')")
        page.press("#make", "Enter")
        until("document.querySelector('#passed').innerText.includes('passed the gate')")
        made = page.evaluate("document.querySelectorAll('#accepted input').length")
        assert made > 0
        page.press("#accepted input", " ")  # the first one is rejected
        page.press("#write", "Enter")
        until("document.querySelector('#kept').innerText.includes('1 rejected')")
        assert f"{made - 1} accepted" in page.evaluate("document.querySelector('#kept').innerText")
        (file,) = files.rglob("balanced.jsonl")
        assert len(file.read_text(encoding="utf-8").splitlines()) == 34 + made - 1
