"""Kinds of values that several parts of the resource share, each with its check and its sentence.

A check given as a pattern holds both here and in the API server: RE2 and Python read it alike.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from llmservice_operator.api.part import rule, rules
from llmservice_operator.api.quantity import normalized


def matching(pattern: str, sentence: str) -> AfterValidator:
    """Refuses text that pattern, from ^ to $, does not match, with sentence."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(sentence)
        return value

    return AfterValidator(check)


def text(pattern: str, sentence: str, max_length: int) -> Any:
    """What Annotated wants for a string that pattern, from ^ to $, matches."""
    found = rules(rule(f"self.matches(r'{pattern}')", sentence))
    return Field(min_length=1, max_length=max_length, json_schema_extra=found)


def named(most: int) -> Any:
    """What Annotated wants for a list of at most so many parts, known by their names."""
    keys: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    return Field(max_length=most, json_schema_extra=keys)


_DNS = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_DNS_SENTENCE = (
    "not the name of an object: write lower-case letters, digits, '-' and '.', "
    "starting and ending with a letter or digit"
)
ObjectName = Annotated[str, text(_DNS, _DNS_SENTENCE, 253), matching(_DNS, _DNS_SENTENCE)]

_KEY = r"^[-._a-zA-Z0-9]+$"
_KEY_SENTENCE = "not a key of a Secret or ConfigMap: write letters, digits, '-', '_' and '.'"
DataKey = Annotated[str, text(_KEY, _KEY_SENTENCE, 253), matching(_KEY, _KEY_SENTENCE)]

_LABEL = r"^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$"
_LABEL_SENTENCE = (
    "not the value of a label: write letters, digits, '-', '_' and '.', "
    "starting and ending with a letter or digit"
)
LabelValue = Annotated[str, text(_LABEL, _LABEL_SENTENCE, 63), matching(_LABEL, _LABEL_SENTENCE)]

_QUALIFIED = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$"
)
_QUALIFIED_SENTENCE = "not the key of a label or a resource: write it as nvidia.com/gpu or zone"
QualifiedName = Annotated[
    str, text(_QUALIFIED, _QUALIFIED_SENTENCE, 317), matching(_QUALIFIED, _QUALIFIED_SENTENCE)
]

_COLLECTOR = r"^https?://[^\s/]\S*$"
_COLLECTOR_SENTENCE = (
    "not where a collector takes OTLP over HTTP: write it as http://collector.observability:4318"
)
Collector = Annotated[
    str, text(_COLLECTOR, _COLLECTOR_SENTENCE, 2048), matching(_COLLECTOR, _COLLECTOR_SENTENCE)
]

QUANTITY_SENTENCE = "not a quantity: write a number with a unit, as 500m, 2 or 20Gi, without a sign"
# The API server takes whatever is larger for 2^63-1.
TOO_LARGE = rule(
    "!isQuantity(string(self)) || "
    "quantity(string(self)).isLessThan(quantity('9223372036854775807'))",
    "not a quantity that any node has: write less than 8Ei",
)
Quantity = Annotated[
    str,
    BeforeValidator(normalized),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": 32,
            **rules(
                rule(
                    "isQuantity(string(self)) && !quantity(string(self)).isLessThan(quantity('0'))",
                    QUANTITY_SENTENCE,
                ),
                TOO_LARGE,
            ),
        }
    ),
]

INT32_MAX = 2**31 - 1
"""Most numbers of Kubernetes' own resources are no larger."""

_SHARE = r"^([0-9]|[1-9][0-9]|100)%$"
_SHARE_SENTENCE = "write a number of pods, as 1, or a share of them, as 25%"


def _count_or_share(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= INT32_MAX:
        return value
    if isinstance(value, str) and re.fullmatch(_SHARE, value):
        return value
    raise ValueError(_SHARE_SENTENCE)


CountOrShare = Annotated[
    int | str,
    BeforeValidator(_count_or_share),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": 4,
            **rules(
                rule(
                    f"type(self) == int ? self >= 0 && self <= {INT32_MAX} "
                    f": self.matches(r'{_SHARE}')",
                    _SHARE_SENTENCE,
                )
            ),
        }
    ),
]

_KEYS_RULE = rule(
    "self.all(k, !format.qualifiedName().validate(k).hasValue())",
    "a key is not one: write it as team or example.com/team",
)
_LABELS_RULE = rule(
    "self.all(k, !format.labelValue().validate(self[k]).hasValue())",
    "a value is not a label's: write at most 63 letters, digits, '-', '_' and '.', starting and "
    "ending with a letter or digit",
)
Labels = Annotated[
    Mapping[str, Annotated[str, Field(max_length=63)]],
    Field(max_length=32, json_schema_extra=rules(_KEYS_RULE, _LABELS_RULE)),
]
Annotations = Annotated[
    Mapping[str, Annotated[str, Field(max_length=16384)]],
    Field(max_length=32, json_schema_extra=rules(_KEYS_RULE)),
]
