"""Which files hold slices: axial CT, as scanned; everything else is set aside with its reason."""

from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
    RawDataStorage,
)

from ctrobust.ingest.elements import Elements, text, words
from ctrobust.ingest.opening import VIEW_ANGLE, DicomFile
from ctrobust.ingest.refusal import RefusalError

CT_OBJECTS = ("", CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)

OTHERS = {
    "MR": "magnetic resonance",
    "PT": "positron emission",
    "NM": "nuclear medicine",
    "US": "ultrasound",
    "SR": "a structured report, such as a dose report",
    "CR": "a radiograph",
    "DX": "a radiograph",
    "MG": "a mammogram",
    "XA": "an angiogram",
    "RF": "fluoroscopy",
    "OT": "something else",
    "SC": "a secondary capture",
    "PR": "a presentation state",
    "KO": "a list of key images",
    "SEG": "a segmentation",
    "REG": "a registration",
    "DOC": "a document",
    "RTSTRUCT": "contours of radiotherapy",
    "RTDOSE": "a dose of radiotherapy",
    "RTPLAN": "a plan of radiotherapy",
    "RTIMAGE": "an image of radiotherapy",
}
"""What a Modality stands for; one that is not listed is never quoted, it may be anybody's text."""

# What values of ImageType say, where any one of them is enough. Vendors' words included.
TELLING = {
    "localizer, not a slice": {"LOCALIZER", "SCOUT", "TOPOGRAM", "SCANOGRAM", "SURVIEW", "SCANOSCOPE"},
    "dose report, not a slice": {"DOSE", "DOSE_INFO", "DOSE REPORT", "DOSEREPORT", "PATIENT_PROTOCOL"},
    "secondary capture, not a slice": {
        "SCREEN SAVE",
        "SCREENSAVE",
        "SCREENSHOT",
        "SCREEN CAPTURE",
        "CAPTURE",
    },
    "derived reformat, not a slice as scanned": {
        *("MPR", "MPR_THICK", "MPRTHICK", "CPR", "CURVED", "REFORMATTED", "REFORMAT", "OBLIQUE"),
        *("CORONAL", "SAGITTAL", "RADIAL", "PROJECTION IMAGE", "MIP", "MINIP", "MNIP", "MAXIMUM", "MINIMUM"),
        *("VRT", "VOLUME RENDERING", "VR", "SSD", "3D", "RENDERED", "MEAN", "AVERAGE", "STD_DEVIATION"),
    },
    "computed map, not a slice as scanned": {
        *("SUBTRACTION", "SUB", "SUBTRACT", "ADDITION", "DIVISION", "MULTIPLICATION", "MASKED", "QUANTITY"),
        *("PERFUSION MAP", "CBF", "CBV", "MTT", "TTP", "TMAX", "MATERIAL", "MATERIAL_FRACTION"),
        *("MATERIAL_QUANTIFICATION", "MATERIAL_REMOVED", "EFF_ATOMIC_NUM", "ELECTRON_DENSITY"),
    },
}
DERIVED_SLICES = {"AXIAL", "VOLUME"}
"""A derived image is a slice where its ImageType says so: one compressed with loss, say, or denoised."""


def check_object(file: DicomFile) -> None:
    """Raise RefusalError unless the file is a CT image."""
    if text(file.dataset.file_meta, "MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        raise RefusalError("DICOMDIR: an index of files, not a slice")
    modality = text(file.header, "Modality")
    if modality != "CT":
        other = f" but {OTHERS[modality]}" if modality in OTHERS else ""
        raise RefusalError(f"not CT{other}", f"Modality {modality}" if modality else "no Modality")
    if VIEW_ANGLE in file.dataset:
        raise RefusalError(
            "projections, not an image: DICOM-CT-PD is not reconstructed here; name the folders of images alone"
        )
    sop_class = text(file.header, "SOPClassUID")
    if sop_class == RawDataStorage:
        raise RefusalError("raw data of a scanner, not an image: only the scanner's maker can read them")
    if sop_class.startswith("1.2.840.10008.5.1.4.1.1.7") or text(file.header, "ConversionType"):
        raise RefusalError("secondary capture, not a slice")
    if sop_class.startswith("1.2.840.10008.5.1.4.1.1.88"):
        raise RefusalError(f"not CT but {OTHERS['SR']}")
    if sop_class.startswith("1.2.840.10008.") and sop_class not in CT_OBJECTS:
        raise RefusalError("not a CT image, by its SOPClassUID", f"SOPClassUID {sop_class}")


def check_image_type(elements: Elements) -> None:
    """Raise RefusalError where ImageType says that the image is no slice as scanned.

    DERIVED is taken only as DERIVED\\…\\AXIAL (VOLUME, in enhanced CT), or where all there is to the
    derivation is compression with loss.
    """
    values = {value.upper() for value in words(elements, "ImageType")}
    for reason, tell in TELLING.items():
        if values & tell:
            raise RefusalError(reason, text(elements, "ImageType"))
    lossy = text(elements, "LossyImageCompression") == "01"
    if "DERIVED" in values and not (values & DERIVED_SLICES or (lossy and len(values) <= 2)):
        raise RefusalError("derived image, not said to be axial", text(elements, "ImageType"))
