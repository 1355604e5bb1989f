"""The tables of the MISO paper: F1 of every method (3), difficult samples before and after MISO (4)
and before and after CAG alone (5)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from benchmarks.papers.miso_cells import (
    KEY,
    METHODS,
    MisoCells,
    MisoSizes,
    method_of,
    record_settings,
)
from benchmarks.papers.miso_data import DATA_SETS, FOLDS, LEAST_MINORITY, read_problem
from benchmarks.papers.miso_printed import CLASSIFIERS, TABLE_3, TABLE_4, TABLE_5, Change
from benchmarks.papers.paper_table import PaperTable, Request, Sizes, cell, difference
from benchmarks.papers.records import Record
from hf_oversample.comparison.problem import VALIDATION_SHARE
from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.hub.tables import markdown_table
from hf_oversample.training.arguments import MisoTrainingArguments

_STEPS = MisoTrainingArguments()
SIZES: dict[Sizes, MisoSizes] = {
    "full": MisoSizes(
        majority=None,
        words=None,
        classifier_steps=400,
        encoder_steps=400,
        pretrain_steps=_STEPS.pretrain_steps,
        critic_steps=_STEPS.critic_steps,
        adversarial_steps=_STEPS.adversarial_steps,
        batch_size=_STEPS.batch_size,
        max_length=128,
    ),
    "reduced": MisoSizes(
        majority=2500,
        words=40,
        classifier_steps=200,
        encoder_steps=50,
        pretrain_steps=40,
        critic_steps=15,
        adversarial_steps=6,
        batch_size=32,
        max_length=32,
    ),
}
DEMO_ENCODER = "all-MiniLM-L6-v2"
# test rows over training rows of a fold, some of which are held back to choose by
OVERLAP = 1 / ((FOLDS - 1) * (1 - VALIDATION_SHARE))
HERE = tuple(name for name, data in DATA_SETS.items() if data.folder is not None)


class MisoTable(PaperTable):
    """What the paper's tables share: data, protocol, and what is said of both."""

    runs_of_the_paper, number_of_runs = "5 folds", FOLDS
    left_open: ClassVar[tuple[str, ...]] = (
        "The classes that its F1 is of: here F1 of the minority at a probability of one half.",
        "The class that is made rare, and the class of Toutiao that is the minority: see the data "
        "sets below.",
        "The classifier of its baselines: here TextCNN; ADASYN makes embeddings, so that a head of "
        "two layers on a frozen encoder (for Chinese, on latent semantic analysis) reads them. "
        "MixText is its mixing of hidden states, TMix, without unlabelled data.",
        "Steps of the generator and of the classifiers: the library's defaults, and 15 % of the "
        "training part chooses the best of five states of a classifier. Rates too are the "
        "library's.",
        "Stop words: the paper removes them; here they stay, as its anchors have them.",
        "How anchors become text: edits of their source that read z, behind the library's quality "
        "gate, half of the minority's draws (the paper: autoregressive from z, added until the "
        "classes are even). The library's own default edits do not read z; CAG, the ablation, has "
        "nothing to take away from those.",
        f"XLNet: {DEMO_ENCODER} takes its place, fine-tuned, where --encoder_name names no other "
        "encoder; for Chinese there is none without it.",
        "The difficult samples: rows of the test part with another class among their 5 nearest "
        "rows of it, in what the classifier's head reads.",
    )
    known_tasks = HERE
    key: ClassVar = KEY

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.sizes = SIZES[request.sizes]

    @property
    @abstractmethod
    def cells(self) -> list[str]:
        """The methods that the table needs, of :data:`METHODS`."""

    def run(self) -> None:
        folders = {name: self.data_folder(str(DATA_SETS[name].folder)) for name in self.tasks}
        for name in self.tasks:
            data = DATA_SETS[name]
            encoder_title = self._encoder_title(name)
            is_demo = encoder_title == DEMO_ENCODER
            MisoCells(
                read_problem(
                    name, folders[name], self.sizes.majority, self.seeds, self.sizes.words
                ),
                data.max_length,
                self.sizes,
                str(demo_encoder_path()) if is_demo else encoder_title,
                encoder_title,
                self.records,
                self.request.progress,
            ).run(self.cells, self.seeds)

    def _encoder_title(self, task: str) -> str | None:
        """What records call the encoder: a name that is the same on every machine."""
        if self.request.encoder_name is not None or DATA_SETS[task].language == "zh":
            return self.request.encoder_name
        return DEMO_ENCODER

    def reductions(self) -> list[str]:
        full, own, lines = SIZES["full"], self.sizes, []
        if own.majority is not None:
            lines.append(
                f"Rows: {own.majority:,} of the larger class at most, the rare class in proportion "
                f"(but {LEAST_MINORITY} rows at least): a test part then has "
                f"{LEAST_MINORITY // FOLDS} rare rows or few more, and a figure one digit."
            )
        if own.words is not None:
            lines.append(
                f"Texts: their first {own.words} words, for all methods (Chinese ones are whole)."
            )
        for field, words in (
            ("classifier_steps", "Steps of a TextCNN or TextRNN"),
            ("encoder_steps", "Steps of the fine-tuned encoder"),
            ("pretrain_steps", "Steps of a generator's pre-training"),
            ("critic_steps", "Steps of its critics alone"),
            ("adversarial_steps", "Steps of its adversarial phase"),
            ("batch_size", "Texts of a generator's step"),
            ("max_length", "Tokens of a text that the generator reads, at most"),
        ):
            less, usual = getattr(own, field), getattr(full, field)
            if less < usual:
                lines.append(f"{words}: {less} (full sizes: {usual}).")
        return lines

    def not_there(self) -> list[str]:
        lines = [f"{name}: {data.note}." for name, data in DATA_SETS.items() if data.folder is None]
        refused = {
            f"{method_of(r)} on {r['data']}: {r['refused']}."
            for r in self._shown()
            if r.get("refused")
        }
        return lines + sorted(refused)

    def _shown(self) -> list[Record]:
        """The records of these sizes, tasks and folds."""
        folds = {f"repeat{run // FOLDS}-fold{run % FOLDS}" for run in range(self.seeds)}
        return [
            record
            for record in self.records
            if record["data"] in self.tasks
            and record["fold"] in folds
            and record["settings"]
            == record_settings(self.sizes, self._encoder_title(record["data"]))
        ]

    def results(self) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
        """Method → data set → fold → measures, in percent."""
        found: dict[str, dict[str, dict[str, dict[str, float]]]] = {
            method: {name: {} for name in DATA_SETS} for method in METHODS
        }
        for record in self._shown():
            if (method := method_of(record)) is not None and not record.get("refused"):
                percent = {name: 100 * value for name, value in record["metrics"].items()}
                found[method][record["data"]][record["fold"]] = percent
        return found

    def data_table(self) -> str:
        """The rows that were used beside the paper's."""
        rows = []
        for name, data in DATA_SETS.items():
            own = next((r for r in self._shown() if r["data"] == name), None)
            parts = (
                ["–", "–"] if own is None else [_counts(own[k]) for k in ("counts", "test_counts")]
            )
            paper = f"{data.rows[0]:,} + {data.rows[1]:,}"
            rows.append([name, data.rare or "–", *parts, paper, data.note or "–"])
        head = ["data set", "rare class", "training rows of a fold", "test rows", "the paper's"]
        return "### The data sets\n\n" + markdown_table([*head, "differs"], rows)


