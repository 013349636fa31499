"""The conditions that status reports, and why each of them is as it is.

An API: types and reasons are what scripts wait for and alerts match. Add to them, never rename
one. Each reason has a sentence for the documentation; messages with numbers are made in status/.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Self

Status = Literal["True", "False", "Unknown"]


class ConditionType(StrEnum):
    """Which question a condition answers."""

    READY = "Ready"  # a pod answers, and the Service leads to it
    PROGRESSING = "Progressing"  # children are on their way to what the spec asks for
    DEGRADED = "Degraded"  # something is wrong, even if other pods serve
    RECONCILING = "Reconciling"  # present only while True: kstatus reads it
    STALLED = "Stalled"  # present only while True: kstatus reads it


class Reason(StrEnum):
    """Why a condition is as it is, with the sentence that explains it."""

    sentence: str

    def __new__(cls, value: str, sentence: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member

    SERVING = "Serving", "As many pods answer as are asked for, and the Service leads to them."
    PARTLY_SERVING = "PartlyServing", "Fewer pods answer than are asked for."
    NOT_WRITTEN = "NotWritten", "The Deployment, or the Service, does not exist yet."
    WRITTEN = "Written", "The Deployment is written; its controller has yet to act on it."
    STARTING = "Starting", "Pods are scheduled, pull their image, or load the model."
    ROLLING_OUT = "RollingOut", "Pods of the newest revision replace older ones."
    SCALING = "Scaling", "The number of pods is changing."
    UP_TO_DATE = "UpToDate", "Every pod is of the newest revision and answers."
    AS_EXPECTED = "AsExpected", "Nothing is wrong."

    INVALID_SPEC = "InvalidSpec", "The spec asks for what cannot be; the children stay as they are."
    INTERNAL_ERROR = "InternalError", "The operator failed on this spec, by a fault of its own."
    SECRET_NOT_FOUND = "SecretNotFound", "A Secret that the spec names, or its key, is not there."
    CLAIM_NOT_FOUND = "ClaimNotFound", "The PersistentVolumeClaim of the model is not there."
    NAME_CONFLICT = (
        "NameConflict",
        "An object that is not ours has a child's name; it is left alone.",
    )
    WAITING_FOR_DELETION = (
        "WaitingForDeletion",
        "A child of a deleted LLMService of the same name is still being removed.",
    )
    APPLY_REFUSED = (
        "ApplyRefused",
        "The API server, a quota or an admission webhook refused a child, in its own words.",
    )
    API_FAILED = (
        "ApiFailed",
        "The API server, or a webhook that it asks, fails: its words are given, and we try again.",
    )
    FIELD_CONFLICT = (
        "FieldConflict",
        "Somebody changes or deletes a child of ours again and again; who, and what, is given.",
    )
    RIGHT_MISSING = (
        "RightMissing",
        "The operator may not watch a kind of objects; those it leaves as they are.",
    )

    MODEL_NOT_FOUND = "ModelNotFound", "There is no model where model.uri says; the server said so."
    CONFIG_REJECTED = "ConfigRejected", "The server refuses its configuration; it said why."
    OUT_OF_MEMORY = "OutOfMemory", "The server was ended for using more memory than its limit."
    CRASHED = "Crashed", "The server ended with an error; its last words are given."
    CRASH_LOOPING = "CrashLooping", "The server ends again and again; its last words are given."
    NOT_ANSWERING = (
        "NotAnswering",
        "The server is restarted for no error of its own: it starts too slowly, hangs, or ends.",
    )
    IMAGE_PULL_FAILED = "ImagePullFailed", "A node cannot pull the image."
    CONTAINER_CONFIG_ERROR = (
        "ContainerConfigError",
        "A node cannot make the container: a Secret, a ConfigMap or a mount is not there.",
    )
    PODS_REFUSED = (
        "PodsRefused",
        "The Deployment may not create pods: a quota, pod security or an admission webhook.",
    )
    UNSCHEDULABLE = "Unschedulable", "No node can take a pod; what each of them lacks is given."
    DEADLINE_EXCEEDED = (
        "DeadlineExceeded",
        "The rollout made no progress for rollout.progressDeadlineSeconds.",
    )


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition as metav1.Condition has it; its date is added where it is written."""

    type: ConditionType
    status: Status
    reason: Reason
    message: str

    def manifest(self, generation: int, since: str) -> dict[str, str | int]:
        """As Kubernetes keeps it. since: RFC 3339, when status last changed."""
        return {
            "type": self.type.value,
            "status": self.status,
            "reason": self.reason.value,
            "message": self.message,
            "observedGeneration": generation,
            "lastTransitionTime": since,
        }
