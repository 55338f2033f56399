"""One file's header into checked descriptions of its slices, or refusals with a plain reason."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

from ctrobust.ingest.archives import Source, Stamp, label_of, open_source, stamp_of
from ctrobust.ingest.elements import Elements, numbers, optional_number, text, words
from ctrobust.ingest.frames import frames_of
from ctrobust.ingest.hounsfield import Rescale, read_rescale
from ctrobust.ingest.identity import identity
from ctrobust.ingest.kind import check_image_type, check_object
from ctrobust.ingest.layout import Layout, read_layout
from ctrobust.ingest.opening import DicomFile, open_dicom
from ctrobust.ingest.orientation import Vector, across, directions
from ctrobust.ingest.refusal import RefusalError, Refused, refusing
from ctrobust.ingest.spool import sha256_of_stream

FARTHEST_MM = 1e5
"""Beyond any table's travel; sums of such numbers stay finite."""
LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)


@dataclass(frozen=True)
class Traits:
    """What slices of one series must agree in, besides their size, spacing and orientation; see `grouping`."""

    frame_of_reference: str
    kernel: str
    kvp: str
    flavour: tuple[str, ...]
    phase: tuple[str, str]
    acquisition: str
    trigger: str


@dataclass(frozen=True)
class SliceHeader:
    """A slice that may be taken. `patient`, `series`, `instance` are the source's own and stay in ingest.

    path         for the terminal and the log; a member of an archive reads archive.zip!member
    sha256       of the file, or of the member of the archive
    stamp        by which the file is known to be the same still
    layout       how and where its pixels are stored
    rescale      from stored values to HU
    frame        which of the file's frames, counted from 0
    size         (rows, columns)
    pixel_mm     (row spacing, column spacing)
    corner_mm    centre of the first pixel, patient's axes
    orientation  unit vectors along a row and along a column
    position_mm  along the normal of the slice
    tilt_deg     GantryDetectorTilt, 0 where it is not given
    lossy        compressed with loss at some time
    burned_in    BurnedInAnnotation is YES
    """

    path: Path
    sha256: str
    source: Source = field(repr=False)
    stamp: Stamp = field(repr=False)
    layout: Layout = field(repr=False)
    rescale: Rescale = field(repr=False)
    frame: int
    size: tuple[int, int]
    pixel_mm: tuple[float, float]
    corner_mm: Vector
    orientation: Vector
    position_mm: float
    tilt_deg: float
    bits_stored: int
    lossy: bool
    derived: bool
    burned_in: bool
    traits: Traits = field(repr=False)
    patient: str = field(repr=False)
    series: str = field(repr=False)
    instance: str = field(repr=False)

    @property
    def normal(self) -> Vector:
        """Unit vector across the slice."""
        return across(self.orientation[:3], self.orientation[3:])


def read_headers(source: Source) -> list[SliceHeader | Refused]:
    """Read a file up to its pixels and check what can be checked without them, frame by frame; never raises
    for its content. A file without any slice to take is refused once for each reason.
    """
    path, sha256 = label_of(source), None
    try:
        with refusing("damaged DICOM"), open_source(source) as stream:
            stamp, sha256 = stamp_of(stream), sha256_of_stream(stream)
            file = open_dicom(stream)
            # From here on nothing is read from the stream, but values are parsed when asked for.
            return _summed_up(list(_described(file, source, stamp, sha256)))
    except RefusalError as refusal:
        return [Refused(path, sha256, refusal.reason, refusal.detail)]


def _described(file: DicomFile, source: Source, stamp: Stamp, sha256: str) -> Iterator[SliceHeader | Refused]:
    check_object(file)
    if "SharedFunctionalGroupsSequence" not in file.dataset:
        check_image_type(file.header)
    layout = read_layout(file)
    names = identity(file.header, sha256)
    frames = frames_of(file.header, layout.frames)
    for number, frame in enumerate(frames):
        try:
            with refusing("damaged DICOM"):
                yield _slice(layout, frame, number, source, stamp, sha256, names)
        except RefusalError as refusal:
            detail = f"frame {number + 1}: {refusal.detail}" if len(frames) > 1 else refusal.detail
            yield Refused(label_of(source), sha256, refusal.reason, detail)


def _slice(
    layout: Layout,
    frame: Elements,
    number: int,
    source: Source,
    stamp: Stamp,
    sha256: str,
    names: tuple[str, str, str],
) -> SliceHeader:
    check_image_type(frame)
    rescale = read_rescale(frame, layout)
    row_mm, column_mm = numbers(frame, "PixelSpacing", 2)
    if not (row_mm > 0 and column_mm > 0):
        raise RefusalError("PixelSpacing is not positive")
    corner_mm, (along_row, along_column) = numbers(frame, "ImagePositionPatient", 3), directions(frame)
    if max(row_mm, column_mm, *map(abs, corner_mm)) > FARTHEST_MM:
        raise RefusalError("PixelSpacing or ImagePositionPatient beyond any scanner")
    patient, series, instance = names
    return SliceHeader(
        path=label_of(source),
        sha256=sha256,
        source=source,
        stamp=stamp,
        layout=layout,
        rescale=rescale,
        frame=number,
        size=(layout.rows, layout.columns),
        pixel_mm=(row_mm, column_mm),
        corner_mm=corner_mm,
        orientation=along_row + along_column,
        position_mm=sum(a * b for a, b in zip(corner_mm, across(along_row, along_column), strict=True)),
        tilt_deg=optional_number(frame, "GantryDetectorTilt") or 0.0,
        bits_stored=layout.bits_stored,
        lossy=text(frame, "LossyImageCompression") == "01" or layout.syntax in LOSSY,
        derived="DERIVED" in words(frame, "ImageType"),
        burned_in=text(frame, "BurnedInAnnotation").upper() == "YES",
        traits=_traits(frame),
        patient=patient,
        series=series,
        instance=f"{instance}/{number}",
    )


def _traits(frame: Elements) -> Traits:
    # A note of compression with loss makes no other kind of image.
    flavour = [value.upper() for value in words(frame, "ImageType")[2:] if "LOSSY" not in value.upper()]
    return Traits(
        frame_of_reference=text(frame, "FrameOfReferenceUID"),
        kernel=text(frame, "ConvolutionKernel"),
        kvp=f"{optional_number(frame, 'KVP') or 0:g}",
        flavour=tuple(flavour),
        phase=(text(frame, "TemporalPositionIdentifier"), text(frame, "NominalPercentageOfCardiacPhase")),
        acquisition=text(frame, "AcquisitionNumber"),
        trigger=text(frame, "TriggerTime"),
    )


def _summed_up(outcomes: list[SliceHeader | Refused]) -> list[SliceHeader | Refused]:
    """Where no frame may be taken, one refusal for each reason in place of hundreds."""
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    if len(refused) < len(outcomes) or len(outcomes) == 1:
        return outcomes
    counts = Counter(entry.reason for entry in refused)
    first = {entry.reason: entry for entry in reversed(refused)}
    return [
        Refused(entry.path, entry.sha256, reason, f"{counts[reason]} frames, {entry.detail}")
        for reason, entry in first.items()
    ]
