"""The state of an oversampler: its values, pickling, and saving to a folder or the Hub.

A saved oversampler is config.json (class, versions, constructor's values, what was fitted),
state.safetensors (labels, plan, the method's arrays) and, for methods that hold models, their own
folders beside them. Nothing in it is code or a pickle.
"""

from __future__ import annotations

import importlib
import inspect
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

import hf_oversample
from hf_oversample.data.whole_files import writing_to
from hf_oversample.models.loading import load_arrays, write_sums
from hf_oversample.oversamplers import MULTI_LABEL_OVERSAMPLERS, OVERSAMPLERS
from hf_oversample.oversamplers.plan import Plan
from hf_oversample.oversamplers.saved_files import (
    CONFIG_FILE,
    check_files,
    check_fitted,
    checked_array,
    checked_places,
    move_into,
    read_config,
    restored_plan,
    told_of,
    under,
)

if TYPE_CHECKING:
    from datasets import Features
    from huggingface_hub import ModelCard

FORMAT = 1
STATE_FILE = "state.safetensors"
_FITTED_VALUES = (
    "label_column_",
    "text_column_",
    "embedding_column_",
    "label_values_",
    "label_names_",
    "digest_",
)
COLUMNS = ("label_column", "text_column", "embedding_column")
_OPTIONAL_ARRAYS = ("row_keys", "center", "copied_rows", "copied_values")


