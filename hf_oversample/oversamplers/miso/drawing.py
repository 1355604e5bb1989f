"""Drafts of anchors by try: those of one reading of a source are drawn together, and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hf_oversample.models.miso.realizers import AnchorRequest, EditRealizer, GenerateRealizer


class AnchorDrafts:
    """
    What :func:`~hf_oversample.oversamplers.anchors.drafts.drawn_until_kept` draws from.

    The filler reads a source once for several tries, where the realiser gives several drafts of a
    reading; a later try of a rejected request takes the next of them.

    Args:
        realizer: writes them.
        request: place and try → what to write.
        max_tries: of a request at most.
    """

    def __init__(
        self,
        realizer: EditRealizer | GenerateRealizer,
        request: Callable[[int, int], AnchorRequest],
        max_tries: int,
    ):
        self.realizer, self.request, self.max_tries = realizer, request, max_tries
        self.waiting: dict[int, list[str]] = {}

    def __call__(self, places: Sequence[int], attempt: int) -> list[str]:
        """The drafts of a try, of which those before it were asked for.

        Args:
            places: of the requests that are still without a text.
            attempt: number of the try, from 0.
        """
        realizer = self.realizer
        if not isinstance(realizer, EditRealizer):
            return realizer([self.request(place, attempt) for place in places])
        number = attempt % realizer.drafts_per_reading
        if number == 0:
            requests = [self.request(place, attempt) for place in places]
            wanted = min(realizer.drafts_per_reading, self.max_tries - attempt)
            self.waiting = dict(zip(places, realizer.drafts(requests, wanted), strict=True))
        return [self.waiting[place][number] for place in places]
