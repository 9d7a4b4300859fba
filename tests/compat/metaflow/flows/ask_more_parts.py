"""Not a flow: more of the paths that users' code imports."""

import importlib

for module, names in {
    "metaflow": "S3 DeployedFlow NBRunner NBDeployer Deployer inspect_spin",
    "metaflow.client.core": "Metaflow Flow Run Step Task DataArtifact MetaflowObject MetaflowData get_metadata metadata "
    "namespace get_namespace default_namespace inspect_spin",
    "metaflow.client": "inspect_spin metadata get_metadata default_metadata",
    "metaflow.runner.metaflow_runner": "Runner ExecutingRun ExecutingTask ExecutingProcess",
    "metaflow.runner.subprocess_manager": "CommandManager SubprocessManager LogReadTimeoutError",
    "metaflow.runner.nbrun": "NBRunner NBRunnerInitializationError",
    "metaflow.runner.nbdeploy": "NBDeployer NBDeployerInitializationError",
    "metaflow.runner.deployer": "Deployer DeployedFlow TriggeredRun",
    "metaflow.plugins.datatools.s3": "S3 S3Object S3GetObject S3PutObject RangeInfo MetaflowS3NotFound "
    "MetaflowS3Exception MetaflowS3AccessDenied MetaflowS3URLException MetaflowS3InvalidObject MetaflowS3InvalidRange",
    "metaflow.plugins.datatools.s3.s3": "S3 MetaflowS3NotFound MetaflowS3InsufficientDiskSpace",
    "metaflow.datatools": "S3",
    "metaflow.exception": "METAFLOW_EXIT_ALLOW_RETRY METAFLOW_EXIT_DISALLOW_RETRY MetaflowExceptionWrapper",
    "metaflow.multicore_utils": "parallel_map parallel_imap_unordered",
    "metaflow.metaflow_profile": "profile",
    "metaflow.metaflow_config_funcs": "from_conf",
    "metaflow.user_configs.config_parameters": "Config ConfigValue config_expr",
    "metaflow.datastore.inputs": "Inputs",
    "metaflow.graph": "FlowGraph",
    "metaflow.version": "metaflow_version",
    "metaflow.plugins.argo.argo_events": "ArgoEvent",
    "metaflow.user_decorators.user_step_decorator": "UserStepDecorator StepMutator user_step_decorator USER_SKIP_STEP",
    "metaflow.user_decorators.user_flow_decorator": "FlowMutator",
}.items():
    loaded = importlib.import_module(module)
    print(module, sorted(name for name in names.split() if not hasattr(loaded, name)))

from metaflow import metaflow_config
from metaflow.metaflow_config_funcs import from_conf

for name in (
    *(
        "DEFAULT_DATASTORE",
        "DEFAULT_METADATA",
        "DEFAULT_ENVIRONMENT",
        "DEFAULT_PACKAGE_SUFFIXES",
        "DATASTORE_LOCAL_DIR",
    ),
    *("DATASTORE_SYSROOT_S3", "DATATOOLS_S3ROOT", "S3_ENDPOINT_URL", "TEMPDIR", "KUBERNETES_NAMESPACE", "UI_URL"),
    *("MAX_ATTEMPTS", "MAXIMUM_FOREACH_VALUE_CHARS", "DEFAULT_RUNTIME_LIMIT", "SPIN_PERSIST", "SERVICE_HEADERS"),
):
    print(name, repr(getattr(metaflow_config, name)))
print(
    repr(from_conf("ASKED", 3)),
    repr(from_conf("NOT_ASKED", 3)),
    repr(from_conf("ASKED")),
    hasattr(metaflow_config, "NONSENSE"),
)
try:
    print(repr(from_conf("WRONG", 3)))
except Exception as error:
    print(type(error).__name__)
