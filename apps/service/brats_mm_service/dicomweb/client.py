"""Client of the configured DICOMweb archive: find, fetch, store. Contacts no other address."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brats_mm.errors import OptionError
from brats_mm.io.dicom.suppress_warnings import suppress_warnings
from brats_mm_service.settings import DicomwebSettings

_UID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+")
_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses after which to retry."""


class DicomwebRefused(Exception):  # noqa: N818 (named by the event)
    """The archive permanently refused a request. The message is for the caller."""


class DicomwebUnreachable(Exception):  # noqa: N818
    """The archive does not respond or is busy. Try again later."""


def is_uid(text: str) -> bool:
    """Return whether a string is a UID (PS3.5, chapter 9)."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


class DicomwebClient:
    """Client of an archive. Does not follow redirections, and ignores proxies and passwords of the environment."""

    def __init__(self, settings: DicomwebSettings) -> None:
        try:
            import requests
            from dicomweb_client import DICOMwebClient
        except ImportError as error:
            raise OptionError(f'An archive needs {error.name}. Run: pip install "brats-mm[service,dicom]"') from error
        session = requests.Session()
        session.trust_env = False
        session.max_redirects = 0
        session.verify = settings.verify if settings.ca_file is None else str(settings.ca_file)
        self._client = DICOMwebClient(
            settings.url.rstrip("/"), session=session, headers=settings.headers(), timeout=settings.timeout_s
        )
        self._client.set_http_retry_params(retry=False)

    def studies(self, limit: int = 500) -> list[tuple[str, int]]:
        """Return the UIDs of studies with MR series, and their numbers of instances."""
        with _translate_errors():
            datasets = self._client.search_for_studies(
                search_filters={"ModalitiesInStudy": "MR"},
                fields=["NumberOfStudyRelatedInstances"],
                limit=limit,
            )
        return [(_read_value(dataset, "0020000D"), int(_read_value(dataset, "00201208") or 0)) for dataset in datasets]

    def fetch(self, study_uid: str, folder: Path, most_bytes: int) -> int:
        """Fetch the MR series of a study unchanged, one file per instance, and return their number.

        Args:
            study_uid: Study Instance UID.
            folder: existing folder for the files.
            most_bytes: maximum total size.

        Raises:
            DicomwebRefused: the study does not exist, has no MR series, or exceeds the limit.
            DicomwebUnreachable: the archive does not respond.
        """
        with _translate_errors():
            series = self._client.search_for_series(study_uid, search_filters={"Modality": "MR"})
            uids = [
                _read_value(dataset, "0020000E") for dataset in series if _read_value(dataset, "00080060") in ("MR", "")
            ]
            if not uids:
                raise DicomwebRefused("The archive has no MR series of this study. Check the Study Instance UID.")
            count, left_bytes = 0, most_bytes
            for uid in filter(is_uid, uids):
                for image in self._client.iter_series(study_uid, uid, media_types=(("application/dicom", "*"),)):
                    path = folder / f"{count:06d}.dcm"
                    image.save_as(path)
                    count, left_bytes = count + 1, left_bytes - path.stat().st_size
                    if left_bytes < 0:
                        raise DicomwebRefused(
                            "The study exceeds the size limit. Send the four series as a job instead."
                        )
        return count

    def holds(self, study_uid: str, series_uid: str, instance_uid: str) -> bool:
        """Return whether the archive has an object."""
        with _translate_errors():
            datasets = self._client.search_for_instances(
                study_uid, series_uid, search_filters={"SOPInstanceUID": instance_uid}
            )
        return any(_read_value(dataset, "00080018") == instance_uid for dataset in datasets)

    def store(self, study_uid: str, objects: Sequence[Any]) -> None:
        """Store objects in a study.

        Raises:
            DicomwebRefused: the archive refuses the objects.
            DicomwebUnreachable: the archive does not respond.
        """
        with _translate_errors():
            response = self._client.store_instances(list(objects), study_instance_uid=study_uid)
        failed = response.get("FailedSOPSequence") or ()
        if len(failed):
            raise DicomwebRefused(
                f"The archive refused {len(failed)} of {len(objects)} objects. Ask its operator whether it accepts SEG."
            )


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Turn errors into the two exceptions above. The messages do not quote the archive, whose responses may contain
    patient data.
    """
    import requests

    try:
        with suppress_warnings():
            yield
    except requests.TooManyRedirects as error:
        raise DicomwebRefused(
            "The archive redirects to another address, which is not followed. Configure its final address."
        ) from error
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in _PASSING or status == 0:
            raise DicomwebUnreachable(f"it responded with status {status}") from error
        messages = {404: "does not have this study", 401: "rejects the token", 403: "does not allow this"}
        raise DicomwebRefused(
            f"The archive {messages.get(status, f'refused the request with status {status}')}."
        ) from error
    except (requests.RequestException, OSError) as error:
        raise DicomwebUnreachable(f"it did not respond ({type(error).__name__})") from error


def _read_value(dataset: dict[str, Any], tag: str) -> str:
    values = dataset.get(tag, {}).get("Value") or [""]
    return str(values[0])
