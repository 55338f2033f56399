"""Split manifests: made from a store, written, and read back only for that store."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from ctrobust.core.errors import UserError
from ctrobust.core.files import replacing
from ctrobust.core.records import Split
from ctrobust.store.division import divide_by_patient, divide_by_slice, divide_into_folds
from ctrobust.store.listed import PARTS, divide_by_list
from ctrobust.store.reader import Store

SPLIT_SCHEMA = 1
MODES = ("patient", "slice", "list")
DRAWN = MODES[:2]
KEYS = ("schema", "by", "seed", "store_sha256", *PARTS)


class Source(Protocol):
    """What a split is held against: a `Store`, or a `PictureStore`."""

    @property
    def path(self) -> Path: ...

    @property
    def patients(self) -> Sequence[str]: ...

    @property
    def sha256(self) -> str: ...

    def __len__(self) -> int: ...


def make_split(
    store: Store,
    *,
    by: str = "patient",
    eval_fraction: float,
    val_fraction: float = 0.1,
    seed: int = 0,
    stratify: bool = False,
) -> Split:
    """Divide a store's slices; the same arguments give the same split.

    by             "patient": no patient in both `eval` and another part; "slice": every slice by itself
    eval_fraction  of all slices, inside (0, 1)
    val_fraction   of the slices left, in [0, 1); whole patients where there are enough (see `divide_by_patient`)
    stratify       by slice: of every series its share, to the nearest slice

    `train` and `eval` are never empty. Raises UserError where the store has too little for it.
    """
    if by not in DRAWN:
        raise UserError(f"--by {by}: give one of {', '.join(DRAWN)}")
    if stratify and by != "slice":
        raise UserError(
            "--stratify: a series belongs to one patient and is not divided by patient; give --by slice"
        )
    if not 0 < eval_fraction < 1:
        raise UserError(f"--eval {eval_fraction:g}: give a fraction between 0 and 1, such as 0.25")
    _require_val(val_fraction)
    if by == "patient":
        parts = divide_by_patient(store.patients, eval_fraction, val_fraction, seed)
    else:
        strata = store.series if stratify else ("all",) * len(store)
        parts = divide_by_slice(strata, eval_fraction, val_fraction, seed)
    train, val, judged = map(tuple, parts)
    return Split(by=by, seed=seed, store_sha256=store.sha256, train=train, val=val, eval=judged)


def make_folds(store: Store, count: int, *, val_fraction: float = 0.1, seed: int = 0) -> list[Split]:
    """Splits by patient that together judge every patient once, see `divide_into_folds`."""
    _require_val(val_fraction)
    return [
        Split("patient", seed, store.sha256, tuple(train), tuple(val), tuple(judged))
        for train, val, judged in divide_into_folds(store.patients, count, val_fraction, seed)
    ]


def _require_val(val_fraction: float) -> None:
    if not 0 <= val_fraction < 1:
        raise UserError(f"--val {val_fraction:g}: give a fraction from 0 to below 1, such as 0.1")


def listed_split(store: Store, path: Path) -> Split:
    """The division that a user's CSV file names, see `divide_by_list`; leakage is the user's to allow."""
    train, val, judged = map(tuple, divide_by_list(store, path))
    return Split(by="list", seed=0, store_sha256=store.sha256, train=train, val=val, eval=judged)


def leaked(split: Split, store: Source) -> list[int]:
    """The slices of `eval` whose patient is in train or val too; none by patient."""
    known = {store.patients[index] for index in (*split.train, *split.val)}
    return [index for index in split.eval if store.patients[index] in known]


def write_split(split: Split, path: Path) -> None:
    """Write the manifest as JSON; raises UserError where the disk refuses."""
    manifest = {"schema": SPLIT_SCHEMA} | {key: getattr(split, key) for key in KEYS[1:]}
    try:
        with replacing(path) as part:
            part.write_text(json.dumps(manifest) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{path}: the split cannot be written ({error.strerror}); check the folder"
        ) from error


def read_split(path: Path, store: Source) -> Split:
    """Read a manifest and hold it against its store.

    Raises UserError where it is malformed, of another store, or where its parts overlap, reach beyond the
    store, are empty, or share a patient although it says "patient".
    """
    manifest = _manifest(path)
    problem = _problem(manifest, store)
    if problem:
        raise UserError(f"{path}: {problem}")
    return _record(manifest)


def split_record(path: Path) -> Split:
    """A manifest without its store: its form is checked, not what it says. Raises UserError where it is malformed."""
    manifest = _manifest(path)
    problem = _wrong_form(manifest) or _wrong_indices(manifest)
    if problem:
        raise UserError(f"{path}: {problem}")
    return _record(manifest)


def _record(manifest: dict[str, Any]) -> Split:
    parts = {part: tuple(manifest[part]) for part in PARTS}
    return Split(by=manifest["by"], seed=manifest["seed"], store_sha256=manifest["store_sha256"], **parts)


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such split; `ctrobust split STORE.h5 --out {path.name}` makes one"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); name a split file") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON; name a split made by `ctrobust split`") from error
    if not isinstance(manifest, dict) or "schema" not in manifest:
        raise UserError(f"{path}: JSON, but not a split; name one made by `ctrobust split`")
    return manifest


def _problem(manifest: dict[str, Any], store: Source) -> str | None:
    """What is wrong and what to do, or None. The store's hash comes late: reading it all takes time."""
    return (
        _wrong_form(manifest)
        or _wrong_indices(manifest)
        or _another_store(manifest, store)
        or _beyond(manifest, store)
        or (_leak(manifest, store) if manifest["by"] == "patient" else None)
    )


def _wrong_form(manifest: dict[str, Any]) -> str | None:
    if type(manifest["schema"]) is not int or manifest["schema"] != SPLIT_SCHEMA:
        return f"schema {manifest['schema']!r}, this version reads {SPLIT_SCHEMA}; upgrade ctrobust or split again"
    if set(manifest) != set(KEYS):
        odd = ", ".join(sorted(set(manifest) ^ set(KEYS)))
        return f"keys missing or unknown: {odd}; split again"
    if manifest["by"] not in MODES:
        return f"by {manifest['by']!r}: give one of {', '.join(MODES)}"
    if type(manifest["seed"]) is not int:
        return f"seed {manifest['seed']!r}: give a whole number"
    return None


def _wrong_indices(manifest: dict[str, Any]) -> str | None:
    for part in PARTS:
        indices = manifest[part]
        if not isinstance(indices, list) or any(type(index) is not int for index in indices):
            return f"{part}: give a list of slice indices, whole numbers"
        if not indices and part != "val":
            return f"{part}: empty; split again"
    together = [index for part in PARTS for index in manifest[part]]
    twice, times = max(Counter(together).items(), key=lambda item: item[1])
    if times > 1:
        return f"slice {twice} stands twice; every slice belongs to one part, once: split again"
    return None


def _another_store(manifest: dict[str, Any], store: Source) -> str | None:
    if manifest["store_sha256"] == store.sha256:
        return None
    return f"made for another store than {store.path}; name the store it was made for, or split again"


def _beyond(manifest: dict[str, Any], store: Source) -> str | None:
    for part in PARTS:
        for index in manifest[part]:
            if not 0 <= index < len(store):
                return f"{part}: slice {index} is not in the store, which has {len(store)}; split again"
    return None


def _leak(manifest: dict[str, Any], store: Source) -> str | None:
    for index in leaked(_record(manifest), store)[:1]:
        who = f"patient {store.patients[index]} of eval (slice {index})"
        return f"by patient, but {who} is in train or val too; split again"
    return None
