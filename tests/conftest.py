"""What every test gets: no network but this machine, caches of its own, and a hub to talk to."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

# Read when the libraries are imported, so set before any test module imports them. Subprocesses
# inherit them.
_CACHE = tempfile.TemporaryDirectory(prefix="hf_oversample_tests_")
os.environ.update(
    HF_HOME=_CACHE.name,
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_XET="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    TOKENIZERS_PARALLELISM="false",
    HF_OVERSAMPLE_ENCODER="scratch",  # runs that name no encoder: a tiny one, as small as they say
    MPLCONFIGDIR=os.path.join(_CACHE.name, "matplotlib"),
)
for _name in ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_CACHE", "HF_DATASETS_CACHE"):
    os.environ.pop(_name, None)

_connect, _connect_ex, _getaddrinfo = (
    socket.socket.connect,
    socket.socket.connect_ex,
    socket.getaddrinfo,
)


def _is_here(host: Any) -> bool:
    if isinstance(host, bytes):
        host = host.decode()
    here = {None, "", "localhost", "0.0.0.0", "::", "::1", socket.gethostname()}
    return host in here or str(host).startswith("127.")


def _refuse(host: Any) -> None:
    raise RuntimeError(f"A test tried to reach {host!r}. Tests reach this machine only.")


def _guarded_connect(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_here(address[0]):
        _refuse(address[0])
    _connect(self, address)


def _guarded_connect_ex(self: socket.socket, address: Any) -> int:
    if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_here(address[0]):
        _refuse(address[0])
    return _connect_ex(self, address)


def _guarded_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
    if not _is_here(host):
        _refuse(host)
    return _getaddrinfo(host, *args, **kwargs)


def pytest_configure(config: pytest.Config) -> None:
    """Closes the network before any test module is imported."""
    socket.socket.connect = _guarded_connect  # type: ignore[method-assign]
    socket.socket.connect_ex = _guarded_connect_ex  # type: ignore[method-assign]
    socket.getaddrinfo = _guarded_getaddrinfo


def pytest_unconfigure(config: pytest.Config) -> None:
    """Opens it again, and removes the caches."""
    socket.socket.connect = _connect  # type: ignore[method-assign]
    socket.socket.connect_ex = _connect_ex  # type: ignore[method-assign]
    socket.getaddrinfo = _getaddrinfo
    _CACHE.cleanup()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Any]:
    """A running hub that clients in this process, and in subprocesses, take for the real one.

    Downloads go to a cache of this test's own; a token that may write is set.
    """
    from huggingface_hub import constants

    from hub_server import TOKEN, running_hub

    with running_hub() as server:
        cache = str(tmp_path / "hub_cache")
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("HF_HUB_CACHE", cache)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        # This process has read them already.
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", cache)
        # transformers keeps a client, with the endpoint of when it was first needed
        monkeypatch.setattr("transformers.utils.hub._hf_api", None, raising=False)
        yield server
