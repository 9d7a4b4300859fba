"""The REST API of Kubeflow Pipelines, v2beta1, for ``kfp.Client`` and the ``kfp`` command line."""
