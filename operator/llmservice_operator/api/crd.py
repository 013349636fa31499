"""The CustomResourceDefinition, made of the types."""

from llmservice_operator.api.manifest import Manifest
from llmservice_operator.api.part import rule, rules
from llmservice_operator.api.resource import GROUP, KIND, VERSION
from llmservice_operator.api.spec import LLMServiceSpec
from llmservice_operator.api.status import LLMServiceStatus
from llmservice_operator.api.structural import structural_schema

NAME_LENGTH = 52
"""Children are named like the resource, the longest with "-" and a hash of ten characters, and a
Service's name is a label of 63."""

_SERVED = (
    "(has({0}.spec) && has({0}.spec.model) && has({0}.spec.model.servedName) "
    "? {0}.spec.model.servedName : {0}.metadata.name)"
)


def crd() -> Manifest:
    """The CustomResourceDefinition llmservices.llmservice.io."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"llmservices.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": "llmservices",
                "singular": "llmservice",
                "shortNames": ["llm"],
                # `kubectl delete all --all` takes the children: then it must take the parent too.
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _schema()},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": _columns(),
                }
            ],
        },
    }


def _schema() -> Manifest:
    return {
        "type": "object",
        "description": (
            "One model behind an OpenAI-compatible endpoint: its servers, Service, configuration, "
            "autoscaling and disruption budget."
        ),
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
            "kind": {"type": "string", "description": KIND},
            "metadata": {"type": "object"},
            "spec": structural_schema(LLMServiceSpec),
            # Without it a new object counts as done for kstatus, until the operator sees it.
            "status": {
                **structural_schema(LLMServiceStatus),
                "default": {"observedGeneration": -1},
            },
        },
        **rules(
            # `required` would answer with two words.
            rule(
                "has(self.spec)",
                "spec is missing: write spec: {model: {uri: hf://ORGANISATION/NAME}}, or pvc:// "
                "or file://",
                path=".spec",
            ),
            rule(
                f"self.metadata.name.size() <= {NAME_LENGTH}",
                f"metadata.name is too long: write at most {NAME_LENGTH} characters, for the "
                "names of the children are longer",
            ),
            rule(
                "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                "metadata.name becomes a Service's name: write lower-case letters, digits and '-', "
                "starting with a letter and ending with a letter or digit",
            ),
            rule(
                f"{_SERVED.format('self')} == {_SERVED.format('oldSelf')}",
                says="'model.servedName is what clients call the model and cannot change: keep ' + "
                f"{_SERVED.format('oldSelf')} + ', or make another LLMService'",
                path=".spec.model.servedName",
            ),
        ),
    }


def _columns() -> list[Manifest]:
    def column(name: str, path: str, kind: str = "string", *, wide: bool = False) -> Manifest:
        made: Manifest = {"name": name, "type": kind, "jsonPath": path}
        return made | {"priority": 1} if wide else made

    ready = '.status.conditions[?(@.type=="Ready")]'
    return [
        column("Ready", f"{ready}.status"),
        column("Up", ".status.readyReplicas", "integer"),
        column("Replicas", ".status.replicas", "integer"),
        column("Model", ".status.model"),
        column("URL", ".status.url"),
        column("Age", ".metadata.creationTimestamp", "date"),
        column("Reason", f"{ready}.reason", wide=True),
        column("Message", f"{ready}.message", wide=True),
    ]
