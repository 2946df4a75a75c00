#!/bin/sh
# What the Dockerfile does to make the service: install.sh SOURCE TARGET [TORCH_INDEX]
#
# A virtual environment at TARGET with the package, its weights and nothing that is only for building. Without
# TORCH_INDEX torch comes from wherever pip is set up to look. Tests run it without Docker.
set -eu
source=$1 target=$2 index=${3:-}

python3 -m venv ${VENV_ARGS:-} "$target"
pip="$target/bin/python -m pip --disable-pip-version-check --no-cache-dir"
if [ -n "$index" ]; then
  $pip install --quiet --index-url "$index" 'torch>=2.6,<3' 'torchvision>=0.21,<1'
fi
# built aside, so that the source stays as it is
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
(cd "$source" && tar -cf - pyproject.toml README.md LICENSE setup.cfg translatotron_v data_synth configs examples weights) \
  | tar -xf - -C "$copy"
$pip install --quiet ${PIP_ARGS:-} "$copy[serve,files]"
"$target/bin/translatotron-v" serve --help >/dev/null
