"""Whose slices they are, where files carry no patient: by folder, by file, or by the user's own table."""

import csv
from collections.abc import Sequence
from pathlib import Path

from ctrobust.core.errors import UserError
from ctrobust.ingest import Pseudonyms


class Patients:
    """Pseudonyms for files of one layout.

    Without a table the patient is the first folder below `folder`, or the file itself where it lies directly in it
    (with `loose=False`, for files of one slice each: then all such files are one patient, since slices must never
    pass for patients). With a table it is what the CSV file says, columns `file` (below `folder`, with /) and
    `patient`. Names of files and folders are hashed under the key of `pseudonyms`, by default the user's own.
    """

    def __init__(
        self,
        layout: str,
        folder: Path,
        table: Path | None = None,
        pseudonyms: Pseudonyms | None = None,
        *,
        loose: bool = True,
    ) -> None:
        self._layout, self._folder, self._table, self._loose = layout, folder, table, loose
        self._patient_of = _read(table) if table else {}
        self._pseudonyms = pseudonyms or Pseudonyms.from_file()

    def require(self, files: Sequence[Path]) -> None:
        """Raise UserError where the table and the files do not name each other."""
        if self._table is None:
            return
        on_disk = {self._below(path) for path in files}
        for missing in sorted(on_disk - set(self._patient_of)):
            raise UserError(f"{self._table}: no line for {missing}; every file needs its patient")
        for unknown in sorted(set(self._patient_of) - on_disk):
            raise UserError(f"{self._table}: {unknown} is not in {self._folder}; correct or delete its line")

    def of(self, path: Path, series: str | None = None) -> tuple[str, str]:
        """(patient, series) of a file; `series` joins files, by default each is one."""
        below = self._below(path)
        if self._table is not None:
            identity = f"table/{self._patient_of[below]}"
        elif "/" in below:
            identity = f"folder/{below.partition('/')[0]}"
        else:
            identity = f"file/{below}" if self._loose else "folder/"
        patient = f"{self._layout}/{identity}"
        scan = below if series is None else series
        return self._pseudonyms.patient(patient), self._pseudonyms.series(f"{patient}/{scan}")

    def _below(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()


def _read(table: Path) -> dict[str, str]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            columns = reader.fieldnames or ()
            rows = [(reader.line_num, (row.get("file") or "").strip(), row.get("patient")) for row in reader]
    except OSError as error:
        raise UserError(f"{table}: the table cannot be read ({error.strerror}); name a CSV file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table}: not a CSV file; give the columns file and patient") from error
    if not {"file", "patient"} <= set(columns):
        raise UserError(f"{table}: columns {', '.join(columns) or 'none'}; give file and patient")
    patient_of: dict[str, str] = {}
    for line, file, patient in rows:
        if not (patient or "").strip():
            raise UserError(f"{table}, line {line}: no patient for {file!r}; give one")
        if patient_of.setdefault(file, str(patient).strip()) != str(patient).strip():
            raise UserError(f"{table}, line {line}: {file} has another patient already; give it one")
    return patient_of
