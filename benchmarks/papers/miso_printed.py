"""The figures that the MISO paper prints in its Tables 3, 4 and 5, in percent."""

from __future__ import annotations

from benchmarks.papers.miso_data import DATA_SETS

Change = tuple[float, float]
"""Before and after."""

_TABLE_3 = """
TextCNN  92.0 81.9 80.1 75.8 50.1 46.2 82.0 68.1 65.1
TextRNN  92.1 82.0 80.3 75.7 50.1 46.4 82.4 68.6 64.8
XLNet    92.7 82.2 81.9 76.9 51.7 47.6 83.2 69.1 65.7
ADASYN   92.9 83.4 82.2 77.1 53.9 48.7 83.7 74.0 66.9
MixText  94.9 84.9 86.1 77.6 56.9 51.5 84.4 76.1 66.9
Focal    94.9 83.9 86.6 77.5 54.1 49.3 84.8 76.0 67.7
Dice     94.7 84.0 86.2 77.5 54.9 49.3 85.6 76.3 67.6
cRT      95.1 85.5 87.2 78.1 59.5 50.9 85.9 76.5 68.2
τ-norm   95.1 85.3 87.1 78.0 59.6 52.5 86.0 76.4 68.4
CAG      94.1 84.9 84.8 78.0 57.0 52.3 85.3 75.0 67.6
M-CNN    96.0 87.2 89.0 81.4 62.2 55.9 87.2 78.4 71.9
M-RNN    95.4 86.6 89.0 81.9 62.3 55.5 87.0 78.1 72.2
M-XLNet  95.6 88.4 88.0 82.5 63.4 56.4 87.3 77.9 72.2
"""
TABLE_3: dict[str, dict[str, float]] = {
    line.split()[0]: dict(zip(DATA_SETS, map(float, line.split()[1:]), strict=True))
    for line in _TABLE_3.strip().splitlines()
}
"""Method → data set → F1."""

# Difficult share, then F1 of difficult and of other samples, TextCNN, TextRNN and XLNet: before and
# after.
_TABLE_4 = """
Opin-Rank    | 15.3  8.3 | 54.9 55.8 98.7 99.0 | 54.9 55.7 98.8 99.7 | 56.2 56.3 99.3 99.4
SMS Spam     | 42.1 22.0 | 61.9 62.1 93.2 93.4 | 61.9 62.5 93.6 94.1 | 64.3 65.9 94.6 94.8
Toutiao      | 36.6 17.7 | 59.0 59.6 95.1 95.4 | 59.0 59.4 95.2 95.4 | 59.0 61.1 95.6 95.9
Yelp.P (1%)  | 28.2 20.1 | 29.1 30.0 94.2 94.9 | 29.0 29.4 94.0 94.4 | 32.6 33.5 94.3 94.9
Yelp.P (5%)  | 22.4 13.8 | 41.9 41.9 93.6 94.2 | 43.7 44.0 93.5 94.1 | 46.4 46.5 93.8 93.9
IMDB (1%)    | 49.3 31.4 | 16.8 17.0 82.4 83.1 | 16.8 17.5 82.4 82.6 | 18.8 19.1 83.6 83.9
IMDB (5%)    | 30.1 15.6 | 23.6 24.0 87.3 88.1 | 21.9 22.9 87.9 88.6 | 26.9 27.1 87.3 87.3
AG_News (1%) | 48.5 33.5 | 15.5 16.1 75.1 75.4 | 15.4 16.2 75.5 76.0 | 17.5 17.6 75.9 76.1
AG_News (5%) | 33.2 21.7 | 27.7 28.4 84.0 84.3 | 24.6 25.1 84.7 84.9 | 27.7 27.9 83.8 83.9
"""
_TABLE_5 = """
Opin-Rank    | 15.3 14.2 | 54.9 54.9 98.7 99.0 | 54.9 54.5 98.8 98.7 | 56.2 56.1 99.3 98.9
SMS Spam     | 42.1 40.5 | 61.9 62.0 93.2 93.3 | 61.9 62.2 93.6 93.8 | 64.3 64.5 94.6 94.3
Toutiao      | 36.6 34.2 | 59.0 58.5 95.1 94.9 | 59.0 59.2 95.2 95.4 | 59.0 59.3 95.6 95.2
Yelp.P (1%)  | 28.2 27.5 | 29.1 29.0 94.2 94.2 | 29.0 28.8 94.0 94.4 | 32.6 33.0 94.3 94.2
Yelp.P (5%)  | 22.4 22.6 | 41.9 41.6 93.6 93.9 | 43.7 43.6 93.5 93.1 | 46.4 45.9 93.8 94.3
IMDB (1%)    | 49.3 47.3 | 16.8 17.0 82.4 82.7 | 16.8 16.5 82.4 82.8 | 18.8 18.9 83.6 83.9
IMDB (5%)    | 30.1 29.5 | 23.6 23.4 87.3 87.2 | 21.9 21.7 87.9 87.5 | 26.9 27.0 87.3 87.3
AG_News (1%) | 48.5 49.1 | 15.5 15.7 75.1 74.6 | 15.4 15.8 75.5 75.5 | 17.5 17.0 75.9 75.9
AG_News (5%) | 33.2 30.9 | 27.7 27.2 84.0 83.6 | 24.6 24.5 84.7 84.8 | 27.7 27.9 83.8 83.8
"""
CLASSIFIERS = ("TextCNN", "TextRNN", "XLNet")


def _changes(table: str) -> dict[str, dict[str, dict[str, Change]]]:
    found: dict[str, dict[str, dict[str, Change]]] = {}
    for line in table.strip().splitlines():
        name, share, *classifiers = line.split("|")
        before, after = map(float, share.split())
        found[name.strip()] = {}
        for classifier, part in zip(CLASSIFIERS, classifiers, strict=True):
            a, b, c, d = map(float, part.split())
            found[name.strip()][classifier] = {
                "difficult_share": (before, after),
                "difficult": (a, b),
                "other": (c, d),
            }
    return found


TABLE_4 = _changes(_TABLE_4)
"""Data set → classifier → measure → before and after MISO. The share has no classifier."""
TABLE_5 = _changes(_TABLE_5)
"""The same before and after CAG alone."""
