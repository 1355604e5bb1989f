"""`--report_to trackio` keeps what it logs on this machine; the tests' network is closed."""

from __future__ import annotations

import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

LOG = """
import sys
from pathlib import Path
from hf_oversample.training.accelerator import new_accelerator
accelerator = new_accelerator(
    Path(sys.argv[1]), gradient_accumulation_steps=1, save_steps=0, report_to="trackio"
)
accelerator.init_trackers("miso", config={"seed": 7})
accelerator.log({"filling": 6.25}, step=3)
accelerator.end_training()
"""
# No connection is made: what a socket would reach beyond this machine is an error.
CLOSED = """
import socket
def refuse(self, address, connect=socket.socket.connect):
    if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith("127."):
        raise SystemExit(f"tried to reach {address}")
    return connect(self, address)
socket.socket.connect = refuse
"""


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("trackio") is None,
    reason='trackio is not installed: pip install "hf_oversample[trackio]"',
)
def test_trackio_logs_to_this_machine(tmp_path: Path) -> None:
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path / "trackio"), "HF_HUB_OFFLINE": "1"}
    answer = subprocess.run(
        [sys.executable, "-c", CLOSED + LOG, str(tmp_path / "out")],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    assert "tried to reach" not in answer.stderr
    (file,) = (tmp_path / "trackio").glob("*.db")
    with sqlite3.connect(file) as database:
        logged = database.execute("SELECT step, metrics FROM metrics").fetchall()
    assert [(step, json.loads(values)) for step, values in logged] == [(3, {"filling": 6.25})]
