"""Which elements of a source may stand in a reconstruction: allow-lists by module.

Source: DICOM PS3.3 C.7.1.1 Patient, C.7.2.1 General Study, C.7.2.2 Patient Study, C.7.4.1 Frame of Reference.
"""

MODULES: dict[str, tuple[str, ...]] = {
    "Patient": (
        *("PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence"),
        *("TypeOfPatientID", "PatientBirthDate", "PatientBirthTime", "PatientBirthDateInAlternativeCalendar"),
        *("PatientDeathDateInAlternativeCalendar", "PatientAlternativeCalendar", "PatientSex"),
        *("QualityControlSubject", "ReferencedPatientPhotoSequence", "ReferencedPatientSequence"),
        *("OtherPatientIDsSequence", "OtherPatientNames", "EthnicGroup", "PatientComments"),
        *("PatientSpeciesDescription", "PatientSpeciesCodeSequence", "PatientBreedDescription"),
        *("PatientBreedCodeSequence", "BreedRegistrationSequence", "StrainDescription"),
        *("StrainNomenclature", "StrainCodeSequence", "StrainAdditionalInformation", "StrainStockSequence"),
        *("GeneticModificationsSequence", "ResponsiblePerson", "ResponsiblePersonRole"),
        *("ResponsibleOrganization", "PatientIdentityRemoved", "DeidentificationMethod"),
        *("DeidentificationMethodCodeSequence", "SourcePatientGroupIdentificationSequence"),
        "GroupOfPatientsIdentificationSequence",
    ),
    "General Study": (
        *("StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
        *("ReferringPhysicianIdentificationSequence", "ConsultingPhysicianName"),
        *("ConsultingPhysicianIdentificationSequence", "StudyID", "AccessionNumber"),
        *("IssuerOfAccessionNumberSequence", "StudyDescription", "PhysiciansOfRecord"),
        *("PhysiciansOfRecordIdentificationSequence", "NameOfPhysiciansReadingStudy"),
        *("PhysiciansReadingStudyIdentificationSequence", "RequestingServiceCodeSequence"),
        *("ReferencedStudySequence", "ProcedureCodeSequence", "ReasonForPerformedProcedureCodeSequence"),
    ),
    "Patient Study": (
        *("AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence", "PatientAge", "PatientSize"),
        *("PatientWeight", "PatientBodyMassIndex", "MeasuredAPDimension", "MeasuredLateralDimension"),
        *("PatientSizeCodeSequence", "MedicalAlerts", "Allergies", "SmokingStatus", "PregnancyStatus"),
        *("LastMenstrualDate", "PatientState", "Occupation", "AdditionalPatientHistory", "AdmissionID"),
        *("IssuerOfAdmissionIDSequence", "ServiceEpisodeID", "IssuerOfServiceEpisodeIDSequence"),
        *("ServiceEpisodeDescription", "PatientSexNeutered", "ReasonForVisit", "ReasonForVisitCodeSequence"),
    ),
    "Frame of Reference": ("FrameOfReferenceUID", "PositionReferenceIndicator"),
}
"""What is copied for return to the archive."""

EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("ReferringPhysicianName", "AccessionNumber", "PositionReferenceIndicator", "KVP", "AcquisitionNumber"),
    "Laterality",
)
"""Types 2 and 2C: they must be there, and may be empty."""

OF_THE_SLICE = (
    "PatientPosition",
    "SliceThickness",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
"""What else is read; each value is checked against what it may be."""

POSITIONS = {
    *("HFP", "HFS", "HFDR", "HFDL", "FFDR", "FFDL", "FFP", "FFS", "LFP", "LFS", "RFP", "RFS"),
    *("AFDR", "AFDL", "PFDR", "PFDL"),
}
"""Defined terms of PatientPosition. Source: DICOM PS3.3 C.7.3.1.1.2."""

COMPRESSIONS = {"ISO_10918_1", "ISO_14495_1", "ISO_15444_1", "ISO_13818_2", "ISO_14496_10", "ISO_23008_2"}
"""Defined terms of LossyImageCompressionMethod. Source: DICOM PS3.3 C.7.6.1.1.5.1."""
