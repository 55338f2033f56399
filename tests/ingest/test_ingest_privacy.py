"""Names, dates and numbers planted wherever a file, a folder or an archive has room: none reaches store or JSON.

The store is searched as it lies on the disk and once more value by value, since its images are compressed.
"""

import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from struct import pack

import h5py
import numpy as np
import pytest
from dicom_files import content_of, ct, enhanced_ct
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import JPEGLSLossless, generate_uid

from ctrobust.cli.main import main

OF_A_PATIENT = (
    *("PatientName", "PatientID", "OtherPatientIDs", "PatientBirthName", "PatientAddress", "PatientComments"),
    *("PatientTelephoneNumbers", "MilitaryRank", "EthnicGroup", "Occupation", "AdditionalPatientHistory"),
    *("ReferringPhysicianName", "OperatorsName", "PerformingPhysicianName", "NameOfPhysiciansReadingStudy"),
    *("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "StationName", "StudyID"),
    *("AccessionNumber", "DeviceSerialNumber", "StudyDescription", "SeriesDescription", "ProtocolName"),
    *("ImageComments", "RequestedProcedureDescription", "PerformedProcedureStepID", "IssuerOfPatientID"),
    *(
        "Manufacturer",
        "ManufacturerModelName",
        "SoftwareVersions",
        "DerivationDescription",
        "ContrastBolusAgent",
    ),
)
THAT_ARE_READ = (
    "ConvolutionKernel",
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "NominalPercentageOfCardiacPhase",
)
"""What decides which slices stand together, and so goes into the series' pseudonym."""
DATES = (
    "StudyDate",
    "SeriesDate",
    "AcquisitionDate",
    "ContentDate",
    "PatientBirthDate",
    "InstanceCreationDate",
)
TIMES = ("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime", "PatientBirthTime")
MOMENTS = ("AcquisitionDateTime", "FrameReferenceDateTime")
NUMBERS = (
    "PatientWeight",
    "PatientSize",
    "SeriesNumber",
    "InstanceNumber",
    "TriggerTime",
    "TableHeight",
    "ExposureTime",
)
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID", "DeviceUID")


class Secrets:
    """Values that occur nowhere else; `texts` and `numbers` remember them all."""

    def __init__(self) -> None:
        self._next = count(101)
        self.texts: list[str] = []
        self.numbers: list[int] = []

    def name(self) -> str:
        return self._kept(f"Quixnam{next(self._next)}")

    def date(self) -> str:
        return self._kept(f"{1000 + next(self._next)}0719")

    def time(self) -> str:
        return self._kept(f"195959.{next(self._next):06d}")

    def moment(self) -> str:
        return f"{self.date()}{self.time()}"

    def uid(self) -> str:
        return self._kept(f"1.2.840.99{next(self._next)}.31415926")

    def number(self) -> int:
        self.numbers.append(730_000_000 + 1001 * next(self._next))
        return self.numbers[-1]

    def _kept(self, text: str) -> str:
        self.texts.append(text)
        return text

    def patterns(self) -> Iterator[bytes]:
        for text in self.texts:
            for form in {text, text.lower(), text.upper()}:
                yield from (form.encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be"))
        for number in self.numbers:
            yield str(number).encode()
            yield from (pack(code, number) for code in ("<i", ">i", "<q", "<d", ">d"))


def planted(secrets: Secrets, **elements) -> Dataset:
    """A slice with a secret in every element that may hold one, in private ones and within sequences too."""
    makers = dict.fromkeys((*OF_A_PATIENT, "ConvolutionKernel"), secrets.name)
    makers |= dict.fromkeys(DATES, secrets.date) | dict.fromkeys(TIMES, secrets.time)
    makers |= dict.fromkeys(MOMENTS, secrets.moment) | dict.fromkeys(UIDS, secrets.uid)
    makers |= dict.fromkeys((*NUMBERS, *THAT_ARE_READ[1:]), secrets.number)
    own = {keyword: make() for keyword, make in makers.items()}
    own["ImageType"] = ["ORIGINAL", "PRIMARY", "AXIAL", secrets.name().upper()]
    dataset = ct(**(own | elements))
    for keyword in ("RequestAttributesSequence", "OriginalAttributesSequence", "ReferencedStudySequence"):
        setattr(dataset, keyword, Sequence([nested(secrets, 3)]))
    private(dataset, secrets)
    dataset.add_new(0x60003000, "OB", secrets.name().encode() + b" ")
    dataset.DataSetTrailingPadding = secrets.name().encode()
    dataset.PixelData += secrets.name().encode()
    dataset.preamble = secrets.name().encode().ljust(128, b"\0")
    dataset.file_meta.SourceApplicationEntityTitle = secrets.name()
    dataset.file_meta.PrivateInformationCreatorUID = secrets.uid()
    dataset.file_meta.PrivateInformation = secrets.name().encode()
    return dataset


def nested(secrets: Secrets, depth: int) -> Dataset:
    item = Dataset()
    item.PatientName, item.StudyDate, item.CodeMeaning = secrets.name(), secrets.date(), secrets.name()
    item.PatientWeight, item.ReferencedSOPInstanceUID = secrets.number(), secrets.uid()
    private(item, secrets)
    if depth:
        item.ReferencedSeriesSequence = Sequence([nested(secrets, depth - 1)])
    return item


def private(dataset: Dataset, secrets: Secrets) -> None:
    block = dataset.private_block(0x0009, secrets.name(), create=True)
    block.add_new(1, "LO", secrets.name())
    block.add_new(2, "DA", secrets.date())
    block.add_new(3, "DS", str(secrets.number()))
    block.add_new(4, "SL", secrets.number())
    block.add_new(5, "FD", float(secrets.number()))
    block.add_new(6, "OB", secrets.name().encode() + b" ")
    block.add_new(7, "UN", secrets.name().encode("utf-16-le"))
    block.add_new(8, "UN", pack("<i", secrets.number()))
    inner = Dataset()
    inner.PatientName = secrets.name()
    block.add_new(9, "SQ", Sequence([inner]))


def to_be_refused(secrets: Secrets) -> Iterator[Dataset]:
    """Files whose refusal quotes, or could quote, what is in them."""
    yield planted(secrets, Modality=secrets.name().upper())
    yield planted(secrets, RescaleType=secrets.name())
    yield planted(secrets, PhotometricInterpretation=secrets.name().upper())
    yield planted(secrets, SOPClassUID=f"1.2.840.10008.{secrets.uid()}")
    yield planted(secrets, ImageType=["DERIVED", "SECONDARY", secrets.name().upper()])
    yield planted(secrets, BurnedInAnnotation="YES")
    yield planted(secrets, PixelSpacing=None)
    unreadable = planted(secrets)
    unreadable.add_new("PixelSpacing", "LO", secrets.name())
    yield unreadable
    undecodable = planted(secrets)
    undecodable.PixelData = encapsulate([secrets.name().encode()])
    undecodable.file_meta.TransferSyntaxUID = JPEGLSLossless
    yield undecodable


def many_frames(secrets: Secrets) -> Dataset:
    frames = [
        {
            "PlanePosition": {"ImagePositionPatient": [0, 0, z]},
            "FrameContent": {"FrameComments": secrets.name(), "FrameReferenceDateTime": secrets.moment()},
        }
        for z in range(2)
    ]
    shared = {
        "PixelMeasures": {"PixelSpacing": [0.5, 0.5]},
        "PlaneOrientation": {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
        "PixelValueTransformation": {"RescaleSlope": 1, "RescaleIntercept": -1024},
        "CTReconstruction": {"ConvolutionKernel": secrets.name(), "ProtocolName": secrets.name()},
    }
    stored = np.arange(2 * 256).reshape(2, 16, 16).astype(np.int16)
    return enhanced_ct(stored, frames, shared, PatientID=secrets.name(), SeriesInstanceUID=generate_uid())


def fill(folder: Path, secrets: Secrets) -> int:
    """Loose files and files in archives, all of them under names of people; returns how many slices may be taken."""
    contents = [content_of(planted(secrets, ImagePositionPatient=[0, 0, z])) for z in range(5)]
    contents += map(content_of, to_be_refused(secrets))
    contents += [content_of(many_frames(secrets)), secrets.name().encode(), b""]
    everything = b"".join(contents).lower()
    there = [
        text.lower().encode(code) in everything for text in secrets.texts for code in ("utf-8", "utf-16-le")
    ]
    # Only what is in the files can be missed in the store; a few were written over on the way.
    assert sum(there) > 0.98 * len(secrets.texts) > 1000
    for content in contents[1:]:
        path = folder / secrets.name() / f"{secrets.name()} {secrets.date()}" / f"{secrets.name()}.dcm"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{secrets.name()}/{secrets.name()}.dcm", contents[0])
        archive.writestr(f"{secrets.name()}/{secrets.name()}.txt", secrets.name())
        archive.comment = secrets.name().encode()
    with tarfile.open(folder / f"{secrets.name()}.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo(f"{secrets.name()}/{secrets.name()}.zip")
        member.size, member.uname = len(zipped.getvalue()), secrets.name()
        archive.addfile(member, io.BytesIO(zipped.getvalue()))
        link = tarfile.TarInfo(secrets.name())
        link.type, link.linkname = tarfile.SYMTYPE, secrets.name()
        archive.addfile(link)
    (folder / f"{secrets.name()}.zip").write_bytes(zipped.getvalue()[:-40])
    (folder / secrets.name()).symlink_to(folder / secrets.name())
    return 5 + 2


def all_values(path: Path) -> bytes:
    """Names and values of every group, data set and attribute, decompressed."""
    found: list[bytes] = []

    def visit(name: str, node: h5py.Group | h5py.Dataset) -> None:
        found.append(name.encode())
        for key, value in node.attrs.items():
            found.extend((key.encode(), str(value).encode(), np.asarray(value).tobytes()))
        if isinstance(node, h5py.Dataset):
            found.append(node[()].tobytes())

    with h5py.File(path) as store:
        visit("/", store)
        store.visititems(visit)
    return b"\n".join(found)


def leaks(content: bytes, secrets: Secrets) -> list[bytes]:
    return [pattern for pattern in secrets.patterns() if pattern in content]


@pytest.mark.parametrize("options", [[], ["--size", "24"], ["--take-burned-in"]])
def test_nothing_planted_survives(tmp_path, capsys, options):
    secrets, out = Secrets(), tmp_path / "out" / "store.h5"
    slices = fill(tmp_path / "in", secrets) + ("--take-burned-in" in options)
    log = tmp_path / "out" / "log.txt"
    # Twice: what a later run carries over from the account of the one before must be as clean.
    for more in ([], ["--log", str(log)]):
        assert main(["ingest", str(tmp_path / "in"), "--out", str(out), *options, *more]) == 0
    account = out.with_name("store.ingest.json")
    assert sorted(tmp_path.glob("out/*")) == sorted([account, log, out])
    written = json.loads(account.read_text())
    assert len(written["taken"]) == slices
    assert len(written["refused"]) >= 10
    assert leaks(out.read_bytes(), secrets) == []
    assert leaks(all_values(out), secrets) == []
    assert leaks(account.read_bytes(), secrets) == []
    said = capsys.readouterr().out
    for place in (log.read_text(), said):
        assert sum(text in place for text in secrets.texts) > 20


def test_the_search_finds_what_is_there(tmp_path):
    """Compressed or not, as text or as a number, in a name or in an attribute."""
    secrets = Secrets()
    hidden = [secrets.name() for _ in range(4)]
    with h5py.File(tmp_path / "a.h5", "w") as store:
        store.create_dataset(hidden[0], data=[1])
        store.attrs[hidden[1]] = hidden[2]
        packed = np.frombuffer(hidden[3].encode().ljust(512, b"\0") * 8, np.uint8)
        store.create_dataset("packed", data=packed, compression="gzip")
        store.attrs["number"] = secrets.number()
    found = leaks(all_values(tmp_path / "a.h5"), secrets)
    assert {text.encode() for text in hidden} <= set(found)
    assert pack("<q", secrets.numbers[0]) in found
