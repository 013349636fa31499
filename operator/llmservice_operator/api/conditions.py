"""The conditions that status reports, and why each of them is as it is.

An API: types and reasons are what scripts wait for and alerts match. Add to them, never rename
one. Each has a sentence, which docs/conditions.md shows; messages with numbers are made in status/.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Self

Status = Literal["True", "False", "Unknown"]


class _Told(StrEnum):
    """A word of the API with its sentence and, where something is wrong, the way out."""

    sentence: str
    way_out: str

    def __new__(cls, value: str, sentence: str, way_out: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence, member.way_out = sentence, way_out
        return member


class ConditionType(_Told):
    """Which question a condition answers."""

    READY = "Ready", "A pod answers, and the Service leads to it."
    PROGRESSING = "Progressing", "Children are on their way to what the spec asks for."
    DEGRADED = "Degraded", "Something is wrong, even if other pods serve."
    RECONCILING = "Reconciling", "As Progressing; there only while True, for kstatus."
    STALLED = "Stalled", "Nothing will change until somebody acts; there only while True."
    GUARDED = "Guarded", "Only who shows a key or a token is served. False is no fault."
    LIMITS_SHARED = (
        "LimitsShared",
        "All replicas count together what callers ask for; there only where that is a question.",
    )


_LOGS = (
    "Where the message is not enough: `kubectl logs -l app.kubernetes.io/instance=NAME --previous`."
)


class Reason(_Told):
    """Why a condition is as it is."""

    SERVING = "Serving", "As many pods answer as are asked for, and the Service leads to them."
    PARTLY_SERVING = "PartlyServing", "Fewer pods answer than are asked for."
    NOT_WRITTEN = "NotWritten", "The Deployment, or the Service, does not exist yet."
    WRITTEN = "Written", "The Deployment is written; its controller has yet to act on it."
    STARTING = "Starting", "Pods wait for a node, pull their image, or load: see status.startup."
    ROLLING_OUT = "RollingOut", "Pods of the newest revision replace older ones."
    SCALING = "Scaling", "The number of pods is changing."
    UP_TO_DATE = "UpToDate", "Every pod is of the newest revision and answers."
    AS_EXPECTED = "AsExpected", "Nothing is wrong."
    KEYS_WANTED = (
        "KeysWanted",
        "All routes but probes, metrics and documentation want a key or a token.",
    )
    ANONYMOUS_ALLOWED = (
        "AnonymousAllowed",
        "Who shows no key is served too, within the limits for that.",
    )
    OPEN_IN_CLUSTER = (
        "OpenInCluster",
        "There is no `gateway.auth`: whoever reaches the Service may ask.",
    )
    COUNTED_TOGETHER = "CountedTogether", "All replicas count in one Redis."
    COUNTED_PER_REPLICA = (
        "CountedPerReplica",
        "There is no `gateway.redis`, and what is named is counted by each replica for itself.",
    )

    INVALID_SPEC = (
        "InvalidSpec",
        "The spec asks for what cannot be; the children stay as they are.",
        "Correct the field that is named.",
    )
    INTERNAL_ERROR = (
        "InternalError",
        "The operator failed on this spec, by a fault of its own.",
        "Report it, with what the operator's log says.",
    )
    SECRET_NOT_FOUND = (
        "SecretNotFound",
        "A Secret that the spec names, or its key, is not there.",
        "Create the Secret, with that key, in the resource's namespace.",
    )
    CLAIM_NOT_FOUND = (
        "ClaimNotFound",
        "A PersistentVolumeClaim that the spec names is not there.",
        "Create it in the resource's namespace, or correct its name in the spec.",
    )
    NAME_CONFLICT = (
        "NameConflict",
        "An object that is not ours has a child's name; it is left alone.",
        "Delete or rename that object, or give the LLMService another name.",
    )
    WAITING_FOR_DELETION = (
        "WaitingForDeletion",
        "A child of a deleted LLMService of the same name is still being removed.",
        "Wait; where it lasts, see which finalizers the child has.",
    )
    APPLY_REFUSED = (
        "ApplyRefused",
        "The API server, a quota or an admission webhook refused a child, in its own words.",
        "Raise the quota, or change what the policy or the API server objects to.",
    )
    API_FAILED = (
        "ApiFailed",
        "The API server, or a webhook that it asks, fails or does not answer; we try again.",
        "Mend or remove the webhook that is named; the operator goes on by itself.",
    )
    FIELD_CONFLICT = (
        "FieldConflict",
        "Somebody changes or deletes a child of ours again and again; who, and what, is given.",
        "Have that writer leave the child alone, or write in the spec what it wants.",
    )
    RIGHT_MISSING = (
        "RightMissing",
        "The operator may not watch a kind of objects; those it leaves as they are.",
        "Give its account the right that is named, as the chart does.",
    )

    MODEL_NOT_FOUND = (
        "ModelNotFound",
        "There is no model where model.uri says; the server said so.",
        "Correct `model.uri` or `model.revision`, or put the model there.",
    )
    CONFIG_REJECTED = (
        "ConfigRejected",
        "The server refuses its configuration; it said why.",
        "Correct what is named, most often in `engine.args`.",
    )
    OUT_OF_MEMORY = (
        "OutOfMemory",
        "The server was ended for using more memory than its limit, or than its node has.",
        "Raise `pod.resources.limits.memory`, or let the engine use less.",
    )
    CRASHED = "Crashed", "The server ended with an error; its last words are given.", _LOGS
    CRASH_LOOPING = (
        "CrashLooping",
        "The server ends again and again; its last words are given.",
        _LOGS,
    )
    NOT_ANSWERING = (
        "NotAnswering",
        "The server is restarted for no error of its own: it starts too slowly, hangs, or ends.",
        _LOGS,
    )
    IMAGE_PULL_FAILED = (
        "ImagePullFailed",
        "A node cannot pull the image.",
        "Correct `engine.image`, or name a Secret for its registry in `pod.imagePullSecrets`.",
    )
    CONTAINER_CONFIG_ERROR = (
        "ContainerConfigError",
        "A node cannot make the container: a Secret, a ConfigMap or a mount is not there.",
        "Create what is named; the node goes on by itself.",
    )
    PODS_REFUSED = (
        "PodsRefused",
        "The Deployment may not create pods: a quota, pod security or an admission webhook.",
        "Raise the quota, ask for less in `pod.resources`, or change the policy.",
    )
    UNSCHEDULABLE = (
        "Unschedulable",
        "No node can take a pod; what each of them lacks is given.",
        "Add a node that has it, or ask for less in `gpu` and `pod`.",
    )
    DEADLINE_EXCEEDED = (
        "DeadlineExceeded",
        "The rollout made no progress for rollout.progressDeadlineSeconds.",
        "Mend what the pods suffer from, or go back to the spec that worked.",
    )
    AUTOSCALER_FAILING = (
        "AutoscalerFailing",
        "The autoscaler cannot read its metric, or cannot scale; its own words are given.",
        "Install metrics-server, or mend what is named; until then the number of replicas stays.",
    )
    REDIS_NOT_READY = (
        "RedisNotReady",
        "The resource's own Redis does not answer; what holds meanwhile is given.",
        "See its pod: `kubectl describe pod -l app.kubernetes.io/instance=NAME-redis`.",
    )
    DISRUPTION_BLOCKED = (
        "DisruptionBlocked",
        "The PodDisruptionBudget lets no pod that answers be evicted: drains of its node wait.",
        "Write `disruption.maxUnavailable: 1`, or more replicas than must stay.",
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
