"""The Bayesian network that a user draws: which extracted code depends on which variable.

"Interpretable Minority Synthesis for Imbalanced Classification" (IJCAI 2021), section 3.1: a
network B over the observed variables c, which the generator is given, and the codes c' that are
extracted from what it makes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

CLASS_VARIABLE = "class"
CLASS_CODE = "class'"

Edge = tuple[str, str]


@dataclass(frozen=True)
class BayesianNetwork:
    """Variables and edges, checked.

    The class is always there: the observed variable ``class`` and its code ``class'``, whose only
    parent it is. They are strictly disentangled (section 1: the features that decide the class must
    be), so no other edge may touch them, and neither is listed.

    Args:
        observed: names of the variables c, drawn from N(0, 1); they have no parents.
        latent: names of the codes c'. Their values are linear in their parents (Eq. 3).
        edges: (parent, code) pairs; a parent is an observed variable or another code.

    Raises:
        ValueError: no observed variable; a name that is empty, used twice or the class's; an edge
            of an unknown name, given twice, from a variable to itself, into an observed variable,
            or that touches the class; a cycle (shown as a path); a code without a parent, or an
            observed variable without a code that depends on it.

    Example:
        >>> network = BayesianNetwork.from_edges([("c1", "a"), ("c2", "b"), ("a", "b")])
        >>> network.parents("b")
        ('c2', 'a')
    """

    observed: tuple[str, ...]
    latent: tuple[str, ...]
    edges: tuple[Edge, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "observed", _names("observed", self.observed))
        object.__setattr__(self, "latent", _names("latent", self.latent))
        object.__setattr__(self, "edges", tuple(_edge(edge) for edge in self.edges))
        self._check_names()
        self._check_edges()
        if cycle := _find_cycle(self.latent, self.edges):
            raise ValueError(
                f"the edges form a cycle: {' → '.join(cycle)}; a Bayesian network has none, so "
                "drop one of these edges"
            )

    def _check_names(self) -> None:
        if not self.observed:
            raise ValueError(
                "a network needs at least one observed variable, which the generator is given"
            )
        seen: set[str] = set()
        for name in (*self.observed, *self.latent):
            if not name.strip():
                raise ValueError("a variable has an empty name: give every variable a name")
            if name in (CLASS_VARIABLE, CLASS_CODE):
                raise ValueError(
                    f"the variable {name!r} is always there, as the class or its code: leave it "
                    "out, or give yours another name"
                )
            if name in seen:
                raise ValueError(f"the name {name!r} is used twice: every variable needs its own")
            seen.add(name)

    def _check_edges(self) -> None:
        known = {*self.observed, *self.latent}
        seen: set[Edge] = set()
        for parent, child in self.edges:
            shown = f"the edge {parent} → {child}"
            if {parent, child} & {CLASS_VARIABLE, CLASS_CODE}:
                raise ValueError(
                    f"{shown} touches the class, which is strictly disentangled: its one edge "
                    f"{CLASS_VARIABLE} → {CLASS_CODE} is always there and is not listed"
                )
            if unknown := [name for name in (parent, child) if name not in known]:
                raise ValueError(
                    f"{shown} names {unknown[0]!r}, which is no variable; the observed ones are "
                    f"{list(self.observed)}, the codes {list(self.latent)}"
                )
            if child in self.observed:
                raise ValueError(
                    f"{shown} ends in the observed variable {child!r}, which is drawn and has no "
                    "parents: turn the edge round, or make it end in a code"
                )
            if parent == child:
                raise ValueError(f"{shown} ends where it begins: drop it")
            if (parent, child) in seen:
                raise ValueError(f"{shown} is given twice: drop one")
            seen.add((parent, child))
        for name in self.latent:
            if not self.parents(name):
                raise ValueError(
                    f"the code {name!r} has no parent, so there is nothing to predict it from: "
                    "give it an edge, or drop it"
                )
        for name in self.observed:
            if not self.children(name):
                raise ValueError(
                    f"no code depends on the observed variable {name!r}, so nothing would tie it "
                    "to what is generated: give it an edge to a code, or drop it"
                )

    # ---- making one -----------------------------------------------------------------------------

    @classmethod
    def from_edges(cls, edges: Iterable[Sequence[str]]) -> Self:
        """The network of (parent, code) pairs: what an edge ends in is a code, all else is
        observed. Variables come in the order in which the edges name them."""
        pairs = tuple(_edge(edge) for edge in edges)
        ends = {child for _, child in pairs}
        names = list(dict.fromkeys(name for pair in pairs for name in pair))
        observed = tuple(name for name in names if name not in ends)
        return cls(observed, tuple(name for name in names if name in ends), pairs)

    @classmethod
    def disentangled(cls, variables: int | Sequence[str] = 5) -> Self:
        """One code for each observed variable (Figure 4a): ``c1 → c1'``, ``c2 → c2'`` …

        Args:
            variables: how many, or their names.
        """
        names = _variables(variables)
        codes = tuple(f"{name}'" for name in names)
        return cls(names, codes, tuple(zip(names, codes, strict=True)))

    @classmethod
    def entangled(
        cls, groups: Mapping[str, Sequence[str]], variables: int | Sequence[str] | None = None
    ) -> Self:
        """One code for each observed variable, and for each group a code that depends on the codes
        of its variables (Figure 4c): a factor in which they meet.

        Args:
            groups: name of the joint code → names of its observed variables, at least two.
            variables: all observed variables; default: those of the groups.

        Raises:
            ValueError: a group of fewer than two variables, or of an unknown one.
        """
        if variables is None:
            variables = tuple(dict.fromkeys(name for group in groups.values() for name in group))
        plain = cls.disentangled(variables)
        edges = list(plain.edges)
        for code, group in groups.items():
            if isinstance(group, str) or len(group) < 2:
                raise ValueError(
                    f"the group {code!r} has the variables {group!r}: a joint code needs a list of "
                    "at least two"
                )
            if unknown := [name for name in group if name not in plain.observed]:
                raise ValueError(
                    f"the group {code!r} names {unknown[0]!r}, which is none of the observed "
                    f"variables {list(plain.observed)}"
                )
            edges += [(f"{name}'", code) for name in group]
        return cls(plain.observed, (*plain.latent, *groups), tuple(edges))

    # ---- reading it -----------------------------------------------------------------------------

    def parents(self, name: str) -> tuple[str, ...]:
        """Parents of a variable, in the order of the edges."""
        return tuple(parent for parent, child in self.edges if child == name)

    def children(self, name: str) -> tuple[str, ...]:
        """Codes that depend directly on a variable, in the order of the edges."""
        return tuple(child for parent, child in self.edges if parent == name)

    def to_dict(self) -> dict[str, list[Any]]:
        """Plain values, which JSON and model configurations hold."""
        return {
            "observed": list(self.observed),
            "latent": list(self.latent),
            "edges": [list(edge) for edge in self.edges],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Take back what :meth:`to_dict` gave.

        Raises:
            ValueError: other keys than its three, or values that are no lists.
        """
        wanted = {"observed", "latent", "edges"}
        if set(values) != wanted:
            raise ValueError(
                f"a network is written as {sorted(wanted)}, but these keys were found: "
                f"{sorted(values)}"
            )
        for name in sorted(wanted):
            if not isinstance(values[name], list | tuple):
                raise ValueError(f"a network's {name!r} is a list, but is {values[name]!r}")
        return cls(tuple(values["observed"]), tuple(values["latent"]), tuple(values["edges"]))

    def to_json(self) -> str:
        """The network as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Take back what :meth:`to_json` gave.

        Raises:
            ValueError: text that is no JSON object, or no network.
        """
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError(f"a network is a JSON object, but this was found: {text[:80]}")
        return cls.from_dict(values)

    # ---- drawing it -----------------------------------------------------------------------------

    def figure(
        self, path: str | Path | None = None, weights: Mapping[Edge, float] | None = None
    ) -> Any:
        """Draws the network: observed variables in the top row, each code below its parents.

        Args:
            path: a PNG to write; its folder must exist.
            weights: numbers to write beside edges, such as those that were learnt.

        Returns:
            the ``matplotlib.figure.Figure``.

        Raises:
            ImportError: matplotlib is missing (``pip install "hf_oversample[report]"``).
        """
        # Imported here: matplotlib is an extra.
        from hf_oversample.models.bayesian_gan.network_figure import DrawnNetwork, draw_network

        drawn = DrawnNetwork(self.observed, self.latent, self.edges, (CLASS_VARIABLE, CLASS_CODE))
        return draw_network(drawn, path, weights or {})


