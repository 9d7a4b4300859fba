"""What is shown of artifacts of KFP."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from headrace.frontends.kfp.artifact_previews import preview_of
from headrace.frontends.kfp.contract import ArtifactValue
from headrace.stores.codecs import File

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["confidenceMetrics", "confusionMatrix", "evaluationSlices", "framework"])


def test_confusion_matrix_is_a_table():
    matrix = {
        "annotationSpecs": [{"displayName": "a"}, {"displayName": "b"}],
        "rows": [{"row": [1, 2]}, {"row": [3, 4]}],
    }
    shown = preview_of(
        ArtifactValue(name="m", schema_title="system.ClassificationMetrics", metadata={"confusionMatrix": matrix})
    )
    assert shown.table == (("", "a", "b"), ("a", "1", "2"), ("b", "3", "4"))
    assert shown.text == "confusion matrix of a, b"


def test_roc_curve_is_a_table_of_its_points():
    points = [{"confidenceThreshold": 0.5, "recall": 0.75, "falsePositiveRate": 0.25}]
    shown = preview_of(
        ArtifactValue(name="m", schema_title="system.ClassificationMetrics", metadata={"confidenceMetrics": points})
    )
    assert shown.table[1:] == (("0.5", "0.75", "0.25"),)


def test_text_of_a_page_is_shown_and_cut(tmp_path: Path):
    (tmp_path / "page").write_text("# title\n" + "x" * 5000)
    shown = preview_of(ArtifactValue(name="p", schema_title="system.Markdown", content=File(tmp_path / "page")))
    assert (shown.text[:8], len(shown.text)) == ("# title\n", 2000)


@given(st.dictionaries(KEYS | st.text(), JSON, max_size=4))
def test_any_metadata_can_be_shown(metadata):
    shown = preview_of(ArtifactValue(name="m", schema_title="system.ClassificationMetrics", metadata=metadata))
    assert len(shown.text) <= 2000
