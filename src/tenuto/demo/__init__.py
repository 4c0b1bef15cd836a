"""The demo: an index of a repository's modules, made by a team of agents.

Tools gather the facts; a model only chooses among facts that a tool extracted, so nothing on the page can be
false, only badly chosen. `plan/demo.plan.yaml` is the plan, `tools` and `steps` are what it names.
"""
