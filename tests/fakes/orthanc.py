"""A real Orthanc with its DICOMweb plugin on loopback, with its files in a temporary folder."""

import json
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.fakes.serving import LONGEST_S

PLUGINS = Path("/usr/share/orthanc/plugins")
MISSING = shutil.which("Orthanc") is None or not (PLUGINS / "libOrthancDicomWeb.so").exists()
REASON = "Orthanc is not installed (Debian packages orthanc and orthanc-dicomweb)"


def free_port():
    """Return a free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def orthanc(folder, port, **changes):
    """Run Orthanc and yield a client. `changes` are further settings."""
    folder.mkdir(exist_ok=True)
    settings = {
        "Name": "TEST",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [str(PLUGINS / "libOrthancDicomWeb.so")],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        **changes,
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [shutil.which("Orthanc"), str(folder / "orthanc.json")], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=LONGEST_S, trust_env=False) as client:
            end = time.monotonic() + LONGEST_S
            while True:
                try:
                    if client.get("/dicom-web/studies").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                assert time.monotonic() < end, "Orthanc did not start in time"
                time.sleep(0.1)
            yield client
    finally:
        process.terminate()
        try:
            process.wait(timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
