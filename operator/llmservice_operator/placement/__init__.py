"""Nodes and GPUs: what a replica asks of a node, which have it, and how often it fits. Pure."""

from llmservice_operator.placement.affinity import node_affinity
from llmservice_operator.placement.demand import Demand, demand
from llmservice_operator.placement.nodes import NodeFacts, Place, Scheduled, node, place, scheduled
from llmservice_operator.placement.report import PlacementReport, report
from llmservice_operator.placement.taken import Taken

__all__ = [
    "Demand",
    "NodeFacts",
    "Place",
    "PlacementReport",
    "Scheduled",
    "Taken",
    "demand",
    "node",
    "node_affinity",
    "place",
    "report",
    "scheduled",
]
