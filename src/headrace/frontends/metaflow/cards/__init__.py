"""Cards: what a task shows to people."""

from headrace.frontends.metaflow.cards.base import MetaflowCard, MetaflowCardComponent
from headrace.frontends.metaflow.cards.charts import (
    EventsTimeline,
    JSONViewer,
    ProgressBar,
    ValueBox,
    VegaChart,
    YAMLViewer,
)
from headrace.frontends.metaflow.cards.components import Artifact, Error, Image, Markdown, PythonCode, Table
from headrace.frontends.metaflow.cards.parts import PageComponent
from headrace.frontends.metaflow.cards.types import BlankCard, DefaultCard, ErrorCard
from headrace.frontends.metaflow.cards.view import Card, CardContainer, get_cards

__all__ = [
    "MetaflowCard",
    "MetaflowCardComponent",
    "Artifact",
    "Table",
    "Image",
    "Error",
    "Markdown",
    "VegaChart",
    "ProgressBar",
    "ValueBox",
    "PythonCode",
    "EventsTimeline",
    "JSONViewer",
    "YAMLViewer",
    "DefaultCard",
    "PageComponent",
    "ErrorCard",
    "BlankCard",
    "Card",
    "CardContainer",
    "get_cards",
]
