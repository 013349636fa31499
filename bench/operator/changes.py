"""Resources that are edited, one or all of them, and Deployments that somebody deletes."""

import asyncio
import time
from statistics import median

from bench.operator import workload
from bench.operator.api import all_of
from bench.operator.figures import Figure
from bench.operator.subject import Subject, deployments

EDITS, DELETED = 5, 50
_APART = 1.0  # seconds between two edits


async def edit_one(on: Subject) -> list[Figure]:
    """Another image on one resource; several, one after the other."""
    image, names = f"{workload.IMAGE}-edited", on.names[1 : EDITS + 1]  # none with an autoscaler
    changed: list[float] = []
    with on.machine.span(f"edit one, {EDITS} times", on.operator.pid):
        before = await on.asked()
        for name in names:
            begun = time.monotonic()
            await on.set_image(name, image)
            changed.append(await on.changed([name], image) - begun)
            await asyncio.sleep(_APART)
        await on.settled(names)
        await on.afterwards()
        asked = (await on.asked()).since(before)
    requests = asked.all_but_leases / len(names)
    return [
        Figure("one edit: Deployment changed", median(changed), "s", target=0.1, rival="0.04 s"),
        Figure("one edit: requests until rolled out", requests, target=3, rival="11"),
    ]


async def change_all(on: Subject) -> list[Figure]:
    """The same image for all of them."""
    with on.machine.span("change all", on.operator.pid):
        begun = time.monotonic()
        await all_of("changes", (on.set_image(name, workload.NEXT_IMAGE) for name in on.names))
        by_users = time.monotonic()
        changed = await on.changed(on.names, workload.NEXT_IMAGE)
        settled = await on.settled(on.names)
    return [
        Figure("all changed: by the bench", by_users - begun, "s"),
        on.beside("changed", "all changed: every Deployment", changed - begun, "144 s"),
        on.beside("replaced", "all changed: every rollout complete", settled - begun, "162 s"),
    ]


async def delete_some(on: Subject) -> list[Figure]:
    names = on.names[:DELETED]
    refs = deployments(names)
    uids = {on.view.seen[ref].uid for ref in refs}

    def back() -> int:
        return on.view.count(refs, lambda sight: sight.uid not in uids)

    with on.machine.span(f"delete {len(refs)} Deployments", on.operator.pid):
        begun = time.monotonic()
        await all_of("deletions", (on.delete_deployment(name) for name in names))
        deleted = time.monotonic()
        last = await on.view.until("back", back, len(refs), on.limit)
        settled = await on.settled(names)
    return [
        Figure(f"{len(refs)} Deployments deleted: by the bench", deleted - begun, "s"),
        Figure("deleted: the last one back", last - begun, "s", target=1, rival="12.8 s"),
        Figure("deleted: every rollout complete", settled - begun, "s", rival="47 s"),
    ]
