"""Stands in for vllm.v1.worker.worker_base."""

from vllm import gates


class WorkerWrapperBase:
    def initialize_from_config(self, kv_cache_configs: list[object]) -> None:
        """Reserve the caches."""


if gates.lacks("WorkerWrapperBase"):
    Renamed = WorkerWrapperBase
    del WorkerWrapperBase
