"""Not a flow: the names that users' code imports."""

import importlib

for module, names in {
    "metaflow": "FlowSpec step Parameter JSONType IncludeFile Config ConfigValue config_expr current retry catch timeout "
    "environment resources secrets card parallel conda pypi batch kubernetes project schedule trigger trigger_on_finish "
    "exit_hook conda_base pypi_base FlowMutator StepMutator UserStepDecorator user_step_decorator USER_SKIP_STEP Metaflow Flow "
    "Run Step Task DataArtifact namespace get_namespace default_namespace metadata get_metadata default_metadata Runner "
    "NBRunner Deployer NBDeployer parallel_map parallel_imap_unordered profile S3 yaml_parser requirements_txt_parser "
    "pyproject_toml_parser conda_environment_yml_parser namespaced_event_name get_secret inspect_spin __version__ get_cards",
    "metaflow.exception": "MetaflowException MetaflowNotFound MetaflowNamespaceMismatch MetaflowInternalError "
    "MetaflowInvalidPathspec MetaflowUnknownUser MetaflowTaggingError MissingInMergeArtifactsException "
    "UnhandledInMergeArtifactsException InvalidDecoratorAttribute CommandException ParameterFieldFailed "
    "ParameterFieldTypeMismatch ExternalCommandFailed MetaflowDataMissing METAFLOW_EXIT_DISALLOW_RETRY",
    "metaflow.flowspec": "InvalidNextException FlowSpec",
    "metaflow.client": "Metaflow Flow Run Step Task DataArtifact namespace",
    "metaflow.cards": "Artifact Table Image Error Markdown ProgressBar ValueBox VegaChart PythonCode EventsTimeline "
    "JSONViewer YAMLViewer DefaultCard BlankCard ErrorCard PageComponent MetaflowCard MetaflowCardComponent get_cards",
    "metaflow.events": "Trigger MetaflowTrigger",
    "metaflow.integrations": "ArgoEvent",
    "metaflow.includefile": "IncludedFile IncludeFile",
    "metaflow.metaflow_current": "current Current",
    "metaflow.metaflow_version": "get_version",
    "metaflow.parameters": "Parameter JSONType",
    "metaflow.util": "get_username resolve_identity to_unicode",
    "metaflow.plugins.timeout_decorator": "TimeoutException",
    "metaflow.plugins.catch_decorator": "FailureHandledByCatch",
    "metaflow.plugins.cards.exception": "CardNotPresentException",
    "metaflow.user_decorators.user_step_decorator": "UserStepDecorator StepMutator",
    "metaflow.user_decorators.user_flow_decorator": "FlowMutator",
    "metaflow.user_decorators.mutable_flow": "MutableFlow",
    "metaflow.user_decorators.mutable_step": "MutableStep",
}.items():
    try:
        loaded = importlib.import_module(module)
    except ImportError:
        print(module, "absent")
        continue
    print(module, sorted(name for name in names.split() if not hasattr(loaded, name)))
