"""The vLLM flags that a user may not set, because the server or the operator sets them.

Promises one sentence a flag that says what to write instead. Knows no vLLM and reads nothing, so
that the operator can put the same sentences into the resource's schema.
"""

from collections.abc import Mapping
from types import MappingProxyType

_ADDRESS = "the Service and the probes point at the server's own address; expose.service sets ports"
_TLS = "TLS ends in front of the server, at the Ingress or the gateway; configure it there"
_LOGS = "every line of the server is JSON at one level; set observability.logLevel"
_CORS = "browsers are answered by the gateway; write gateway.cors.origins"
_REPLICAS = "one pod is one engine; write replicas or autoscaling for more"
_ONE_NODE = "one pod is one engine on one node; write gpu.tensorParallel or gpu.pipelineParallel"
_PRINTS = "vLLM would print it and end; remove it"

RESERVED_ARGS: Mapping[str, str] = MappingProxyType(
    {
        "model": "write model.uri",
        "served-model-name": "write model.servedName",
        "revision": "write model.revision",
        "hf-token": "a token in arguments is readable by everyone; write model.credentialsSecret",
        "tensor-parallel-size": "write gpu.tensorParallel",
        "pipeline-parallel-size": "write gpu.pipelineParallel",
        "data-parallel-size": _REPLICAS,
        "data-parallel-size-local": _REPLICAS,
        "data-parallel-rank": _REPLICAS,
        "data-parallel-start-rank": _REPLICAS,
        "data-parallel-address": _REPLICAS,
        "data-parallel-rpc-port": _REPLICAS,
        "data-parallel-backend": _REPLICAS,
        "data-parallel-hybrid-lb": _REPLICAS,
        "data-parallel-external-lb": _REPLICAS,
        "data-parallel-multi-port-external-lb": _REPLICAS,
        "data-parallel-supervisor-port": _REPLICAS,
        "api-server-count": _REPLICAS,
        "headless": _ONE_NODE,
        "nnodes": _ONE_NODE,
        "node-rank": _ONE_NODE,
        "master-addr": _ONE_NODE,
        "master-port": _ONE_NODE,
        "host": _ADDRESS,
        "port": _ADDRESS,
        "uds": _ADDRESS,
        "root-path": "clients and probes use the paths as they are; rewrite paths in the Ingress",
        "grpc": "only the HTTP API is served; remove it",
        "grpc-port": "only the HTTP API is served; remove it",
        "ssl-keyfile": _TLS,
        "ssl-certfile": _TLS,
        "ssl-ca-certs": _TLS,
        "ssl-cert-reqs": _TLS,
        "ssl-ciphers": _TLS,
        "enable-ssl-refresh": _TLS,
        "api-key": "a key in arguments is readable by everyone and leaves routes open; remove it",
        "allowed-origins": _CORS,
        "allowed-methods": _CORS,
        "allowed-headers": _CORS,
        "allow-credentials": _CORS,
        "middleware": "the server puts its gateway there; remove it",
        "enable-request-id-headers": "the server answers with x-request-id always; remove it",
        "help": _PRINTS,
        "version": _PRINTS,
        "config": "write the flags themselves under engine.args",
        "shutdown-timeout": "the server drains by itself; write rollout.drainSeconds",
        "logging-config": _LOGS,
        "log-config-file": _LOGS,
        "log-level": _LOGS,
        "uvicorn-log-level": _LOGS,
        "disable-uvicorn-access-log": _LOGS,
        "disable-access-log-for-endpoints": _LOGS,
    }
)
