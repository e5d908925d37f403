"""The extension configures with CMake, lists every file of the module, and has the description for Slicer's index.

3D Slicer's own CMake package is replaced by a stand-in that checks what the real macros read.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

EXTENSION = Path(__file__).resolve().parents[2] / "apps" / "slicer"
MODULE = EXTENSION / "BratsMM"
LISTS = (EXTENSION / "CMakeLists.txt").read_text(encoding="utf-8")
ENTRY = json.loads((EXTENSION / "BratsMM.json").read_text(encoding="utf-8"))

PACKAGE = """
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/Generate.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/Pack.cmake")
"""
USE = """
include(CMakeParseArguments)
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MODULE "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MODULE_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "not understood: ${MODULE_UNPARSED_ARGUMENTS}")
  endif()
  foreach(file ${MODULE_SCRIPTS} ${MODULE_RESOURCES})
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
      message(FATAL_ERROR "${file} is not there")
    endif()
    message(STATUS "listed ${file}")
  endforeach()
endmacro()
function(slicer_add_python_unittest)
  cmake_parse_arguments(TEST "" "SCRIPT" "" ${ARGN})
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${TEST_SCRIPT}")
    message(FATAL_ERROR "${TEST_SCRIPT} is not there")
  endif()
  message(STATUS "tested ${TEST_SCRIPT}")
endfunction()
"""
GENERATE = """
foreach(field HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if("${EXTENSION_${field}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${field} is empty")
  endif()
  message(STATUS "field ${field}=${EXTENSION_${field}}")
endforeach()
"""


@pytest.fixture(scope="module")
def configured(tmp_path_factory):
    """Output of CMake when it configures the extension with its tests."""
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("cmake or a compiler is not installed")
    root = tmp_path_factory.mktemp("slicer")
    stand_in = root / "stand-in"
    stand_in.mkdir()
    files = {"SlicerConfig": PACKAGE, "UseSlicer": USE, "Generate": GENERATE, "Pack": ""}
    for name, text in files.items():
        (stand_in / f"{name}.cmake").write_text(text, encoding="utf-8")
    command = [
        "cmake",
        "-S",
        str(EXTENSION),
        "-B",
        str(root / "build"),
        f"-DSlicer_DIR={stand_in}",
        "-DBUILD_TESTING=ON",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_module_file_is_installed(configured):
    listed = set(re.findall(r"-- listed (\S+)", configured))
    code = {path.relative_to(MODULE).as_posix() for path in MODULE.glob("BratsMM*/**/*.*") if path.suffix != ".pyc"}
    resources = {path.relative_to(MODULE).as_posix() for path in (MODULE / "Resources").rglob("*.*")}
    assert listed == code | resources | {"BratsMM.py"}


def test_module_and_scene_have_ctest_tests(configured):
    assert re.findall(r"-- tested (\S+)", configured) == ["BratsMM.py", "BratsMMSceneTest.py"]


def test_description_has_every_field_and_existing_pictures(configured):
    fields = dict(re.findall(r"-- field (\w+)=(.*)", configured))
    address = fields["HOMEPAGE"]
    assert address.startswith("https://")
    pictures = [fields["ICONURL"], *fields["SCREENSHOTURLS"].split()]
    assert len(pictures) >= 2
    for picture in pictures:
        assert picture.startswith(f"{address}/raw/main/")
        assert (EXTENSION.parents[1] / picture.removeprefix(f"{address}/raw/main/")).is_file(), picture
    assert fields["CATEGORY"] == ENTRY["category"] == "Segmentation"
    assert "not for diagnosis" in fields["DESCRIPTION"]


def test_index_entry_matches_schema():
    """The keys of Slicer's extension-catalog-entry schema 1.0.2."""
    assert set(ENTRY) == {
        "$schema",
        "build_dependencies",
        "build_subdirectory",
        "category",
        "enabled",
        "scm_revision",
        "scm_url",
        "tier",
    }
    assert ENTRY["tier"] in {1, 3, 5}
    assert ENTRY["scm_url"].endswith(".git")


def test_both_files_name_same_repository():
    (address,) = re.findall(r'set\(REPOSITORY "(.*)"\)', LISTS)
    assert ENTRY["scm_url"] == f"{address}.git"


def test_icon_has_slicer_size():
    with Image.open(MODULE / "Resources" / "Icons" / "BratsMM.png") as icon:
        assert icon.size == (128, 128)
