#!/usr/bin/env bash
# Writes docker/requirements.lock: the packages of the image, each with its hashes. Needs uv and a network.
#
# PyTorch and what only its CUDA build needs are left out: the image takes them from PyTorch's own index, in the version of
# constraints.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
left_out=(torch triton cuda-bindings cuda-pathfinder cuda-toolkit)
for name in cublas cuda-cupti cuda-nvrtc cuda-runtime cudnn-cu13 cufft cufile curand cusolver cusparse cusparselt-cu13 \
    nccl-cu13 nvjitlink nvshmem-cu13 nvtx; do
    left_out+=("nvidia-$name")
done
UV_CUSTOM_COMPILE_COMMAND=docker/lock.sh uv pip compile pyproject.toml \
    --extra service --extra dicom --extra openvino --extra parquet \
    --constraints constraints.txt --python-version 3.12 --python-platform linux --generate-hashes --no-annotate \
    "${left_out[@]/#/--no-emit-package=}" --output-file docker/requirements.lock "$@"