def _names(kind: str, names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ValueError(f"{kind} must be a list of names, got the text {names!r}")
    found = tuple(names)
    if wrong := [name for name in found if not isinstance(name, str)]:
        raise ValueError(f"{kind} must be names, got {wrong[0]!r} among them")
    return found


def _edge(edge: Sequence[str]) -> Edge:
    is_pair = isinstance(edge, Sequence) and not isinstance(edge, str) and len(edge) == 2
    if not is_pair or not all(isinstance(name, str) for name in edge):
        raise ValueError(f"an edge is a pair (parent, code) of names, got {edge!r}")
    return edge[0], edge[1]


def _variables(variables: int | Sequence[str]) -> tuple[str, ...]:
    if isinstance(variables, int):
        return tuple(f"c{number}" for number in range(1, variables + 1))
    return _names("variables", variables)


def _find_cycle(nodes: Sequence[str], edges: Sequence[Edge]) -> list[str]:
    """Names along a cycle, the first again at the end; empty if there is none."""
    children: dict[str, list[str]] = {name: [] for name in nodes}
    for parent, child in edges:
        children.setdefault(parent, []).append(child)
    finished: set[str] = set()
    for start in nodes:
        path: list[str] = []
        stack = [(start, list(children[start]))] if start not in finished else []
        path += [start] if stack else []
        while stack:
            name, left = stack[-1]
            if not left:
                finished.add(name)
                stack.pop()
                path.pop()
                continue
            child = left.pop(0)
            if child in path:
                return [*path[path.index(child) :], child]
            if child not in finished:
                path.append(child)
                stack.append((child, list(children[child])))
    return []
