"""`hf oversample …`: the command as an extension of huggingface_hub's `hf`."""

from __future__ import annotations

import sys
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FLAG = "--as-hf-extension"
# `hf extensions update` fetches OWNER/REPO from GitHub, where no name may end with an underscore:
# nobody can put something else there. pip updates what pip has installed.
_OWNER = "installed_by_pip_"
_TOO_OLD = "this huggingface_hub knows no such extensions: pip install -U huggingface_hub"


def register() -> str:
    """
    Enter this installation among the extensions of `hf`, which then runs it as `hf oversample …`.

    Returns:
        What to say: the folder that was written.

    Raises:
        ImportError: a huggingface_hub without extensions.
        FileNotFoundError: the console script is not beside this Python.
    """
    try:
        from huggingface_hub.cli.extensions import EXTENSIONS_ROOT, ExtensionManifest
    except ImportError as error:
        raise ImportError(_TOO_OLD) from error
    script = Path(sys.executable).with_name("hf-oversample")
    if not script.is_file():
        raise FileNotFoundError(f"{script} is not a file: pip install hf_oversample writes it.")
    folder = EXTENSIONS_ROOT.expanduser() / script.name
    values: dict[str, Any] = {
        "owner": _OWNER,
        "repo": script.name,
        "repo_id": f"{_OWNER}/{script.name}",
        "short_name": script.name.removeprefix("hf-"),
        "executable_path": str(script),
        "type": "python",
        "installed_at": datetime.now(UTC),
        "description": "more and better rows of the rare class of a text data set",
    }
    asked = fields(ExtensionManifest)
    known = {field.name for field in asked}  # some versions have no description
    if any(field.default is MISSING and field.name not in values for field in asked):
        raise ImportError(_TOO_OLD)
    manifest = ExtensionManifest(**{name: values[name] for name in values if name in known})
    manifest.save(folder)
    return f"`hf oversample` now runs {script} (written: {folder}; delete it to undo)"
