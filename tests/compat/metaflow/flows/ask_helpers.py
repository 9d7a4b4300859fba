"""Not a flow: helpers that users' code imports from inside, and what they do."""

import importlib
import os

from linear import Linear

for module, names in {
    "metaflow": "JSONTypeClass package_sources",
    "metaflow.client.core": "MetaflowNotFound MetaflowNamespaceMismatch MetaflowInvalidPathspec",
    "metaflow.datastore": "Inputs",
    "metaflow.decorators": "BadStepDecoratorException BadFlowDecoratorException DuplicateStepDecoratorException "
    "UnknownStepDecoratorException InvalidDecoratorAttribute Decorator",
    "metaflow.flowspec": "FlowSpec FlowSpecMeta ParallelUBF UnhandledInMergeArtifactsException "
    "MissingInMergeArtifactsException InvalidNextException",
    "metaflow.graph": "DAGNode FlowGraph",
    "metaflow.lint": "FlowLinter LintWarn linter",
    "metaflow.metaflow_current": "Parallel current",
    "metaflow.parameters": "JSONType JSONTypeClass Parameter ParameterContext",
    "metaflow.plugins.aws.aws_client": "get_aws_client",
    "metaflow.plugins.datatools": "S3 MetaflowS3Exception",
    "metaflow.plugins.package_sources": "package_sources",
    "metaflow.plugins.package_suffixes_mutator": "package_suffixes",
    "metaflow.packaging_sys": "ContentType",
    "metaflow.plugins.secrets.secrets_func": "get_secret",
    "metaflow.unbounded_foreach": "UnboundedForeachInput",
}.items():
    loaded = importlib.import_module(module)
    print(module, [name for name in names.split() if not hasattr(loaded, name)])

from metaflow import unbounded_foreach, util
from metaflow.flowspec import ParallelUBF
from metaflow.graph import DAGNode, FlowGraph
from metaflow.lint import LintWarn, linter
from metaflow.multicore_utils import MulticoreException, parallel_map
from metaflow.parameters import JSONType, JSONTypeClass
from metaflow.tagging_util import MAX_TAG_SIZE, MetaflowTaggingError, validate_tag, validate_tags

print(unbounded_foreach.CONTROL_TASK_TAG, unbounded_foreach.UBF_CONTROL, unbounded_foreach.UBF_TASK)
gang = ParallelUBF(3)
print(isinstance(gang, unbounded_foreach.UnboundedForeachInput), gang.num_parallel, gang[None], gang[2])
print(isinstance(JSONType, JSONTypeClass))


def outcome(function, *given):
    try:
        return function(*given)
    except Exception as error:
        return type(error).__name__


graph = FlowGraph(Linear)
print(outcome(linter.run_checks, graph), isinstance(graph["start"], DAGNode))


class Broken(Linear):
    start = Linear.end


print(outcome(linter.run_checks, FlowGraph(Broken)), issubclass(LintWarn, Exception))
for given in ("x", b"y", 5, 1.5, "ü", [1]):
    print(util.is_stringish(given), util.to_bytes(given), util.to_unicode(given), util.to_fileobj(given).read())
print(util.url_quote("http://a.b/ü d?e=1"), util.url_unquote(b"http://a.b/%C3%BC%20d"), util.url_quote(b"a:b"))
print([util.all_equal(one) for one in ([], [1], [1, 1], [1, 2], "aab", iter([2, 2]))])
tree = {"a_key": [{"b_c_d": 1, "_e": (2, {"f_g": 3.5})}], "plain": "x_y"}
print(util.to_camelcase(tree), util.to_pascalcase(tree))
with util.TempDir() as folder:
    print(type(folder).__name__, os.path.isdir(folder))
print(os.path.exists(folder), util.which("nothing-of-the-kind"), util.resolve_identity_as_tuple())
os.environ["METAFLOW_PRODUCTION_TOKEN"] = "tok"
print(util.resolve_identity(), util.resolve_identity_as_tuple())
print(parallel_map(lambda n: n * n, [1, 2, 3]), outcome(parallel_map, lambda n: 1 // n, [0]))
print(issubclass(MulticoreException, Exception), MAX_TAG_SIZE)
for tag in ("fine", b"fine", "", 5, "x" * 500, "x" * 501, b"\xff", "\ud800", ["a"]):
    print(outcome(validate_tag, tag))
many = [str(n) for n in range(51)]
print(outcome(validate_tags, many), outcome(validate_tags, many, many), outcome(validate_tags, many[:50]))
print(outcome(validate_tags, ["a", ""]), issubclass(MetaflowTaggingError, Exception))
