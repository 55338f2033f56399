"""Who a file is of, which series it stands in, and which object it is, by the source's own identifiers."""

from ctrobust.ingest.elements import Elements, text


def identity(elements: Elements, sha256: str) -> tuple[str, str, str]:
    """(patient, series, instance) of a file; a function of the file alone, so that later runs agree.

    Without a patient's ID the study stands for the patient, then the series, then the file: two nameless
    patients never become one. A patient with an ID is one in all studies, whoever issued it
    (IssuerOfPatientID is often missing from some of a patient's studies; two people under one ID only make a
    split more careful, one person under two would leak). Each kind has its own prefix, so that an ID cannot
    meet a UID; series and objects are the patient's, so that a careless export cannot join two patients.
    """
    study, series, instance = (
        text(elements, keyword) for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    )
    fallbacks = [
        ("id", text(elements, "PatientID")),
        ("study", study),
        ("series", series),
        ("file", sha256),
    ]
    patient = next(f"{kind}/{value}" for kind, value in fallbacks if value)
    # Old exports number their series without a UID.
    series = series or f"number/{text(elements, 'SeriesNumber')}"
    return patient, f"{patient}/{study}/{series}", f"{patient}/{instance or sha256}"
