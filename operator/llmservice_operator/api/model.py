"""spec.model: which model, where it lies, and the name that clients call it by."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from llmservice_operator.api.fields import ObjectName, matching, text
from llmservice_operator.api.part import Part, required, rule, rules

Scheme = Literal["hf", "pvc", "file"]

MOUNT_PATH = "/models"
TOKEN_KEY = "HF_TOKEN"  # noqa: S105 - the name of a Secret's key and of a variable, not a token

_SCHEMES = r"^(hf|pvc|file)://"
_SCHEMES_SENTENCE = (
    "unknown scheme: write hf://ORGANISATION/NAME for a model on Hugging Face, "
    "pvc://CLAIM/PATH for one in a PersistentVolumeClaim, or file:///PATH for one in the image"
)
_FORMS = {
    "hf": (
        r"^hf://[A-Za-z0-9][-._A-Za-z0-9]*/[A-Za-z0-9][-._A-Za-z0-9]*$",
        (
            "write hf://ORGANISATION/NAME, as hf://Qwen/Qwen2.5-7B-Instruct; "
            "a branch or commit goes into model.revision"
        ),
    ),
    "pvc": (
        r"^pvc://[a-z0-9]([-.a-z0-9]*[a-z0-9])?(/[-._+@A-Za-z0-9]*[-_+@A-Za-z0-9])*$",
        (
            "write pvc://CLAIM/PATH, as pvc://models/qwen2.5-7b: the claim's name and the model's "
            "folder in it, without .. or a slash at the end"
        ),
    ),
    "file": (
        r"^file://(/[-._+@A-Za-z0-9]*[-_+@A-Za-z0-9])+$",
        (
            "write file:///PATH with three slashes, as file:///opt/models/qwen: an absolute path "
            "in the image, without .. or a slash at the end"
        ),
    ),
}


def _well_formed(uri: str) -> str:
    if not re.match(_SCHEMES, uri):
        raise ValueError(_SCHEMES_SENTENCE)
    pattern, sentence = _FORMS[uri.partition("://")[0]]
    if not re.fullmatch(pattern, uri):
        raise ValueError(sentence)
    return uri


_URI_RULES = rules(
    rule(f"self.matches(r'{_SCHEMES}')", _SCHEMES_SENTENCE),
    *(
        rule(f"!self.startsWith('{scheme}://') || self.matches(r'{pattern}')", sentence)
        for scheme, (pattern, sentence) in _FORMS.items()
    ),
)
_MISSING = "uri is missing: write hf://ORGANISATION/NAME, pvc://CLAIM/PATH or file:///PATH"
_REVISION = r"^[A-Za-z0-9][-._/A-Za-z0-9]*$"
_REVISION_SENTENCE = "write a branch, a tag or a commit of the model's repository, as main"
_SERVED = r"^[A-Za-z0-9]([-._:/A-Za-z0-9]*[A-Za-z0-9])?$"
_SERVED_SENTENCE = (
    "write letters, digits and any of - . _ : / between them, as qwen or Qwen/Qwen2.5"
)


class Model(Part):
    """Which model is served."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.revision) || !has(self.uri) || self.uri.startsWith('hf://')",
                "revision is for hf:// only: remove it, or name another path or claim in uri",
                path=".revision",
            ),
            rule(
                "!has(self.credentialsSecret) || !has(self.uri) || self.uri.startsWith('hf://')",
                "credentialsSecret is for hf:// only: remove it",
                path=".credentialsSecret",
            ),
        )
    )

    uri: Annotated[
        str,
        Field(max_length=512, json_schema_extra=_URI_RULES | required(_MISSING)),
        AfterValidator(_well_formed),
    ]
    """Where the model lies. Required.
    hf://ORGANISATION/NAME is fetched from Hugging Face by each replica when it starts;
    pvc://CLAIM/PATH is read from a PersistentVolumeClaim of the same namespace, mounted read-only;
    file:///PATH lies in the image.
    Changing it replaces the replicas one by one; the name that clients use stays."""

    revision: (
        Annotated[
            str,
            text(_REVISION, _REVISION_SENTENCE, 128),
            matching(_REVISION, _REVISION_SENTENCE),
        ]
        | None
    ) = None
    """Branch, tag or commit of an hf:// model. Name a commit in production, or two replicas may
    serve two versions. Default: the repository's default branch."""

    served_name: (
        Annotated[str, text(_SERVED, _SERVED_SENTENCE, 128), matching(_SERVED, _SERVED_SENTENCE)]
        | None
    ) = None
    """What clients write as `model` in their requests. Default: the name of this resource.
    It cannot change later, because every client would have to change with it."""

    credentials_secret: ObjectName | None = None
    """Name of a Secret of the same namespace whose key HF_TOKEN opens a private or gated hf://
    model."""

    @property
    def scheme(self) -> Scheme:
        """Where the URI says that the model lies."""
        match self.uri.partition("://")[0]:
            case "pvc":
                return "pvc"
            case "file":
                return "file"
            case _:
                return "hf"

    @property
    def claim(self) -> str | None:
        """The PersistentVolumeClaim of a pvc:// model."""
        return self._location.partition("/")[0] if self.scheme == "pvc" else None

    @property
    def source(self) -> str:
        """What the engine loads: a path in the container, or a Hugging Face id."""
        if self.scheme == "pvc":
            path = self._location.partition("/")[2]
            return f"{MOUNT_PATH}/{path}" if path else MOUNT_PATH
        return self._location

    @property
    def _location(self) -> str:
        return self.uri.partition("://")[2]
