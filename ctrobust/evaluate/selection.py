"""Which slices are judged and which are shown: fixed by the split and the numbers asked for, never by results."""

from collections.abc import Sequence


def spread_over_patients(indices: Sequence[int], patients: Sequence[str], limit: int | None) -> list[int]:
    """At most `limit` of `indices`, as many from each patient as can be, evenly along each; all where None.

    patients: the patient of every slice of the store, by index.
    """
    if limit is None or limit >= len(indices):
        return sorted(indices)
    slices: dict[str, list[int]] = {}
    for index in sorted(indices):
        slices.setdefault(patients[index], []).append(index)
    if limit < len(slices):
        # The first patients of a list may be of one kind.
        chosen = evenly(range(len(slices)), limit)
        slices = {patient: own for place, (patient, own) in enumerate(slices.items()) if place in chosen}
    quota = dict.fromkeys(slices, 0)
    while sum(quota.values()) < limit:
        open_patients = [patient for patient in slices if quota[patient] < len(slices[patient])]
        fewest = min(open_patients, key=quota.__getitem__)
        quota[fewest] += 1
    return sorted(index for patient, own in slices.items() for index in evenly(own, quota[patient]))


def evenly(items: Sequence[int], count: int) -> list[int]:
    """`count` of the items at the middles of equal parts; all where there are no more."""
    count = min(count, len(items))
    return [items[(2 * part + 1) * len(items) // (2 * count)] for part in range(count)]


def parts(items: Sequence[int], size: int) -> list[Sequence[int]]:
    """Batches of `size`, in their order; the last may be smaller."""
    return [items[first : first + size] for first in range(0, len(items), size)]
