"""Nodes and GPUs: what a replica asks of a node, and which nodes have it. Pure."""

from llmservice_operator.placement.affinity import node_affinity
from llmservice_operator.placement.demand import Demand, demand
from llmservice_operator.placement.nodes import NodeFacts
from llmservice_operator.placement.report import PlacementReport, report

__all__ = ["Demand", "NodeFacts", "PlacementReport", "demand", "node_affinity", "report"]
