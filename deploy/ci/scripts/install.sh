#!/usr/bin/env bash
# Installs the program beside this script into a virtual environment: install.sh FOLDER
# Every package is one of the locked, hashed versions that the tests ran with; nothing is looked up by a bare name.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
folder=$1
python3 -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
python3 -m venv "$folder"
pip=("$folder/bin/python" -m pip --disable-pip-version-check --quiet install)
"${pip[@]}" --require-hashes --only-binary :all: -r "$root/requirements/runtime.txt" -r "$root/requirements/build.txt"
"${pip[@]}" --no-deps --no-build-isolation "$root"
"$folder/bin/pcc-reconciler" --version
