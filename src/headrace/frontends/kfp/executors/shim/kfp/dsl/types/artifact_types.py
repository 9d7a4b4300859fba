"""Classes of artifacts: a name, a URI, metadata, and the path of the content on this machine."""

# ruff: noqa: A002 - users name these arguments

import os
import warnings
from collections.abc import Sequence
from typing import Any, Optional

from kfp.dsl.constants import WORKSPACE_MOUNT_PATH  # type: ignore[import-not-found, unused-ignore]

#: Schemes whose objects components see as files below a folder.
_MOUNTS = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/", "oci://": "/oci/"}


class Artifact:
    """A machine learning artifact of no special kind."""

    schema_title = "system.Artifact"
    schema_version = "0.0.1"

    def __init__(
        self,
        name: Optional[str] = None,  # noqa: UP045
        uri: Optional[str] = None,  # noqa: UP045
        metadata: Optional[dict[str, Any]] = None,  # noqa: UP045
    ) -> None:
        self.uri = uri or ""
        self.name = name or ""
        self.metadata = metadata or {}
        self.custom_path = ""

    @property
    def path(self) -> str:
        """Where the content is on this machine; setting it sets the URI."""
        return self._get_path()

    @path.setter
    def path(self, path: str) -> None:
        self.uri = convert_local_path_to_remote_path(path)

    def set_path(self, path: str) -> None:
        """Have the content at ``path`` instead of where the URI says."""
        self.custom_path = path

    def _get_path(self) -> str:
        path = self.custom_path or self.uri
        if not self.custom_path:
            for scheme, folder in _MOUNTS.items():
                if path.startswith(scheme):
                    rest = path[len(scheme) :]
                    path = folder + (rest.replace("/", "_") if scheme == "oci://" else rest)
                    break
        if self.metadata.get("_kfp_workspace") is True:
            path = os.path.join(WORKSPACE_MOUNT_PATH, ".artifacts", path.lstrip("/"))  # noqa: PTH118
        return path


def convert_local_path_to_remote_path(path: str) -> str:
    """The URI that a path such as ``/gcs/bucket/key`` stands for; other paths as they are."""
    for scheme, folder in _MOUNTS.items():
        if path.startswith(folder):
            rest = path[len(folder) :]
            return scheme + (rest.replace("_", "/").removesuffix("/models") if scheme == "oci://" else rest)
    return path


class Model(Artifact):
    """A machine learning model."""

    schema_title = "system.Model"

    @property
    def framework(self) -> str:
        """The framework that made it, as the metadata says."""
        return str(self.metadata.get("framework", ""))

    @framework.setter
    def framework(self, framework: str) -> None:
        self.metadata["framework"] = framework

    @property
    def path(self) -> str:
        """Where the content is on this machine; that of an image is below its folder ``models``."""
        inside = "/models" if self.uri.startswith("oci://") and not self.custom_path else ""
        return self._get_path() + inside

    @path.setter
    def path(self, path: str) -> None:
        self.uri = convert_local_path_to_remote_path(path)


class Dataset(Artifact):
    """A data set."""

    schema_title = "system.Dataset"


class Metrics(Artifact):
    """Numbers by name."""

    schema_title = "system.Metrics"

    def log_metric(self, metric: str, value: float) -> None:
        """Set a metric."""
        self.metadata[metric] = value


class ClassificationMetrics(Artifact):
    """A ROC curve and a confusion matrix."""

    schema_title = "system.ClassificationMetrics"

    def log_roc_data_point(self, fpr: float, tpr: float, threshold: float) -> None:
        """Add a point to the ROC curve."""
        point = {"confidenceThreshold": threshold, "recall": tpr, "falsePositiveRate": fpr}
        self.metadata.setdefault("confidenceMetrics", []).append(point)

    def log_roc_curve(self, fpr: Sequence[float], tpr: Sequence[float], threshold: Sequence[float]) -> None:
        """Add points to the ROC curve.

        Raises:
            ValueError: the lists differ in length.
        """
        if not len(fpr) == len(tpr) == len(threshold):
            raise ValueError(
                "Length of fpr, tpr and threshold must be the same. "
                f"Got lengths {len(fpr)}, {len(tpr)} and {len(threshold)} respectively."
            )
        for point in zip(fpr, tpr, threshold):  # noqa: B905 - of equal lengths
            self.log_roc_data_point(*point)

    def set_confusion_matrix_categories(self, categories: Sequence[str]) -> None:
        """Begin a confusion matrix of zeros."""
        self.metadata["confusionMatrix"] = {
            "annotationSpecs": [{"displayName": one} for one in categories],
            "rows": [{"row": [0] * len(categories)} for _ in categories],
        }

    def log_confusion_matrix_row(self, row_category: str, row: Sequence[float]) -> None:
        """Set a row.

        Raises:
            ValueError: there is no such category, or the row has another length.
        """
        at = self._place(row_category)
        if len(row) != len(self._categories):
            raise ValueError(f"Invalid row. Expected size: {len(self._categories)} got: {len(row)}")
        self.metadata["confusionMatrix"]["rows"][at] = {"row": row}

    def log_confusion_matrix_cell(self, row_category: str, col_category: str, value: int) -> None:
        """Set a cell.

        Raises:
            ValueError: there is no such category.
        """
        row, column = self._place(row_category), self._place(col_category)
        self.metadata["confusionMatrix"]["rows"][row]["row"][column] = value

    def log_confusion_matrix(self, categories: Sequence[str], matrix: Sequence[Sequence[int]]) -> None:
        """Set the whole confusion matrix.

        Raises:
            ValueError: its size is not that of the categories.
        """
        self.set_confusion_matrix_categories(categories)
        if len(matrix) != len(categories) or any(len(row) != len(categories) for row in matrix):
            raise ValueError(f"Invalid matrix: {matrix} passed for categories: {categories}")
        for category, row in zip(categories, matrix):  # noqa: B905
            self.log_confusion_matrix_row(category, row)

    @property
    def _categories(self) -> list[str]:
        known = self.metadata.get("confusionMatrix", {}).get("annotationSpecs", [])
        return [one["displayName"] for one in known]

    def _place(self, category: str) -> int:
        if category not in self._categories:
            raise ValueError(f"Invalid category: {category} passed. Expected one of: {self._categories}")
        return self._categories.index(category)


