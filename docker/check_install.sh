#!/usr/bin/env bash
# Install a wheel or sdist in an empty environment, with the oldest or newest allowed dependencies, and use it.
#
#   docker/check_install.sh PACKAGE lowest|newest [PYTHON]
#
# PYTHON is `python3` by default. The version of torch comes from constraints.txt, or from TORCH. To avoid the large CUDA
# build, set TORCH=torch==2.13.0+cpu UV_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu. The script creates the
# environment, makes it read-only, uses it from another folder without network, and removes it.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,9p' "$0"; exit 2; }
package=$(realpath "$1")
case $2 in lowest) resolution=lowest-direct ;; newest) resolution=highest ;; *) sed -n '2,9p' "$0"; exit 2 ;; esac
python=${3:-python3}
constraints=$(cd "$(dirname "$0")/.." && pwd)/constraints.txt
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

export UV_CACHE_DIR=$work/cache  # removed with the rest
"$python" -m venv "$work/tools"
"$work/tools/bin/pip" install -q uv
echo "${TORCH:-$(grep '^torch' "$constraints")}" >"$work/torch.txt"
extras=service,dicom,openvino,parquet
# uv chooses the lowest versions only of direct requirements, so list the requirements of the package.
"$work/tools/bin/python" - "$package" "$extras" >"$work/direct.txt" <<'PY'
import re, sys, tarfile, zipfile

package, extras = sys.argv[1], sys.argv[2].split(",")
if package.endswith(".whl"):
    with zipfile.ZipFile(package) as archive:
        text = archive.read(next(name for name in archive.namelist() if name.endswith("/METADATA"))).decode()
else:
    with tarfile.open(package) as archive:
        member = next(name for name in archive.getnames() if re.fullmatch(r"[^/]+/PKG-INFO", name))
        text = archive.extractfile(member).read().decode()
for needed in re.findall(r"^Requires-Dist: (.*)$", text, re.MULTILINE):
    requirement, _, marker = needed.partition(";")
    extra = re.search(r"extra == ['\"](\w+)['\"]", marker)
    if (extra is None or extra[1] in extras) and not requirement.startswith("brats-mm"):
        print(requirement.strip())
PY
"$python" -m venv --without-pip "$work/env"
echo "== $(basename "$package") with the $2 dependencies, $("$python" --version)"
UV_COMPILE_BYTECODE_TIMEOUT=900 "$work/tools/bin/uv" pip install -q --python "$work/env/bin/python" --resolution "$resolution" -c "$work/torch.txt" \
    --index-strategy unsafe-best-match --compile-bytecode -r "$work/direct.txt" "${package}[$extras]"
"$work/tools/bin/uv" pip freeze --python "$work/env/bin/python" |
    grep -E '^(torch|monai|numpy|nibabel|simpleitk|scipy|pydicom|itk|highdicom|fastapi|openvino)==' | paste -sd' '
chmod -R a-w "$work/env"

mkdir "$work/home"
export HOME=$work/home PATH=$work/env/bin:$PATH http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 no_proxy=127.0.0.1
cd "$work/home"
brats-mm doctor >doctor.txt || { cat doctor.txt; exit 1; }
brats-mm demo -o demo --quiet
for name in segmentation.nii.gz segmentation.seg.nrrd entropy.nii.gz importance.json report.json preview.png; do
    [ -s "demo/result/$name" ] || { echo "The demo wrote no $name."; exit 1; }
done
brats-mm serve --port 18427 --quiet >serve.log 2>&1 &
service=$!
cat >ready.py <<'PY'
"""Wait up to two minutes for the service, then request its page."""
import time
import urllib.request

address = "http://127.0.0.1:18427"
for attempt in range(120):
    try:
        print("readyz", urllib.request.urlopen(f"{address}/readyz", timeout=2).status)
        break
    except OSError:
        time.sleep(1)
else:
    raise SystemExit("The service did not become ready within two minutes.")
print("page", len(urllib.request.urlopen(f"{address}/", timeout=2).read()), "bytes")
PY
python ready.py || { cat serve.log; kill $service; exit 1; }
kill $service
wait $service || true
echo "== $2: installed, segmented, served in $SECONDS s"
