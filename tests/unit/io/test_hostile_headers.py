"""No NRRD or MetaImage header can open a file other than the named one or one in its folder.

BRATS_MM_MUTATIONS sets the number of corrupted headers of the slow test (default: 10,000). The quick one takes 400.
"""

import bz2
import gzip
import os
import random
import sys
import zlib

import numpy as np
import pytest

from brats_mm.errors import VolumeError
from brats_mm.io.volume import check_volume, read_volume

MUTATIONS = int(os.environ.get("BRATS_MM_MUTATIONS", "10000"))
SHAPE = (9, 10, 11)
GREY = np.random.default_rng(3).integers(0, 500, SHAPE).astype("<i2")
RAW = GREY.tobytes(order="F")
SECRET = "secret.raw"


class OpenedFiles:
    """Names of the files that Python opens, recorded by an audit hook while `names` is a list."""

    def __init__(self):
        self.names = None
        sys.addaudithook(self._hook)

    def _hook(self, event, arguments):
        if self.names is None or event not in ("open", "os.listdir", "os.scandir", "socket.connect"):
            return
        if not isinstance(arguments[0], int):  # a file descriptor
            self.names.append(str(arguments[0]))


OPENED = OpenedFiles()


def nrrd(encoding):
    packed = {"raw": RAW, "gzip": gzip.compress(RAW), "bzip2": bz2.compress(RAW)}[encoding]
    head = (
        "NRRD0004\n# a comment\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 9 10 11\n"
        "space directions: (1,0,0) (0,1,0) (0,0,2)\nkinds: domain domain domain\nendian: little\n"
        f"encoding: {encoding}\nspace origin: (0,0,0)\nmodality:=MR\n"
    )
    return head, "\n", packed


def metaimage(*, compressed):
    packed = zlib.compress(RAW) if compressed else RAW
    head = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        f"CompressedData = {compressed}\n"
        + (f"CompressedDataSize = {len(packed)}\n" if compressed else "")
        + "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 1 1 2\nDimSize = 9 10 11\n"
        "Comment = made\nElementType = MET_SHORT\n"
    )
    return head, "ElementDataFile = LOCAL\n", packed


MADE = {
    ".nrrd": [nrrd("raw"), nrrd("gzip"), nrrd("bzip2")],
    ".nhdr": [nrrd("raw"), nrrd("gzip")],
    ".mha": [metaimage(compressed=False), metaimage(compressed=True)],
    ".mhd": [metaimage(compressed=False), metaimage(compressed=True)],
}
LEADS = {
    ".nrrd": ("data file:", "datafile:", "Data File:", "data file :", "data\tfile:", "data file:="),
    ".mha": ("ElementDataFile =", "ElementDataFile: =", "ElementDataFile\t=", "elementdatafile =", "ElementDataFile:"),
}
ENDS = ("\n", "\r", "\r\n", "\x00\n", "\t\n", " \n", "\n\n", "\x0b\n", "\x1c\n", "\x85\n")


def injected(suffix, secret, chance):
    """Return a line that names another file in one of many spellings."""
    name = chance.choice(
        [
            str(secret),
            f"../{secret.name}",
            f"./../{secret.name}",
            "/proc/self/fd/0",
            "/dev/stdin",
            "/dev/zero",
            f"x\x00{secret}",
            f"..\\{secret.name}",
            "LIST\n" + str(secret),
            f"LIST 3\n{secret}",
            f"{secret.parent}/%s.raw 1 1 1",
            "%03d.raw 1 9 1",
            f"file://{secret}",
            f"link-{secret.name}",
        ]
    )
    lead = chance.choice(LEADS[".nrrd" if suffix in (".nrrd", ".nhdr") else ".mha"])
    return chance.choice(["", "\r", "#\r", "x:=y\r", "\x00", "\t"]) + lead + chance.choice([" ", "", "\t"]) + name


def corrupted(suffix, secret, chance):
    """Return a file with one to four changes of its header, most of which name another file."""
    head, end, data = chance.choice(MADE[suffix])
    for _ in range(chance.randint(1, 4)):
        lines = head.split("\n")
        at = chance.randrange(len(lines))
        kind = chance.randrange(7)
        if kind <= 2:
            lines.insert(at, injected(suffix, secret, chance) + chance.choice(ENDS).rstrip("\n"))
        elif kind == 3:
            lines.insert(at, chance.choice(lines))
        elif kind == 4:
            lines.insert(at, "# " + "x" * chance.choice([100, 2**16, 2**17]))
        elif kind == 5 and lines[at]:
            spot = chance.randrange(len(lines[at]))
            lines[at] = lines[at][:spot] + chance.choice("\r\0:\t= #%/\\\x7f") + lines[at][spot:]
        else:
            end = chance.choice([end, injected(suffix, secret, chance) + "\n" + end, end.replace("LOCAL", str(secret))])
        head = "\n".join(lines)
    return (head + end).encode("latin-1", "replace") + data


