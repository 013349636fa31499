"""What is wrong with the pods, in words: the node's, the scheduler's and the server's own. Pure.

A message here must not change while nothing changes: the node reports a failing pull as
ErrImagePull and ImagePullBackOff by turns, and a crashing server as waiting, running and
terminated; both are one trouble with one sentence. So restarts are told in powers of two.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from llmservice_operator.api.conditions import Reason
from llmservice_operator.api.manifest import Manifest
from llmservice_operator.records import Exit, Pod
from llmservice_operator.words import shortened

_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"}
    | {"ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"}
)
_CONFIG = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
# What llmservice-server exits with; 0 when its probes end it, and any other code is a crash.
_EXIT_CODES = {2: Reason.CONFIG_REJECTED, 3: Reason.MODEL_NOT_FOUND}
_PULL_PREFIX = re.compile(r'^Back-off pulling image "[^"]*"(: \w+: )?')


@dataclass(frozen=True)
class Trouble:
    reason: Reason
    message: str


def worst(pods: Sequence[Pod], placement: Manifest | None) -> Trouble | None:
    """What most pods that do not answer suffer from, of the worst kind that any of them has.

    placement: status.placement, where it is known.
    """
    found = Counter(t for pod in pods if (t := _of(pod, placement)) is not None)
    if not found:
        return None
    gravest = min(_GRAVITY.index(trouble.reason) for trouble in found)
    same = {t: n for t, n in found.items() if _GRAVITY.index(t.reason) == gravest}
    trouble, number = max(same.items(), key=lambda item: (item[1], item[0].message))
    who = f"{number} of {len(pods)} pods" if len(pods) > 1 else "the pod"
    return Trouble(trouble.reason, f"{who} {trouble.message}")


_GRAVITY = [
    Reason.CONFIG_REJECTED,
    Reason.MODEL_NOT_FOUND,
    Reason.OUT_OF_MEMORY,
    Reason.CRASH_LOOPING,
    Reason.CRASHED,
    Reason.NOT_ANSWERING,
    Reason.IMAGE_PULL_FAILED,
    Reason.CONTAINER_CONFIG_ERROR,
    Reason.UNSCHEDULABLE,
]


def _of(pod: Pod, placement: Manifest | None) -> Trouble | None:
    if pod.ready:
        return None
    reason, words = pod.waiting or ("", "")
    if reason in _IMAGE:
        cause = shortened(_PULL_PREFIX.sub("", words))
        detail = f": {cause}" if cause else ""
        return Trouble(Reason.IMAGE_PULL_FAILED, f"cannot pull the image {pod.image}{detail}")
    if reason in _CONFIG:
        return Trouble(Reason.CONTAINER_CONFIG_ERROR, f"cannot start: {shortened(words)}")
    if pod.last_exit is not None:
        return _of_exit(pod.last_exit, pod.memory_limit)
    if pod.unschedulable is not None:
        why = _unschedulable(pod.unschedulable, placement)
        return Trouble(Reason.UNSCHEDULABLE, f"cannot be scheduled: {why}")
    return None


def _unschedulable(told: str, placement: Manifest | None) -> str:
    """The scheduler knows more reasons than we look at; ours explain those that we do.

    Its words also change with each attempt, and ours only when there is news.
    """
    known = placement or {}
    if known.get("fittingNodes") == 0 or known.get("roomFor") == 0:
        return known["message"]
    return shortened(told)


def _of_exit(exit_: Exit, memory_limit: str) -> Trouble:
    if exit_.reason == "OOMKilled":
        words = (
            f"was ended for using more memory than its limit of {memory_limit}: "
            "raise pod.resources.limits.memory, or let the engine use less"
            if memory_limit
            else "was ended because its node ran out of memory: write what it needs in "
            "pod.resources.requests.memory, or let the engine use less"
        )
        return Trouble(Reason.OUT_OF_MEMORY, words)
    if exit_.code == 0:
        least = 1 << (exit_.restarts.bit_length() - 1)
        often = "once" if least == 1 else f"{least} times or more"
        why = "it starts too slowly, hangs, or just ends"
        words = f"was restarted {often}, for no error of its own: {why}"
        return Trouble(Reason.NOT_ANSWERING, words)
    said = shortened(exit_.message)
    crash = Reason.CRASH_LOOPING if exit_.restarts > 1 else Reason.CRASHED
    reason = _EXIT_CODES.get(exit_.code, crash)
    return Trouble(reason, f"ended with exit code {exit_.code}{f': {said}' if said else ''}")
