#!/usr/bin/env bash
# Build the files of a release in OUT: sdist, wheel, zipped bundle, software bill of materials, and hashes.
#
#   docker/release.sh OUT
#
# Needs Python 3.10 or newer, npm for the web page, and the package registries. Tools are installed in a folder that is
# removed at the end. Test the wheel with docker/check_install.sh in empty environments.
set -euo pipefail
[ $# -eq 1 ] || { sed -n '2,8p' "$0"; exit 2; }
cd "$(dirname "$0")/.."
mkdir -p "$1"
out=$(cd "$1" && pwd)
[ -z "$(ls -A "$out")" ] || { echo "$out is not empty. Name a new folder."; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/tools"
"$work/tools/bin/pip" install -q build cyclonedx-bom

echo "== wheel and sdist"
# The wheel is built from the sdist, which shows that the sdist is complete.
BRATS_MM_VIEWER=${BRATS_MM_VIEWER:-require} "$work/tools/bin/python" -m build --outdir "$out" . >"$work/build.log" 2>&1 ||
    { tail -30 "$work/build.log"; exit 1; }

echo "== bundle archive"
python3 -m venv "$work/installed"
"$work/installed/bin/pip" install -q -c constraints.txt "$(echo "$out"/*.whl)[service,dicom,openvino,parquet]"
(cd "$work" && installed/bin/brats-mm bundle zip -o "$out")

echo "== software bill of materials"
"$work/tools/bin/cyclonedx-py" environment "$work/installed/bin/python" --output-format JSON --output-file "$out/sbom.cdx.json"

(cd "$out" && sha256sum -- *.whl *.tar.gz *.zip sbom.cdx.json >SHA256SUMS && cat SHA256SUMS)
