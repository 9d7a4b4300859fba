"""The Kubeflow dialect: compiled pipelines (IR) run as they are. docs/kfp.md describes it."""
