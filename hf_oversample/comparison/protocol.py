"""The comparison itself: every remedy with every classifier on every fold, one record a cell."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hf_oversample.comparison.base import Classifier
from hf_oversample.comparison.costs import Costs, SharedValues
from hf_oversample.comparison.embedders import (
    Embed,
    LatentSemanticEmbedder,
    RememberedEmbeddings,
    embedder_identity,
    encoder_identity,
    pretrained_embedder,
)
from hf_oversample.comparison.fold import (
    TEST_NEIGHBORS,
    AnchorSource,
    Fold,
    LeakError,
)
from hf_oversample.comparison.given_rows import GivenRows, given_remedy
from hf_oversample.comparison.made_texts import MadeTexts, made_texts_of
from hf_oversample.comparison.problem import Problem, Split
from hf_oversample.comparison.records import DATA, EMBEDDINGS, Cell, CellKey, Records
from hf_oversample.comparison.registry import classifier_named, classifier_title
from hf_oversample.comparison.remedies import Remedy, remedy_named
from hf_oversample.comparison.row_judgement import judged
from hf_oversample.comparison.scores import cell_curves, cell_metrics, chosen_threshold
from hf_oversample.numeric.precision import has_fast_bfloat16
from hf_oversample.text.words import Segmenter

CODE_VERSION = 13  # raised when the code changes what a cell holds


@dataclass(frozen=True)
class Comparison:
    """What came out.

    Attributes:
        problem: the rows.
        header: what changes a cell's figures.
        cells: of the classifiers and remedies asked for, in their order.
        skipped: (classifier, remedy, why), what does not apply.
        classifiers: kind → name for people.
        made: name of rows that were given → what they are like
            (:meth:`~hf_oversample.comparison.row_judgement.RowsJudgement.to_dict`).
    """

    problem: Problem
    header: dict[str, Any]
    cells: list[Cell]
    skipped: list[tuple[str, str, str]] = field(default_factory=list)
    classifiers: dict[str, str] = field(default_factory=dict)
    made: dict[str, dict[str, Any]] = field(default_factory=dict)


def compare(
    problem: Problem,
    *,
    remedies: Sequence[str],
    made: Mapping[str, GivenRows] | None = None,
    classifiers: Sequence[str] = ("textcnn", "linear"),
    steps: int = 400,
    encoder_name: str | None = None,
    embed: Embed | None = None,
    generator: AnchorSource | None = None,
    writer: AnchorSource | None = None,
    records: str | Path,
    overwrite: bool = False,
    settings: dict[str, Any] | None = None,
    folds: Collection[str] | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Comparison:
    """Compare remedies; go on where a run with the same records file was stopped.

    Args:
        problem: the rows, from :func:`~hf_oversample.comparison.problem.repeated_folds` or
            :func:`~hf_oversample.comparison.problem.given_splits`.
        remedies: names among :data:`~hf_oversample.comparison.remedies.REMEDIES`; "none" is added
            where it is missing, since all others are held against it.
        made: name → rows that somebody made, each compared as a remedy of that name and judged
            beside (:func:`~hf_oversample.comparison.judge_rows`). Their cells go on only where they
            are of the same rows.
        classifiers: names among :data:`~hf_oversample.comparison.registry.CLASSIFIERS`.
        steps: updates of each training.
        encoder_name: a pretrained encoder, for embeddings, word vectors and fine-tuning.
        embed: texts → `[n, d]`, in place of that encoder's embeddings. Without either, embeddings
            are those of latent semantic analysis, learnt from each training part.
        generator: where anchors come from; without one, remedies with anchors are skipped. Their
            cells go on only where they are of the same source.
        writer: the same for texts of a language model.
        records: the JSONL file.
        overwrite: begin anew.
        settings: further values that change every cell's figures, for the records' first line.
        folds: keys of the splits to run, for a comparison that several machines share: each has a
            records file of its own with the same first line, and the cells of all are one
            comparison. Default: all splits.
        progress: gets a line for each cell.

    Raises:
        ValueError: an unknown name or split, records of another comparison, of other anchors or of
            other made rows, made rows of an unknown class or with parents that are no rows, or a
            part without rows of the minority or of the others, or with too few test rows for their
            neighbours.
        LeakError: held-out rows among training rows.
    """
    splits = [split for split in problem.splits if folds is None or split.key in folds]
    for split in problem.splits:
        _check_split(split, problem)
    if unknown := set(folds or ()) - {split.key for split in problem.splits}:
        known = [split.key for split in problem.splits]
        raise ValueError(f"there are no splits {sorted(unknown)}; there are {known}")
    chosen = [remedy_named(name) for name in dict.fromkeys(("none", *remedies))]
    given = dict(made or {})
    chosen += [given_remedy(name, rows, problem.class_names) for name, rows in given.items()]
    kinds = [classifier_named(name, steps) for name in dict.fromkeys(classifiers)]
    header = {
        "version": CODE_VERSION,
        "name": problem.name,
        DATA: problem.digests(),
        "language": problem.language,
        "protection": asdict(problem.protection),
        "user_dictionary": [list(entry) for entry in problem.user_dictionary],
        "minority": problem.class_names[problem.minority],
        "steps": steps,
        "encoder": encoder_identity(encoder_name),
        "bfloat16": has_fast_bfloat16(),  # what encoders are fine-tuned and generators trained in
        "settings": settings or {},
    }
    if embed is not None:
        header[EMBEDDINGS] = embedder_identity(embed, problem.splits[0].train.texts)
    shared = _shared_embedder(encoder_name, embed)
    results = Records(records, header, overwrite=overwrite)
    if generator is not None:
        own = generator.identity()
        _check_anchors(results, {r.name: own for r in chosen if r.needs_generator})
    if writer is not None:
        _check_anchors(results, {r.name: writer.identity() for r in chosen if r.needs_writer})
    _check_anchors(results, {r.name: r.identity for r in chosen if r.identity is not None})
    embeds = encoder_name or ("given" if embed else None)
    titles = {kind.kind: classifier_title(kind.kind, embeds) for kind in kinds}
    judgements = {name: judged(name, rows, problem, shared) for name, rows in given.items()}
    skipped: dict[tuple[str, str], str] = {}
    wanted: list[CellKey] = []
    total = len(splits) * len(kinds) * len(chosen)
    for number, split in enumerate(splits):
        plan = list(_cells_of(split, kinds, chosen))
        wanted += [key for key, _, _ in plan]
        if all(key in results or (key.classifier, key.remedy) in skipped for key, _, _ in plan):
            continue
        fold = _fold(problem, split, shared, encoder_name, generator, _shared_costs(results, split))
        fold.writer = writer
        for place, (key, classifier, remedy) in enumerate(plan, start=1):
            if place > 1 and plan[place - 2][1] is not classifier:
                fold.cache.drop("trained")
            if (why := remedy.refusal(fold, classifier)) is not None:
                skipped[key.classifier, key.remedy] = why
            elif key not in results:
                cell = run_cell(fold, classifier, remedy, split.seed)
                results.add(cell)
                shown = cell.refused or f"F1 {cell.metrics['f1']:.3f}"
                place += number * len(plan)
                title = titles[classifier.kind]
                progress(
                    f"[{place}/{total}] {title}, {remedy.name}, {split.key}: {shown} "
                    f"({cell.seconds:.1f} s)"
                )
    found = {cell.key: cell for cell in results}
    return Comparison(
        problem,
        header,
        [
            found[key]
            for key in wanted
            if key in found and not (found[key].refused and (key.classifier, key.remedy) in skipped)
        ],
        [(kind, remedy, why) for (kind, remedy), why in skipped.items()],
        titles,
        judgements,
    )


def _check_anchors(results: Records, identities: Mapping[str, str]) -> None:
    """That cells of remedies which make or bring along texts are of these sources'."""
    for cell in results:
        own = identities.get(cell.remedy, cell.anchors)
        # of what was refused, a training that diverged alone is not tried again
        if cell.anchors != own and (cell.refused is None or cell.diverged):
            raise ValueError(
                f"{results.path} holds cells of {cell.remedy!r} from another source of "
                "anchors (its settings, or the texts given, were others). They cannot be put in "
                "one table: write to another folder, give other rows another name "
                "(--made NAME=path), or overwrite it (--overwrite)"
            )