class FittedState:
    """What an oversampler holds, and how it is pickled and saved.

    ``code_version`` is part of the pickled state: ``datasets`` hashes a class of an installed
    package by its name only, and would return rows cached from older code.
    """

    code_version: ClassVar[int] = 1
    _lazy_attributes: ClassVar[tuple[str, ...]] = ()

    plan_: Plan | None = None
    label_column_: str
    text_column_: str | None
    embedding_column_: str | None
    label_values_: list[Any]
    label_names_: list[str]
    labels_: np.ndarray
    row_keys_: np.ndarray | None = None
    center_: np.ndarray | None = None
    copied_rows_: np.ndarray | None = None
    copied_values_: np.ndarray | None = None
    features_: Features
    digest_: str

    # ---- what a method may define ---------------------------------------------------------------

    def _state_arrays(self) -> dict[str, np.ndarray]:
        """Fitted arrays of the method's own, to save."""
        return {}

    def _load_state_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Take back what :meth:`_state_arrays` gave."""

    def _state_config(self) -> dict[str, Any]:
        """Fitted values of the method's own that JSON can hold, to save."""
        return {}

    def _load_state_config(self, config: dict[str, Any]) -> None:
        """Take back what :meth:`_state_config` gave."""

    def _save_files(self, folder: Path) -> None:
        """Save whole models as sub-folders of ``folder`` (a scratch folder, moved afterwards)."""

    def _load_files(self, folder: Path) -> None:
        """Take back what :meth:`_save_files` wrote."""

    # ---- values and pickling --------------------------------------------------------------------

    def fitted_plan(self) -> Plan:
        """The plan.

        Raises:
            RuntimeError: not fitted.
        """
        if self.plan_ is None:
            raise RuntimeError(
                f"this {type(self).__name__} is not fitted: call fit(dataset) first, or "
                "balance(dataset), which does"
            )
        return self.plan_

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's values, by name.

        Args:
            deep: as scikit-learn asks; without effect, since no value has values of its own.
        """
        names: list[str] = []
        for parent in type(self).__mro__:
            if "__init__" not in vars(parent):
                continue
            parameters = list(inspect.signature(vars(parent)["__init__"]).parameters.values())[1:]
            names += [one.name for one in parameters if one.kind is not one.VAR_KEYWORD]
            if all(one.kind is not one.VAR_KEYWORD for one in parameters):
                break  # a constructor with **params hands them to its base's
        return {name: getattr(self, name) for name in dict.fromkeys(names)}

    def set_params(self, **params: Any) -> Self:
        """Change some of the constructor's values, all of which are checked again.

        What was fitted is forgotten, since other values would have given another plan: fit again,
        or call ``balance``, which does. (scikit-learn's estimators keep it; here it would be
        rows of the old values under a description of the new ones.) Without arguments, nothing is
        changed. Where a value is refused, nothing is changed either.

        Returns:
            self.

        Raises:
            ValueError: an unknown name; the known ones are listed.
            TypeError, ValueError: as the constructor.
        """
        if not params:
            return self
        values = self.get_params()
        if unknown := sorted(set(params) - set(values)):
            raise ValueError(
                f"{type(self).__name__} has no parameters {unknown}; it has {sorted(values)}"
            )
        self.__dict__ = type(self)(**{**values, **params}).__dict__
        return self

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({values})"

    def __getstate__(self) -> dict[str, Any]:
        # Sorted, and with the code's version: this is what datasets hashes for its cache.
        state = {
            name: value
            for name, value in sorted(self.__dict__.items())
            if name not in self._lazy_attributes and name != "_schema"
        }
        state["_code"] = f"{hf_oversample.__version__}/{self.code_version}"
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({name: value for name, value in state.items() if name != "_code"})
        for name in self._lazy_attributes:
            self.__dict__[name] = None

    # ---- saving ---------------------------------------------------------------------------------

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Save to a folder, which is made, or whose files of the same names are replaced.

        A callable ``sampling_strategy`` is saved as the dict of final counts that it gave.

        Raises:
            RuntimeError: not fitted.
            TypeError: a constructor's value that JSON cannot hold.
            OSError: the disk is full or may only be read; the message names the folder.
        """
        from safetensors.numpy import save_file

        target = Path(save_directory)
        if target.exists() and not target.is_dir():
            raise NotADirectoryError(f"{target} is a file: give a folder to save to")
        config, arrays = self._config(), self._arrays()
        with writing_to(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
            try:
                self._save_files(scratch)
                save_file(arrays, scratch / STATE_FILE, metadata={"format": "np"})
                (scratch / CONFIG_FILE).write_text(
                    json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
                )
                write_sums(scratch)
                move_into(scratch, target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    def _config(self) -> dict[str, Any]:
        self.fitted_plan()
        params = self.get_params()
        strategy = params["sampling_strategy"]
        if callable(strategy):
            strategy = self._final_counts()
        if isinstance(strategy, Mapping):  # JSON would turn integer keys into strings
            strategy = {"final_counts": [[_plain(key), int(n)] for key, n in strategy.items()]}
        params["sampling_strategy"] = strategy
        for name, value in params.items():
            try:
                restored = json.loads(json.dumps(value))
            except (TypeError, ValueError) as error:
                raise TypeError(
                    f"{name}={value!r} cannot be saved as JSON ({error}): give plain values"
                ) from error
            params[name] = restored
        return {
            "oversampler": type(self).__name__,
            "format": FORMAT,
            "library": f"hf_oversample {hf_oversample.__version__}",
            "params": params,
            "fitted": {
                **{name: getattr(self, name) for name in _FITTED_VALUES},
                "rows": len(self.labels_),
                "children": len(self.fitted_plan()),
                "features": self.features_.to_dict(),
            },
            "state": self._state_config(),
        }

    def _final_counts(self) -> dict[Any, int]:
        codes = np.concatenate([self.labels_, self.fitted_plan().label])
        counts = np.bincount(codes, minlength=len(self.label_values_)).tolist()
        return {v: n for v, n in zip(self.label_values_, counts, strict=True) if n}

    def _arrays(self) -> dict[str, np.ndarray]:
        plan = self.fitted_plan()
        arrays = {"labels": self.labels_}
        for name in _OPTIONAL_ARRAYS:
            if getattr(self, f"{name}_") is not None:
                arrays[name] = getattr(self, f"{name}_")
        arrays |= {"plan.parent": plan.parent, "plan.child": plan.child, "plan.label": plan.label}
        arrays |= {f"plan.extra.{name}": values for name, values in plan.extra.items()}
        arrays |= {f"state.{name}": values for name, values in self._state_arrays().items()}
        return {name: np.ascontiguousarray(values) for name, values in arrays.items()}

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load a fitted oversampler from a folder, or from the Hub.

        On ``Oversampler`` itself, the class is the one that was saved.

        Raises:
            FileNotFoundError: no such folder, or it holds no oversampler.
            ValueError: another class than the one that was saved, a newer format, a configuration
                that lacks something or has what the class does not take, or files that are damaged,
                cut short, or not those that were saved.
        """
        folder = Path(name_or_path)
        if not folder.is_dir():
            name = str(name_or_path)
            if isinstance(name_or_path, Path) or name.startswith((".", "/", "~")):
                raise FileNotFoundError(f"there is no folder {name}")
            from huggingface_hub import snapshot_download

            downloaded = snapshot_download(
                name,
                revision=revision,
                token=token,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
            )
            folder = Path(downloaded)
        for file in (CONFIG_FILE, STATE_FILE):
            if not (folder / file).is_file():
                raise FileNotFoundError(
                    f"{folder} holds no {file}: it is not a folder of save_pretrained; it has "
                    f"{sorted(path.name for path in folder.iterdir())}"
                )
        config = read_config(folder / CONFIG_FILE)
        saved_class = _class_named(config.get("oversampler"), cls, folder)
        if not issubclass(saved_class, cls):
            raise ValueError(
                f"{folder} holds a {saved_class.__name__}, not a {cls.__name__}: load it with "
                f"{saved_class.__name__}.from_pretrained or Oversampler.from_pretrained"
            )
        if config["format"] > FORMAT:
            raise ValueError(
                f"{folder} was saved in format {config['format']} by {config['library']}; this "
                f"version reads up to {FORMAT}: upgrade hf_oversample"
            )
        check_files(folder)
        arrays = load_arrays(folder / STATE_FILE)
        with told_of(folder):
            params = config["params"]
            if isinstance(params["sampling_strategy"], dict):
                params["sampling_strategy"] = dict(params["sampling_strategy"]["final_counts"])
            oversampler = saved_class(**params)
            oversampler._restore(config, arrays, folder)
        return oversampler

    def _restore(self, config: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        from datasets import Features

        fitted = config["fitted"]
        for name in _FITTED_VALUES:
            setattr(self, name, fitted[name])
        check_fitted(fitted)
        self.features_ = Features.from_dict(fitted["features"])
        for column in filter(None, (fitted[f"{role}_"] for role in COLUMNS)):
            if column not in self.features_:
                raise ValueError(f"its column {column!r} is not among {list(self.features_)}")
        rows, classes = fitted["rows"], len(self.label_values_)
        self.labels_ = checked_places(arrays, "labels", classes, rows)
        self.plan_ = restored_plan(arrays, fitted["children"], rows, classes)
        for name in _OPTIONAL_ARRAYS:
            setattr(self, f"{name}_", arrays.get(name))
        if self.row_keys_ is not None:
            checked_array(arrays, "row_keys", "u", rows)
        self._load_state_arrays(under(arrays, "state."))
        self._load_state_config(config["state"])
        self._load_files(folder)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        commit_message: str | None = None,
    ) -> str:
        """Save and upload in one commit, with a card. Returns the commit's URL.

        Raises:
            as :meth:`save_pretrained` and :func:`~hf_oversample.hub.push.push_folder`.
        """
        from hf_oversample.hub.push import push_folder

        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "oversampler"
            self.save_pretrained(folder)
            self.card(repo_id).save(folder / "README.md")
            return push_folder(
                folder,
                repo_id,
                private=private,
                token=token,
                revision=revision,
                commit_message=commit_message or f"Upload {type(self).__name__}",
            ).commit_url

    def _card_counts(self) -> list[tuple[str, int, int]]:
        """Of each class its name, its rows and its children."""
        before = np.bincount(self.labels_, minlength=len(self.label_names_)).tolist()
        made = np.bincount(self.fitted_plan().label, minlength=len(before)).tolist()
        return list(zip(self.label_names_, before, made, strict=True))

    def card(self, repo_id: str) -> ModelCard:
        """A short card: values, and rows and children of each class.

        Args:
            repo_id: what a reader passes to `from_pretrained`.
        """
        from hf_oversample.hub.oversampler_card import oversampler_card

        return oversampler_card(
            type(self).__name__,
            self.get_params(),
            self._card_counts(),
            repo_id=repo_id,
            version=hf_oversample.__version__,
            columns={role: getattr(self, f"{role}_") for role in COLUMNS},
        )


def _class_named(name: object, asked: type[Any], folder: Path) -> type[Any]:
    if name == asked.__name__:  # also a class of the user's own
        return asked
    known = {**OVERSAMPLERS, **MULTI_LABEL_OVERSAMPLERS}
    if name not in known:
        raise ValueError(
            f"{folder} names the oversampler {name!r}, which this version does not know; it knows "
            f"{sorted(known)}: upgrade hf_oversample, or check the folder"
        )
    module, _, attribute = known[str(name)].partition(":")
    return getattr(importlib.import_module(module), attribute)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