def _counts(counts: list[int]) -> str:
    return " + ".join(f"{count:,}" for count in counts)


class MisoTable3(MisoTable):
    """F1 of every method on every data set."""

    title = "MISO, Table 3: imbalanced text classification"
    layout = (
        "F1 in percent: ours, mean ± sd over the folds, with the paper's in brackets. p: Nadeau "
        "and Bengio's test over folds, not corrected for the number of tests."
    )
    known_methods = tuple(TABLE_3)

    @property
    def cells(self) -> list[str]:
        return self.methods

    def tables(self) -> Iterator[str]:
        found = self.results()
        if not any(folds for by_data in found.values() for folds in by_data.values()):
            return
        yield self.data_table()
        for measure, title in (
            ("f1", "F1 of the minority"),
            ("macro_f1", "Macro-averaged F1"),
            ("average_precision", "Average precision of the minority, which the paper has not"),
        ):
            has_figure = measure != "average_precision"
            rows = []
            for method in self.methods:
                by_data = found[method]
                cells = [
                    cell(
                        [m[measure] for m in by_data[name].values()],
                        TABLE_3[method][name] if has_figure else None,
                        1,
                    )
                    for name in DATA_SETS
                ]
                rows.append([method, *cells])
            yield f"### {title}\n\n" + markdown_table(["method", *DATA_SETS], rows)
        rows = []
        for method in self.methods:
            ours, theirs = found["M-CNN"], found[method]
            if method != "M-CNN":
                less = [
                    difference(_of(ours[name], "f1"), _of(theirs[name], "f1"), 1, OVERLAP)
                    for name in self.tasks
                ]
                rows.append([method, *less])
        yield (
            "### F1 of the minority, M-CNN less the row's\n\nWith the p of the corrected paired "
            "test over the folds (Nadeau and Bengio).\n\n"
            + markdown_table(["method", *self.tasks], rows)
        )