def _check_split(split: Split, problem: Problem) -> None:
    name = problem.class_names[problem.minority]
    for part, rows in (
        ("training", split.train),
        ("validation", split.validation),
        ("test", split.test),
    ):
        own = int((rows.labels == problem.minority).sum())
        if not 0 < own < len(rows):
            raise ValueError(
                f"the {part} part of {split.key} has {own} rows of the minority {name!r} among "
                f"{len(rows)}; it needs some, and some of others: give it more rows, ask for fewer "
                "folds, or name another minority"
            )
    if len(split.test) <= TEST_NEIGHBORS:
        raise ValueError(
            f"the test part of {split.key} has {len(split.test)} rows; which of them are difficult "
            f"is told by {TEST_NEIGHBORS} neighbours: it needs at least {TEST_NEIGHBORS + 1}"
        )


def run_cell(fold: Fold, classifier: Classifier, remedy: Remedy, seed: int) -> Cell:
    """One remedy with one classifier on one fold.

    A ``ValueError`` or ``FloatingPointError`` of the remedy is a finding (too few rows for its
    neighbours, no row near another class, a training that diverged), and recorded with its message.

    Raises:
        LeakError: held-out rows among the training rows.
    """
    fold.cache.costs.start()
    fold.left_out, fold.withheld = 0, {}
    key = CellKey(classifier.kind, remedy.name, fold.key)
    start = time.perf_counter()
    try:
        scores = remedy.fit(fold, classifier, seed)
        seconds = time.perf_counter() - start + fold.cache.costs.saved
        metrics, curves = cell_metrics(fold, scores), cell_curves(fold, scores)
    except LeakError:
        raise
    except (ValueError, FloatingPointError) as error:
        seconds = time.perf_counter() - start
        return Cell(
            *key,
            seconds=seconds,
            left_out=fold.left_out,
            withheld=fold.withheld,
            shared=_rounded(fold.cache.costs.made),
            anchors=_source_identity(fold, remedy),
            refused=str(error),
            diverged=isinstance(error, FloatingPointError),
        )
    texts = _made_texts(fold, remedy, seed)
    return Cell(
        *key,
        metrics=metrics,
        seconds=round(seconds, 3),
        made=scores.made,
        left_out=fold.left_out,
        withheld=fold.withheld,
        curves=curves,
        texts=texts.metrics,
        giveaways=texts.giveaways,
        shared=_rounded(fold.cache.costs.made),
        anchors=_source_identity(fold, remedy),
        threshold=chosen_threshold(fold, scores),
    )


