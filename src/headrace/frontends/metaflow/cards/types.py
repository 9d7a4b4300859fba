"""Card types: those that are built in, and how others are found by their names."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import sys
import textwrap
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from headrace.frontends.metaflow.cards import html
from headrace.frontends.metaflow.cards.base import MetaflowCard
from headrace.frontends.metaflow.cards.parts import (
    ArtifactsComponent,
    DagComponent,
    ImageComponent,
    LogComponent,
    PageComponent,
    PythonCodeComponent,
    SectionComponent,
    TableComponent,
    TitleComponent,
)
from headrace.frontends.metaflow.cards.values import described, frame_table, is_frame, picture_source, type_name
from headrace.model.errors import HeadraceError

_TIME = "%Y-%m-%d %H:%M:%S"
#: Artifacts of more bytes than this are named but not loaded, unless the option ``max_artifact_size`` says otherwise.
_LARGE = 8 * 2**20


class _Page(MetaflowCard):
    """What the built-in types have in common."""

    RELOAD_POLICY = MetaflowCard.RELOAD_POLICY_ONCHANGE

    def __init__(
        self, options: Any = None, components: Any = None, graph: Any = None, flow: Any = None, graph_info: Any = None
    ) -> None:
        self._options = dict(options or {})
        self._components = list(components or [])
        self._graph = graph_info if graph_info is not None else graph
        self._flow = flow

    def render_runtime(self, task: Any, data: Any) -> Any:
        """The page as far as it is known."""
        return self.render(task)

    def refresh(self, task: Any, data: Any) -> Any:
        """The components that can change, by id."""
        return data["components"]

    def reload_content_token(self, task: Any, data: Any) -> str:
        """Changes with the list of components."""
        return "final" if task.finished else f"runtime-{data['component_update_ts']}"


class DefaultCard(_Page):
    """What the step put on it, and all about the task: facts, parameters, artifacts, source, graph."""

    type = "default"
    ALLOW_USER_COMPONENTS = True
    RUNTIME_UPDATABLE = True

    def render(self, task: Any) -> Any:
        """The page."""
        contents = [*self._components, *self.about(task)]
        flow, run, step, number = task.pathspec.split("/")
        note = f"Task {number} of step {step}, run {run} of {flow}"
        return html.page(task.pathspec, contents, heading=task.pathspec, note=note)

    def about(self, task: Any) -> list[dict[str, Any]]:
        """Sections on the task."""
        parameters = _parameters(task)
        artifacts, tables, pictures = self._artifacts(task, set(parameters))
        described_parameters = [described(value, name, only_repr=True) for name, value in parameters.items()]
        sections = [
            SectionComponent("Task", contents=[_facts(task)]),
            SectionComponent("Parameters", contents=[_listed(described_parameters, "No parameters")]),
            SectionComponent("Artifacts", contents=[_listed(artifacts, "No artifacts")]),
        ]
        sections += [SectionComponent("Tables", contents=tables)] if tables else []
        sections += [SectionComponent("Pictures", columns=len(pictures), contents=pictures)] if pictures else []
        source = _source(self._flow, task.parent.id)
        if source:
            sections.append(SectionComponent("Source", contents=[PythonCodeComponent(source)]))
        if self._graph:
            sections.append(SectionComponent("Graph", contents=[DagComponent(data=_dag(self._graph, task.parent.id))]))
        return [one.render() for one in sections]

    def _artifacts(self, task: Any, leave_out: set[str]) -> tuple[list[Any], list[Any], list[Any]]:
        limit = self._options.get("max_artifact_size", _LARGE)
        only_repr = self._options.get("only_repr", True)
        listed, tables, pictures = [], [], []
        for artifact in task:
            name = artifact.id
            if name in leave_out or name == "name":
                continue
            if artifact.size > limit:
                listed.append({"name": name, "type": "", "data": f"<{artifact.size:,} bytes: too large to be shown>"})
                continue
            try:
                value = artifact.data
            except (HeadraceError, ImportError) as error:
                listed.append({"name": name, "type": "", "data": f"<cannot be loaded: {error}>"})
                continue
            if is_frame(value):
                tables.append(_frame(name, value))
                size = f"{value.shape[0]:,} rows, {value.shape[1]:,} columns"
                listed.append({"name": name, "type": type_name(value), "data": f"<{size}; its head is below>"})
                continue
            listed.append(described(value, name, only_repr=only_repr))
            source = picture_source(value) if isinstance(value, bytes) else None
            if source:
                pictures.append(ImageComponent(source, name))
        return listed, tables, pictures


class DefaultCardJSON(DefaultCard):
    """What the default card shows, as JSON."""

    type = "default_json"
    ALLOW_USER_COMPONENTS = False
    RUNTIME_UPDATABLE = False

    def render(self, task: Any) -> Any:
        """The components as JSON."""
        page = PageComponent("Task Info", contents=[*self._components, *self.about(task)]).render()
        title = TitleComponent(task.pathspec).render()
        return json.dumps({"metadata": {"pathspec": task.pathspec}, "components": [title, page]}, default=str)


class BlankCard(_Page):
    """Only what the step puts on it. Option: ``title``."""

    type = "blank"
    ALLOW_USER_COMPONENTS = True
    RUNTIME_UPDATABLE = True

    def render(self, task: Any) -> Any:
        """The page."""
        return html.page(task.pathspec, self._components, heading=str(self._options.get("title") or ""))


class ErrorCard(_Page):
    """Why there is no other card."""

    type = "error"

    def render(self, task: Any, stack_trace: str | None = None) -> Any:
        """The page."""
        why = SectionComponent("Card Render Failed With Error", contents=[LogComponent(stack_trace or "None")])
        return html.page(task.pathspec, [why.render()], heading="Error Card", note=task.pathspec)


class TaskSpecCard(MetaflowCard):
    """Nothing but the address of the task."""

    type = "taskspec_card"

    def render(self, task: Any) -> Any:
        """The pathspec."""
        return str(task.pathspec)


# --- what the default card shows -----------------------------------------------------------------------------------


def _facts(task: Any) -> TableComponent:
    begun, ended = task.created_at, task.finished_at
    state = "finished" if task.successful else "failed" if ended else "running"
    state = "finished; @catch caught a failure" if task.finished and not task.successful else state
    tags = sorted(task.parent.parent.tags)
    user = next((tag.partition(":")[2] for tag in tags if tag.startswith("user:")), "")
    facts = {
        "State": state,
        "Began": begun.strftime(_TIME),
        "Ended": ended.strftime(_TIME) if ended else "",
        "Took" if ended else "Running for": _duration(((ended or datetime.now()) - begun).total_seconds()),
        "Attempt": task.current_attempt,
        "User": user,
        "Tags": ", ".join(tags),
    }
    facts = {name: value for name, value in facts.items() if value not in ("", None)}
    return TableComponent(headers=list(facts), data=[list(facts.values())], vertical=True)


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _parameters(task: Any) -> dict[str, Any]:
    """Parameters of the run by name, as they are recorded."""
    reader = task._run
    found = {}
    for one in reader.metadata.params([reader.id]):
        if not one.logged:
            try:
                found[one.name] = json.loads(one.text)
            except ValueError:
                found[one.name] = one.text
    return found


def _listed(data: list[dict[str, Any]], otherwise: str) -> Any:
    return ArtifactsComponent(data=data) if data else {"type": "text", "text": otherwise}


def _frame(name: str, frame: Any) -> SectionComponent:
    table = frame_table(frame)
    rows, columns = table["full_size"]
    title = f"{name}: {rows} rows, {columns} columns"
    return SectionComponent(title, contents=[TableComponent(headers=table["headers"], data=table["data"])])


def _source(flow: Any, step: str) -> str:
    try:
        return textwrap.dedent(inspect.getsource(getattr(flow, step)))
    except (AttributeError, OSError, TypeError):
        return ""


def _dag(graph: Any, step: str) -> dict[str, Any]:
    known = graph if "start_step" in graph else {"steps": graph, "start_step": "start"}
    steps = {
        name: {"type": one.get("type", ""), "next": list(one.get("next", ()))} for name, one in known["steps"].items()
    }
    return {"steps": steps, "start_step": known["start_step"], "here": step}


# --- finding types -------------------------------------------------------------------------------------------------

_BUILT_IN: tuple[type[MetaflowCard], ...] = (DefaultCard, TaskSpecCard, ErrorCard, BlankCard, DefaultCardJSON)
#: Types whose pages are made here: they hold no scripts, whatever a step puts on them.
BUILT_IN_PAGES = frozenset({"default", "blank"})


def find_type(name: str, flow: Any) -> type[MetaflowCard] | None:
    """The card type ``name``: a built-in one, one of an installed extension, or of the file that defines ``flow``."""
    for built_in in _BUILT_IN:
        if built_in.type == name:
            return built_in
    for cls in (*_trials(name), *_extensions(), *_of_module(sys.modules.get(flow.__module__))):
        if cls.type == name:
            return cls
    return None


def _trials(name: str) -> Iterator[type[MetaflowCard]]:
    """The types that Metaflow brings for trying out cards; loaded for their names only."""
    if not name.startswith("test_"):
        return iter(())
    from headrace.frontends.metaflow.cards import trials

    return _of_module(trials)


def _of_module(module: Any) -> Iterator[type[MetaflowCard]]:
    for one in vars(module).values() if module is not None else ():
        if isinstance(one, type) and issubclass(one, MetaflowCard) and one.type:
            yield one


def _extensions() -> Iterator[type[MetaflowCard]]:
    """What packages ``metaflow_extensions.ORG.plugins.cards`` list as ``CARDS``."""
    try:
        top = importlib.import_module("metaflow_extensions")
    except ImportError:
        return
    folders = (folder for place in top.__path__ if Path(place).is_dir() for folder in Path(place).iterdir())
    for name in sorted({folder.name for folder in folders if (folder / "plugins" / "cards").is_dir()}):
        try:
            package = importlib.import_module(f"metaflow_extensions.{name}.plugins.cards")
        except Exception:  # a package of others must not break a step
            continue
        for module in (package, *_inside(package)):
            listed = getattr(module, "CARDS", None)
            for cls in listed if isinstance(listed, list) else ():
                if isinstance(cls, type) and issubclass(cls, MetaflowCard) and cls.type:
                    yield cls


def _inside(package: Any) -> Iterator[Any]:
    """Modules that a package without code of its own consists of; one that cannot be imported is left out."""
    for one in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if one.ispkg or one.name.rpartition(".")[2].startswith("mfextinit_"):
            try:
                yield importlib.import_module(one.name)
            except Exception:  # as above
                continue
