"""``NBRunner`` and ``NBDeployer``: flows that one cell of a notebook holds as a whole.

The cell is written to a file, up to the end of the flow's class, and the file is what runs: what other cells made is
not there.
"""

from __future__ import annotations

import ast
import os
import tempfile
from collections.abc import Mapping
from typing import Any

from headrace._base.backports import add_note
from headrace.frontends.metaflow.programs.deployer import Deployer
from headrace.frontends.metaflow.programs.flowfile import OfFlowFile
from headrace.frontends.metaflow.programs.runner import ExecutingRun, ExecutingTask, Runner


class NBRunnerInitializationError(Exception):
    """There is no notebook here."""


class NBDeployerInitializationError(Exception):
    """There is no notebook here."""


#: What is wrong where the cell lacks a name.
_ALONE = (
    "The cell of the flow runs as a file of its own, without what other cells made: repeat there the imports and "
    "definitions that the flow needs."
)


def current_cell() -> str | None:
    """The cell that runs; None outside a notebook."""
    try:
        from IPython import get_ipython
    except ModuleNotFoundError:
        return None
    shell = get_ipython()
    return str(shell.history_manager.input_hist_raw[-1]) if shell is not None else None


def flow_source(cell: str, name: str) -> str:
    """The text of a flow file for class ``name`` of a cell, else for the first class that derives from FlowSpec.

    Raises:
        ModuleNotFoundError: the cell has no flow.
    """
    lines = ["" if line.lstrip()[:1] in ("%", "!") else line for line in cell.splitlines()]  # what only notebooks know
    classes = [one for one in ast.parse("\n".join(lines)).body if isinstance(one, ast.ClassDef)]
    found = [one for one in classes if one.name == name] or [one for one in classes if _is_flow(one)]
    if not found:
        raise ModuleNotFoundError(
            "The cell doesn't contain any class that inherits from 'FlowSpec': NBRunner runs the cell in which it is "
            "called, so that imports, class and NBRunner(...) belong into one"
        )
    head = lines[: found[0].end_lineno]
    return "\n".join([*head, "", 'if __name__ == "__main__":', f"    {found[0].name}()", ""])


def _is_flow(node: ast.ClassDef) -> bool:
    return any(getattr(base, "id", getattr(base, "attr", "")) == "FlowSpec" for base in node.bases)


def _write_cell(flow: Any, folder: str, who: str, error: type[Exception]) -> str:
    """The file that the current cell becomes, in ``folder``."""
    cell = current_cell()
    if cell is None:
        raise error(f"'{who}' requires an interactive Python environment (such as Jupyter)")
    if not cell:
        raise ValueError("Couldn't find a cell.")
    text = flow_source(cell, flow.__name__)
    handle, path = tempfile.mkstemp(prefix=flow.__name__, suffix=".py", dir=folder, text=True)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    return path


class _OfCell:
    """What drives the flow of the current cell. Other keywords are those of the class that drives a file.

    Raises:
        MetaflowException: there is no notebook here; ModuleNotFoundError: the cell has no flow.
    """

    _driver: type[OfFlowFile]
    _error: type[Exception]

    def __init__(
        self,
        flow: Any,
        show_output: bool = True,
        profile: str | None = None,
        env: Mapping[str, str] | None = None,
        base_dir: str | None = None,
        file_read_timeout: int = 3600,
        **kwargs: Any,
    ) -> None:
        self.flow = flow
        self.base_dir = base_dir if base_dir is not None else os.getcwd()  # noqa: PTH109
        self._file = _write_cell(flow, self.base_dir, type(self).__name__, self._error)
        environment = {**(env or {}), "JPY_PARENT_PID": ""}
        driver: Any = self._driver
        try:
            self._made: Any = driver(
                self._file, show_output, profile, environment, self.base_dir, file_read_timeout, **kwargs
            )
        except BaseException as error:
            os.remove(self._file)  # noqa: PTH107
            if isinstance(error, NameError):
                add_note(error, _ALONE)
            raise

    def cleanup(self) -> None:
        """Remove the file of the cell; may be called again."""
        if os.path.exists(self._file):  # noqa: PTH110
            os.remove(self._file)  # noqa: PTH107


class NBRunner(_OfCell):
    """Runs the flow that the current cell holds; to be made on the last line of the cell. Keywords are ``Runner``'s.

    Raises:
        NBRunnerInitializationError: there is no notebook here; ModuleNotFoundError: the cell has no flow.
    """

    _driver, _error = Runner, NBRunnerInitializationError

    @property
    def runner(self) -> Runner:
        """What runs the file of the cell."""
        made: Runner = self._made
        return made

    def nbrun(self, **kwargs: Any) -> Any:
        """Run the flow, wait for its end and clean up; the run."""
        try:
            return self.runner.run(**kwargs).run
        finally:
            self.cleanup()

    def nbresume(self, **kwargs: Any) -> Any:
        """Resume the flow, wait for its end and clean up; the run."""
        try:
            return self.runner.resume(**kwargs).run
        finally:
            self.cleanup()

    def run(self, **kwargs: Any) -> ExecutingRun:
        """See ``Runner.run``."""
        return self.runner.run(**kwargs)

    def resume(self, **kwargs: Any) -> ExecutingRun:
        """See ``Runner.resume``."""
        return self.runner.resume(**kwargs)

    def spin(self, pathspec: str, **kwargs: Any) -> ExecutingTask:
        """See ``Runner.spin``."""
        return self.runner.spin(pathspec, **kwargs)

    async def async_run(self, **kwargs: Any) -> ExecutingRun:
        """See ``Runner.async_run``."""
        return await self.runner.async_run(**kwargs)

    async def async_resume(self, **kwargs: Any) -> ExecutingRun:
        """See ``Runner.async_resume``."""
        return await self.runner.async_resume(**kwargs)

    async def async_spin(self, pathspec: str, **kwargs: Any) -> ExecutingTask:
        """See ``Runner.async_spin``."""
        return await self.runner.async_spin(pathspec, **kwargs)

    def cleanup(self) -> None:
        """Remove the file of the cell and those of outputs; may be called again."""
        super().cleanup()
        self.runner.cleanup()


class NBDeployer(_OfCell):
    """A ``Deployer`` of the flow that the current cell holds; all else is that one's.

    Raises:
        NBDeployerInitializationError: there is no notebook here; ModuleNotFoundError: the cell has no flow.
    """

    _driver, _error = Deployer, NBDeployerInitializationError

    def __getattr__(self, name: str) -> Any:
        if name == "_made":
            raise AttributeError(name)
        return self._made if name == "deployer" else getattr(self._made, name)
