"""The conditions that status reports, and why each of them is as it is.

An API: types and reasons are what scripts wait for, and never change their meaning. Each reason
has a sentence for the documentation; messages with numbers are made where the numbers are known.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Self

Status = Literal["True", "False", "Unknown"]


class ConditionType(StrEnum):
    """Which question a condition answers."""

    READY = "Ready"  # at least one replica answers, and the Service leads to it
    PROGRESSING = "Progressing"  # replicas are being created or replaced
    DEGRADED = "Degraded"  # something is wrong that does not go away by waiting
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

    SERVING = "Serving", "Replicas answer, and the Service leads to them."
    NO_REPLICA_READY = "NoReplicaReady", "No replica answers yet; Progressing or Degraded says why."
    STARTING = "Starting", "Replicas are starting: images are pulled and the model is loaded."
    ROLLING_OUT = "RollingOut", "Replicas of the new revision replace those of the old one."
    SCALING = "Scaling", "The number of replicas is changing."
    UP_TO_DATE = "UpToDate", "Every replica is of the newest revision and answers."
    AS_EXPECTED = "AsExpected", "Nothing is wrong."
    INVALID_SPEC = (
        "InvalidSpec",
        "The resource asks for what cannot be; its children stay as they are.",
    )
    SECRET_NOT_FOUND = "SecretNotFound", "A Secret that the resource names is not there."  # noqa: S105
    CLAIM_NOT_FOUND = "ClaimNotFound", "The PersistentVolumeClaim of the model is not there."
    MODEL_NOT_FOUND = "ModelNotFound", "There is no model where model.uri says; the server said so."
    CONFIG_REJECTED = "ConfigRejected", "The server refuses its configuration; it said why."
    IMAGE_PULL_FAILED = "ImagePullFailed", "The image cannot be pulled."
    CRASH_LOOPING = "CrashLooping", "The server ends again and again; its last words are given."
    UNSCHEDULABLE = "Unschedulable", "No node can take a replica; what each of them lacks is given."
    DEADLINE_EXCEEDED = "DeadlineExceeded", "The rollout made no progress within its deadline."
    NAME_TAKEN = (
        "NameTaken",
        "An object that is not ours has the name of a child; it is left alone.",
    )
    APPLY_FAILED = "ApplyFailed", "The API server refused a child, in its own words."


@dataclass(frozen=True)
class Condition:
    """One condition as metav1.Condition has it; the time of its last change is the writer's."""

    type: ConditionType
    status: Status
    reason: Reason
    message: str
