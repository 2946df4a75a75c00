"""A plan cut into parts, each translated by itself: what comes out does not depend on who translates what, or when.

Files of a part share batches, and numbers that come of a batch differ in their last bits with what else is in it. So
the cuts depend on the plan alone: not on how many processes there are, nor on what an earlier run has done.
"""

from collections.abc import Sequence

from translatotron_v.inference.jobs import Job

FILES = 16  # of a part, at most: small pictures are drawn faster together
BYTES = 2_000_000  # of its files together, unless it is a single one: a large file is work enough for a process


def cut(jobs: Sequence[Job], files: int = FILES) -> list[list[int]]:
    """Numbers of the jobs of each part, in order.

    Args:
        files: of a part, at most.
    """
    parts: list[list[int]] = []
    total = 0
    for number, job in enumerate(jobs):
        size = _size(job)
        if not parts or len(parts[-1]) >= files or total + size > BYTES:
            parts.append([])
            total = 0
        parts[-1].append(number)
        total += size
    return parts


def _size(job: Job) -> int:
    try:
        return job.source.stat().st_size
    except OSError:
        return 0  # whoever reads it says why
