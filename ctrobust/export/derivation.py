"""What a reconstruction says of itself in its header: derived, by which method, and not for clinical use."""

from dataclasses import dataclass

from pydicom.dataset import Dataset

PRODUCT = "ctrobust"
WARNING = "not for clinical use"
MOST_SHORT = 16
"""Characters of a DICOM short string."""


@dataclass(frozen=True)
class Derivation:
    """How an image came about.

    method          of training, such as minmax
    version, commit of ctrobust; no commit where it was installed from elsewhere than its repository
    weights_sha256  of the network
    scan            the measurement in words, such as "parallel beam, 36 views of 182 bins, noiseless"
    simulated       whether the sinogram was simulated from the source's own image
    """

    method: str
    version: str
    commit: str | None
    weights_sha256: str
    scan: str
    simulated: bool

    def __str__(self) -> str:
        commit = f"commit {self.commit}" if self.commit else "commit unknown"
        origin = "simulated from the source image" if self.simulated else "as it was given"
        return (
            f"{PRODUCT} {self.version} ({commit}): reconstructed by a network trained by {self.method} "
            f"(weights SHA-256 {self.weights_sha256}) from a sinogram {origin}: {self.scan}. {WARNING.capitalize()}."
        )

    def elements(self) -> Dataset:
        """Of the modules General Series, General Equipment, General Image, CT Image and SOP Common."""
        header = Dataset()
        header.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
        header.DerivationDescription = str(self)
        header.SeriesDescription = f"{PRODUCT} {self.method}, {WARNING}"
        header.ConvolutionKernel = self.method[:MOST_SHORT]
        self._sign(header)
        equipment = Dataset()
        self._sign(equipment)
        equipment.ContributionDescription = f"Reconstruction by {self.method}, {WARNING}"
        equipment.PurposeOfReferenceCodeSequence = [_code("109102", "DCM", "Processing Equipment")]
        header.ContributingEquipmentSequence = [equipment]
        return header

    def _sign(self, header: Dataset) -> None:
        header.Manufacturer = header.ManufacturerModelName = PRODUCT
        commit = [f"commit {self.commit}"] if self.commit else []
        header.SoftwareVersions = [self.version, *commit]


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code
