"""Croissant metadata of a balanced data set: which rows were made, and from which row each was.

Croissant is the vocabulary for machine-learning data sets of MLCommons
(https://docs.mlcommons.org/croissant/docs/croissant-spec.html, version 1.0), here with its extension for
responsible AI (http://mlcommons.org/croissant/RAI/) and W3C's PROV. It is JSON-LD: a program that
knows none of this project reads from it that `origin` is an enumeration of real, synthetic and
resampled, and that `parent` refers to another row.
"""  # noqa: E501

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hf_oversample.hub.citations import citation
from hf_oversample.hub.rendering import license_of, rejections

VERSION = "http://mlcommons.org/croissant/1.0"
_PARQUET = "application/x-parquet"  # as the specification has it
# The context of the specification's version 1.0, with PROV's namespace.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "prov": "http://www.w3.org/ns/prov#",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_ORIGINS = {
    "real": "a row of the source data set, as it was",
    "synthetic": "a row that was made by a machine; nobody has read or labelled it",
    "resampled": "a real row, repeated",
}


def croissant(run: Mapping[str, Any], files: Sequence[Path]) -> dict[str, Any]:
    """
    The metadata of a balanced data set, for `json.dumps`.

    Args:
        run: the record of the run, the content of its `run.json`.
        files: its parquet files, one for each part, named after it; they are read for their sums
            and columns.

    Raises:
        ValueError: there are no files, or the record lacks the name of a column.
    """
    if not files:
        raise ValueError(
            "a data set of no parquet files has no Croissant metadata: `balanced` should hold one "
            "file for each of its parts, such as train.parquet."
        )
    data, version = run["data"], run["versions"]["hf_oversample"]
    source = run["arguments"].get("dataset_name") or data["name"]
    made = f"hf_oversample {version}, method {run['arguments'].get('method', 'miso')}"
    rejected = ", ".join(f"{reason}: {number}" for reason, number in rejections(run))
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": "".join(c if c.isalnum() else "_" for c in f"{data['name']}_balanced"),
        "description": f"{data['name']}, balanced by {made}. Rows of the rare classes were added: "
        "`origin` tells them from real ones, `parent` says what each was made from.",
        "conformsTo": VERSION,
        "citeAs": citation(run),
        "license": license_of(run),
        "url": f"https://huggingface.co/datasets/{source}" if "/" in str(source) else ".",
        "version": "1.0.0",
        "inLanguage": data["language"],
        "prov:wasDerivedFrom": {"@type": "prov:Entity", "prov:label": str(source)},
        "prov:wasGeneratedBy": {"@type": "prov:Activity", "prov:label": made},
        "rai:dataCollection": f"Real rows are those of {source}. Synthetic rows were written by a "
        "model, each from the real row that `parent` names.",
        "rai:dataCollectionType": ["Synthetic data generation", "Secondary data analysis"],
        "rai:machineAnnotationTools": [made],
        "rai:dataAnnotationProtocol": "A made row has the class that it was made for; a gate "
        "rejects texts that look like another class. No person has checked it.",
        "rai:dataPreprocessingProtocol": [f"Texts that were drawn, by outcome: {rejected}."]
        if rejected
        else [],
        "rai:dataLimitations": "Synthetic rows are for training, not for validation or tests. They "
        "may repeat names, numbers and phrases of the rows that they were made from.",
        "distribution": [_file_object(path) for path in files],
        "recordSet": [_origins(), *(_record_set(run, path) for path in files)],
    }


def _file_object(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": _PARQUET,
        "sha256": digest,
    }


def _origins() -> dict[str, Any]:
    """The values of `origin`, as an enumeration that the column refers to."""
    return {
        "@type": "cr:RecordSet",
        "@id": "origins",
        "name": "origins",
        "dataType": "sc:Enumeration",
        "key": {"@id": "origins/code"},
        "field": [
            _field("origins/code", "sc:Integer", "what the column `origin` holds"),
            _field("origins/name", "sc:Text", "its name"),
            _field("origins/meaning", "sc:Text", "what it means"),
        ],
        "data": [
            {"origins/code": code, "origins/name": name, "origins/meaning": meaning}
            for code, (name, meaning) in enumerate(_ORIGINS.items())
        ],
    }


def _record_set(run: Mapping[str, Any], path: Path) -> dict[str, Any]:
    part = path.stem
    meanings = {
        run["data"]["text_column"]: "the text",
        run["data"]["label_column"]: "its class",
        "origin": "whether the row is real, was made, or is a real one repeated",
        "parent": "row of this part, counted from 0, that this row was made from; -1 for real "
        "rows, which come first",
    }
    fields = []
    for column in pq.read_schema(path):
        meaning = meanings.get(column.name, f"column {column.name} of the source data")
        one = _field(f"{part}/{column.name}", _data_type(column.type), meaning)
        one["source"] = {"fileObject": {"@id": path.name}, "extract": {"column": column.name}}
        if column.name == "origin":
            one["references"] = {"field": {"@id": "origins/code"}}
            one["equivalentProperty"] = "prov:wasGeneratedBy"
        if column.name == "parent":
            one["equivalentProperty"] = "prov:wasDerivedFrom"
        if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
            one["repeated"] = True
        fields.append(one)
    return {"@type": "cr:RecordSet", "@id": part, "name": part, "field": fields}


def _field(name: str, kind: str, description: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": name,
        "name": name,
        "description": description,
        "dataType": kind,
    }


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return _data_type(kind.value_type)
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    if pa.types.is_floating(kind):
        return "sc:Float"
    if pa.types.is_temporal(kind):
        return "sc:DateTime"
    return "sc:Text"