class SlicedClassificationMetrics(Artifact):
    """A ROC curve and a confusion matrix for each slice of the data."""

    schema_title = "system.SlicedClassificationMetrics"

    def log_roc_reading(self, slice: str, threshold: float, tpr: float, fpr: float) -> None:
        """Add a point to the ROC curve of a slice."""
        self._of(slice).log_roc_data_point(fpr=fpr, tpr=tpr, threshold=threshold)

    def load_roc_readings(self, slice: str, readings: Sequence[Sequence[float]]) -> None:
        """Add points to the ROC curve of a slice: threshold, true and false positive rate each."""
        for threshold, tpr, fpr in readings:
            self.log_roc_reading(slice, threshold, tpr, fpr)

    def set_confusion_matrix_categories(self, slice: str, categories: Sequence[str]) -> None:
        """Begin a confusion matrix of zeros for a slice."""
        self._of(slice).set_confusion_matrix_categories(categories)

    def log_confusion_matrix_row(self, slice: str, row_category: str, row: Sequence[int]) -> None:
        """Set a row for a slice."""
        self._of(slice).log_confusion_matrix_row(row_category, row)

    def log_confusion_matrix_cell(self, slice: str, row_category: str, col_category: str, value: int) -> None:
        """Set a cell for a slice."""
        self._of(slice).log_confusion_matrix_cell(row_category, col_category, value)

    def load_confusion_matrix(self, slice: str, categories: Sequence[str], matrix: Sequence[Sequence[int]]) -> None:
        """Set the whole confusion matrix of a slice."""
        self._of(slice).log_confusion_matrix(categories, matrix)

    def _of(self, name: str) -> ClassificationMetrics:
        slices = self.metadata.setdefault("evaluationSlices", [])
        for one in slices:
            if one["slice"] == name:
                break
        else:
            one = {"slice": name, "sliceClassificationMetrics": {}}
            slices.append(one)
        found = ClassificationMetrics()
        found.metadata = one["sliceClassificationMetrics"]  # the same dictionary: what is logged is in both
        return found


class HTML(Artifact):
    """A page of HTML."""

    schema_title = "system.HTML"


class Markdown(Artifact):
    """A text in Markdown."""

    schema_title = "system.Markdown"


_SCHEMA_TITLE_TO_TYPE = {
    one.schema_title: one
    for one in (
        Artifact,
        Model,
        Dataset,
        Metrics,
        ClassificationMetrics,
        SlicedClassificationMetrics,
        HTML,
        Markdown,
    )
}
#: Classes by their names in lower case.
BY_NAME = {one.__name__.lower(): one for one in _SCHEMA_TITLE_TO_TYPE.values()}
#: The folder of the task that runs.
CONTAINER_TASK_ROOT: Optional[str] = None  # noqa: UP045


def get_uri(suffix: str = "Output") -> str:
    """A URI of the running task's own, for an artifact that it makes.

    Raises:
        RuntimeError: no task runs.
    """
    if CONTAINER_TASK_ROOT is None:
        raise RuntimeError(
            "'dsl.get_uri' can only be called at task runtime. The task root is unknown in the current environment."
        )
    if CONTAINER_TASK_ROOT == "/tmp/kfp_outputs":
        warnings.warn("dsl.get_uri needs a URI given explicitly here.", RuntimeWarning, stacklevel=2)
        return ""
    return os.path.join(convert_local_path_to_remote_path(CONTAINER_TASK_ROOT), suffix)  # noqa: PTH118
