"""Fair order of jobs: callers take turns, and each caller's jobs keep their order."""

from collections import Counter
from collections.abc import Iterable, Mapping


def compute_fair_order(waiting: Iterable[tuple[str, str]], last_served: Mapping[str, float]) -> list[str]:
    """Return the order in which waiting jobs will run if no other job arrives.

    A caller with a hundred jobs delays another caller's first job by one job, not by a hundred.

    Args:
        waiting: (job, caller) in order of arrival.
        last_served: time at which a job of each caller was last started. Callers without one come first.
    """
    turn: Counter[str] = Counter()
    ranked = []
    for arrival, (job, caller) in enumerate(waiting):
        ranked.append((turn[caller], last_served.get(caller, float("-inf")), arrival, job))
        turn[caller] += 1
    return [job for *_, job in sorted(ranked)]
