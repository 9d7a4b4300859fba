"""Not a flow: what tools read of the graph of ``layered.py`` without running it."""

import layered

FLOW = layered.Layered(use_cli=False)
GRAPH = FLOW._graph
FACTS = (
    *("name", "type", "in_funcs", "out_funcs", "split_parents", "split_branches", "matching_join", "num_args", "doc"),
    *("is_inside_foreach", "parallel_step", "parallel_foreach", "num_parallel", "foreach_param", "condition"),
    *("switch_cases", "has_tail_next", "invalid_tail_next", "tail_next_lineno", "func_lineno", "node_info"),
    *("is_start_step", "is_end_step"),
)
for node in GRAPH:
    print(
        *(f"{name}={getattr(node, name)!r}" for name in FACTS), [(one.name, one.attributes) for one in node.decorators]
    )
print(GRAPH["turn"])
print(str(GRAPH).count("\n"), GRAPH.sorted_nodes, sorted(GRAPH.nodes))
print(GRAPH.output_dot())
steps, structure = GRAPH.output_steps()
print(structure, [(name, sorted(facts)) for name, facts in steps.items()])
print(FLOW, [one.name for one in FLOW], layered.Layered._graph["fan"].type)
print([(name, one.name, one.IS_CONFIG_PARAMETER) for name, one in FLOW._get_parameters()])
