"""``headrace.kfp.load("pipeline.yaml")``: compiled Kubeflow pipelines as parts of native flows."""

from headrace.frontends.kfp.parts import LoadedPipeline, Part, load

__all__ = ["LoadedPipeline", "Part", "load"]
