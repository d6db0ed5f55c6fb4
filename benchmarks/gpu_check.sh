#!/usr/bin/env bash
# Tests and times on a GPU in under eight minutes: bash benchmarks/gpu_check.sh [options of gpu.py]
# PYTHON is an interpreter with the extra of the GPU and pytest, OUT a folder for what is printed.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python} out=${OUT:-.} failed=0
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1

# step NAME SECONDS COMMAND...: run a command, but no longer than that, and go on if it fails
step() {
  local name=$1 limit=$2 start=$SECONDS status=0
  shift 2
  echo "== $name"
  timeout "$limit" "$@" 2>&1 | tee "$out/gpu_$name.txt" || status=$?
  ((status == 0)) || failed=1
  echo "== $name: status $status, $((SECONDS - start)) s"
}

gram='
import numpy as np
from sklearn_ntk import NTKKernel
from sklearn_ntk.architectures import cnn
X = np.random.default_rng(0).standard_normal((41, 5))
X[1], X[2] = X[0] + 1e-8 * X[30], -X[3]
def check(kernel, X):
    found, expected = (kernel.set_params(device=device)(X) for device in ("cuda", "cpu"))
    assert abs(found - expected).max() <= 1e-12 * expected.max(), abs(found - expected).max()
check(NTKKernel(3), X)
check(NTKKernel(architecture=cnn((6, 7, 1), 2)), np.random.default_rng(0).standard_normal((5, 42)))
'
pytest=("$python" -m pytest -q -p no:cacheprovider -m "not slow" --maxfail=5)

# those of all engines, kernels and estimators that have a case on a GPU, and those of the GPU alone
on_gpu=("${pytest[@]}" -k "cuda or gpu")

step environment 20 sh -c "nvidia-smi; $python -c 'import cupy; cupy.show_config()'"
step kernels 120 "${on_gpu[@]}" tests/{engines,gram,kernels}
step estimators 90 "${on_gpu[@]}" tests/{solvers,estimators}
if command -v compute-sanitizer > /dev/null; then
  for tool in racecheck memcheck; do
    step $tool 30 compute-sanitizer --tool $tool --error-exitcode 1 "$python" -c "$gram"
  done
fi
step times 180 "$python" benchmarks/gpu.py --cpu --json "$out/gpu_times.json" "$@"
exit $failed
