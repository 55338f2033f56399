"""An enhanced multi-frame file as its single slices: each frame's own values before those all frames share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset
from pydicom.uid import EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from ctrobust.ingest.elements import Elements, text
from ctrobust.ingest.refusal import RefusalError

ENHANCED = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
MACROS = (
    "PixelMeasuresSequence",
    "PlaneOrientationSequence",
    "PlanePositionSequence",
    "PixelValueTransformationSequence",
    "CTPixelValueTransformationSequence",
    "CTImageFrameTypeSequence",
    "FrameContentSequence",
    "CTReconstructionSequence",
    "CTAcquisitionDetailsSequence",
    "CTXRayDetailsSequence",
    "CardiacSynchronizationSequence",
)
"""The functional groups that say something of a slice. Source: DICOM PS3.3 C.7.6.16, C.8.15.3."""
OTHER_NAMES = {
    "ImageType": "FrameType",
    "AcquisitionNumber": "FrameAcquisitionNumber",
    "TemporalPositionIdentifier": "TemporalPositionIndex",
    "TriggerTime": "NominalCardiacTriggerDelayTime",
}
"""What a functional group calls what a single-frame file calls otherwise."""


@dataclass(frozen=True)
class Frame:
    """One frame's values: answers a keyword like a data set. `layers`: the frame's own come first."""

    layers: tuple[Elements, ...]

    def get(self, keyword: str, /) -> Any:
        for layer in self.layers:
            for name in (OTHER_NAMES.get(keyword, keyword), keyword):
                value = layer.get(name)
                if value is not None:
                    return value
        return None


def frames_of(header: Elements, count: int) -> Sequence[Elements]:
    """The frames of a file in their order, `count` being what it declares; a plain slice is its own frame.

    Raises RefusalError where the frames are not described one by one, which leaves their places unknown.
    """
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if count == 1 and not groups and text(header, "SOPClassUID") not in ENHANCED:
        return (header,)
    if not groups:
        raise RefusalError("several frames without a position for each")
    if len(groups) != count:
        raise RefusalError("NumberOfFrames is not the number of frames described")
    shared = header.get("SharedFunctionalGroupsSequence")
    common = _macros(shared[0]) if shared else ()
    return [Frame((*_macros(group), *common, header)) for group in groups]


def _macros(group: Dataset) -> tuple[Dataset, ...]:
    return tuple(items[0] for name in MACROS if (items := group.get(name)))
