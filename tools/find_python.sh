#!/bin/sh
# Prints the path of a Python that TensorFlow 2.15 has wheels for and that can make virtual environments.
#
#   sh tools/find_python.sh            looks in the usual places
#   sh tools/find_python.sh PYTHON     takes this one or none

check='
import sys
if sys.implementation.name != "cpython" or not (3, 9) <= sys.version_info[:2] <= (3, 11):
    sys.exit(1)
import ensurepip, venv  # Debian and Ubuntu keep ensurepip in a package of its own
print(sys.executable)
'

# Prints the first of the given commands that passes. Each is run, since pyenv has a python3.11 on the PATH that fails
# where that version is not the chosen one.
first_usable() {
  for candidate; do
    "$candidate" -c "$check" 2>/dev/null && return
  done
  return 1
}

if [ -n "$1" ]; then
  first_usable "$1" && exit
  echo "PYTHON=$1: not a Python 3.9, 3.10 or 3.11 with its venv module, which TensorFlow 2.15 needs;" \
    "leave PYTHON out to let make look for one" >&2
  exit 1
fi

pyenv=${PYENV_ROOT:-$HOME/.pyenv}/versions
first_usable python3.11 python3.10 python3.9 python3 python && exit
first_usable "$pyenv"/3.11*/bin/python "$pyenv"/3.10*/bin/python "$pyenv"/3.9*/bin/python && exit
first_usable "$(uv python find --system '>=3.9,<3.12' 2>/dev/null)" && exit
echo "No Python 3.9, 3.10 or 3.11 with its venv module found, which TensorFlow 2.15 needs: install one" \
  "('apt install python3.11-venv', 'brew install python@3.11' or 'uv python install 3.11')" \
  "or name one with PYTHON=/path/to/python" >&2
exit 1