def _of(folds: dict[str, dict[str, float]], measure: str) -> dict[str, float]:
    """Fold → one of its measures."""
    return {fold: measures[measure] for fold, measures in folds.items()}


class DifficultTable(MisoTable):
    """Difficult samples before and after anchors: their share, and F1 on them and on the others.

    Attributes:
        printed: data set → classifier → measure → the paper's figures before and after.
        after: classifier → method of :data:`METHODS`.
    """

    layout = (
        "In percent, before → after: ours, mean ± sd over the folds, with the paper's in brackets. "
        "The paper prints one share of difficult samples a data set; ours is each classifier's own."
    )
    printed: ClassVar[dict[str, dict[str, dict[str, Change]]]]
    after: ClassVar[dict[str, str]]
    known_methods = CLASSIFIERS

    @property
    def cells(self) -> list[str]:
        return [name for method in self.methods for name in (method, self.after[method])]

    def tables(self) -> Iterator[str]:
        found = self.results()
        if not any(folds for name in self.cells for folds in found[name].values()):
            return
        yield self.data_table()
        head = ["data set, classifier"]
        for title in ("difficult samples", "F1, difficult", "F1, others"):
            head += [f"{title}, before", "after"]
        rows = []
        for name in DATA_SETS:
            for method in self.methods:
                row = [f"{name}, {method} → {self.after[method]}"]
                before, after = found[method][name], found[self.after[method]][name]
                for measure, own in (
                    ("difficult_share", "difficult_share"),
                    ("difficult", "own_f1_difficult"),
                    ("other", "own_f1_other"),
                ):
                    for runs, figure in zip(
                        (before, after), self.printed[name][method][measure], strict=True
                    ):
                        row.append(cell([m[own] for m in runs.values() if own in m], figure, 1))
                less = difference(
                    _of(after, "difficult_share"), _of(before, "difficult_share"), 1, OVERLAP
                )
                first, last = self.printed[name][method]["difficult_share"]
                row.append(f"{less} ({last - first:+.1f})")
                rows.append(row)
        head.append("change of the difficult share")
        yield "### Before and after\n\n" + markdown_table(head, rows)


class MisoTable4(DifficultTable):
    """Before and after MISO."""

    title = "MISO, Table 4: difficult samples before and after MISO"
    printed, after = TABLE_4, {"TextCNN": "M-CNN", "TextRNN": "M-RNN", "XLNet": "M-XLNet"}
    remarks = (
        "The paper prints −22.1 for SMS Spam, from 42.1 to 22.0, which is −20.1, and its average "
        "of −13.7 has that slip in it (−13.5).",
    )


class MisoTable5(DifficultTable):
    """Before and after CAG, the generator without SFM and mutual information."""

    title = "MISO, Table 5: difficult samples before and after CAG alone"
    printed, after = TABLE_5, {"TextCNN": "CAG", "TextRNN": "CAG-RNN", "XLNet": "CAG-XLNet"}
    remarks = ("The paper prints −2.2 for Toutiao, from 36.6 to 34.2, which is −2.4.",)
