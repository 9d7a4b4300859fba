"""What a run keeps of its flow beside artifacts: the graph, the runs whose end it was started for, and options.

It lies among the inputs of the run; no task has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from headrace.client.source import RunReader
from headrace.frontends.metaflow.authoring.graphinfo import graph_info
from headrace.model.records import Input
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore

#: The name of that input.
FACTS = "_facts"


class RunFacts(msgspec.Struct, frozen=True):
    """See the module. ``graph`` is empty where nothing is known; ``triggers`` are events as dictionaries.

    ``words`` are options of its command line that bear on what its tasks make, such as ``--with=retry``.
    """

    graph: dict[str, Any] = {}
    triggers: list[dict[str, Any]] = []
    words: list[str] = []

    @property
    def endpoints(self) -> tuple[str, str]:
        """The first and the last step."""
        return self.graph.get("start_step", "start"), self.graph.get("end_step", "end")


def fact_input(cls: Any, triggers: list[dict[str, Any]], store: ArtifactStore, words: Sequence[str] = ()) -> Input:
    """The facts on a new run of a flow, to be kept with it."""
    return keep_facts(graph_info(cls), triggers, store, words)


def keep_facts(
    graph: dict[str, Any], triggers: list[dict[str, Any]], store: ArtifactStore, words: Sequence[str] = ()
) -> Input:
    """The same for a graph that is known already."""
    facts = RunFacts(graph, triggers, list(words))
    return Input(FACTS, codecs.pack(msgspec.to_builtins(facts), store))


def facts_of(run: RunReader) -> RunFacts:
    """The facts on a run; empty ones for a run of another dialect."""
    for one in run.record(complete=True).inputs:
        if one.name == FACTS:
            return msgspec.convert(codecs.unpack(one.value, run.artifacts), RunFacts)
    return RunFacts()