def _source_identity(fold: Fold, remedy: Remedy) -> str | None:
    """Of the source of texts that a remedy uses."""
    if remedy.identity is not None:
        return remedy.identity
    source = fold.generator if remedy.needs_generator else None
    if remedy.needs_writer:
        source = fold.writer
    return source.identity() if source is not None else None


def _made_texts(fold: Fold, remedy: Remedy, seed: int) -> MadeTexts:
    """What the texts that a remedy makes are like, once for all classifiers; nothing where it makes
    none."""
    make = remedy.texts
    if make is None:
        return MadeTexts()

    def told() -> MadeTexts:
        made = make(fold, seed)
        return made_texts_of(fold, made, seed) if len(made) else MadeTexts()

    return fold.cache.get(("metrics of made texts", remedy.name, seed), told)


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in seconds.items()}


def _shared_costs(cells: Iterable[Cell], split: Split) -> dict[str, float]:
    """Seconds of what the cells of a split share, as they were first measured."""
    costs: dict[str, float] = {}
    for cell in cells:
        if cell.fold == split.key:
            costs = {**cell.shared, **costs}
    return costs


def _cells_of(
    split: Split, kinds: Sequence[Classifier], remedies: Sequence[Remedy]
) -> Iterator[tuple[CellKey, Classifier, Remedy]]:
    for classifier in kinds:
        for remedy in remedies:
            yield CellKey(classifier.kind, remedy.name, split.key), classifier, remedy


def _shared_embedder(encoder_name: str | None, embed: Embed | None) -> Embed | None:
    if embed is None and encoder_name is not None:
        embed = pretrained_embedder(encoder_name)
    return None if embed is None else RememberedEmbeddings(embed)


def _fold(
    problem: Problem,
    split: Split,
    embed: Embed | None,
    encoder_name: str | None,
    generator: AnchorSource | None,
    costs: dict[str, float],
) -> Fold:
    segmenter = Segmenter(problem.language, problem.user_dictionary)
    if embed is None:
        embed = LatentSemanticEmbedder(split.train.texts, segmenter)
    return Fold(
        split.train,
        split.validation,
        split.test,
        problem.class_names,
        segmenter,
        minority=problem.minority,
        embed=embed,
        encoder_name=encoder_name,
        generator=generator,
        protection=problem.protection,
        key=split.key,
        seed=split.seed,
        cache=SharedValues(Costs(costs)),
    )
