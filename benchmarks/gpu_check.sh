#!/usr/bin/env bash
# Everything that is to be measured on a GPU, in one call of under nine minutes; one Markdown table comes out.
#
#   bash benchmarks/gpu_check.sh                       # on a machine that has the packages of requirements.txt
#   WHEELS=folder bash benchmarks/gpu_check.sh         # that has torch only, and no network: installs the folder's wheels
#   bash benchmarks/gpu_check.sh --rehearse            # small sizes, also on a CPU: shows that every section runs
#
# OUT: the folder of the table; default: benchmarks/results, of a rehearsal a new one in /tmp.
# VAE_DATA_DIR: the folder with MNIST. PYTHON: default python3.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
if [ -n "${WHEELS:-}" ]; then
  site=$(mktemp -d)
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "$WHEELS"/*.whl
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
case " $* " in *" --rehearse "*) : "${OUT:=$(mktemp -d)}" ;; esac
mkdir -p "${OUT:=benchmarks/results}"
exec "$python" -m benchmarks.gpu_check --output "$OUT/gpu.md" "$@"