def attack(tmp_path, count):
    """Read `count` corrupted files of each format, and return how many were rejected and how many were read."""
    outside = tmp_path / "outside"
    folder = outside / "case"
    folder.mkdir(parents=True)
    secret = outside / SECRET
    secret.write_bytes(RAW)
    (folder / f"link-{SECRET}").symlink_to(secret)
    chance = random.Random(11)
    refused = read = 0
    for suffix in MADE:
        path = folder / f"t1{suffix}"
        for _ in range(count):
            path.write_bytes(corrupted(suffix, secret, chance))
            for look in (read_volume, lambda place: check_volume(place, one_file=True)):
                OPENED.names = []
                try:
                    look(path)
                    read += 1
                except VolumeError:
                    refused += 1
                finally:
                    names, OPENED.names = OPENED.names, None
                assert set(names) <= {str(path)}, path.read_bytes()[:2000]
    return refused, read


def test_no_header_opens_another_file(tmp_path):
    refused, read = attack(tmp_path, 100)

    assert refused > read > 0


@pytest.mark.slow
def test_no_header_of_ten_thousand_opens_another_file(tmp_path):
    each = MUTATIONS // len(MADE)
    refused, read = attack(tmp_path, each)

    print(f"{each * len(MADE)} headers, each read twice: {refused} refused, {read} read, 0 opened another file")  # noqa: T201
    assert refused > read > 0


def test_opened_files_are_detected(tmp_path):
    """A header may name a file next to it, which is then recorded."""
    head, _, _ = nrrd("raw")
    (tmp_path / "t1.nhdr").write_text(f"{head}data file: voxels.raw\n")
    (tmp_path / "voxels.raw").write_bytes(RAW)
    OPENED.names = []
    try:
        volume = read_volume(tmp_path / "t1.nhdr")
    finally:
        names, OPENED.names = OPENED.names, None

    np.testing.assert_array_equal(volume.data, GREY)
    assert {str(tmp_path / "t1.nhdr"), str(tmp_path / "voxels.raw")} == set(names)


ATTACKS = {
    "a lone carriage return": (".nrrd", "\rdata file: {secret}\n"),
    "a colon before the equals sign": (".mha", "ElementDataFile: = {secret}\n"),
    "a tab before the equals sign": (".mha", "ElementDataFile\t= {secret}\n"),
    "a NUL in the name": (".mha", "ElementDataFile = t1.mha\0{secret}\n"),
    "another spelling": (".mha", "elementdatafile = {secret}\n"),
    "a second field of the same name": (".mha", "NDims = 3\n"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_rejects_known_attacks(tmp_path, attack):
    """Each of them passed an earlier check that parsed headers differently from ITK."""
    suffix, line = ATTACKS[attack]
    secret = tmp_path / SECRET
    secret.write_bytes(RAW)
    head, end, data = MADE[suffix][0]
    path = tmp_path / f"t1{suffix}"
    path.write_bytes((head + line.format(secret=secret) + end).encode("latin-1") + data)

    with pytest.raises(VolumeError, match=r"t1\.(nrrd|mha)"):
        read_volume(path)


@pytest.mark.parametrize("suffix", MADE)
def test_rejects_header_over_64_kib(tmp_path, suffix):
    head, end, data = MADE[suffix][0]
    filler = "# " + "x" * 2**16 if suffix in (".nrrd", ".nhdr") else "Comment2 = " + "x" * 2**16
    path = tmp_path / f"t1{suffix}"
    path.write_bytes(f"{head}{filler}\n{end}".encode() + data)

    with pytest.raises(VolumeError, match="longer than 64 KiB"):
        read_volume(path)


@pytest.mark.parametrize("suffix", MADE)
def test_unmodified_files_are_read(tmp_path, suffix):
    for head, end, data in MADE[suffix]:
        (tmp_path / f"t1{suffix}").write_bytes((head + end).encode() + data)
        volume = read_volume(tmp_path / f"t1{suffix}")

        np.testing.assert_array_equal(volume.data, GREY)
        np.testing.assert_array_equal(volume.grid.affine, np.diag([-1.0, -1.0, 2.0, 1.0]))
