#!/bin/sh
# Prints the path of a Python that TensorFlow has wheels for and that can make virtual environments.
#
#   sh tools/find_python.sh                looks in the usual places, for the newest first
#   sh tools/find_python.sh PYTHON         takes this one or none
#   sh tools/find_python.sh "" addons      looks for one up to 3.11, which TensorFlow 2.15 with TensorFlow Addons needs
#   sh tools/find_python.sh "" current     looks for 3.13 or 3.12, which get TensorFlow 2.21

case $2 in
  "") oldest=9 newest=13 needs="Python from 3.9 to 3.13" ;;
  addons) oldest=9 newest=11 needs="Python from 3.9 to 3.11" ;;
  current) oldest=12 newest=13 needs="Python 3.12 or 3.13" ;;
  *) echo "LANE=$2: must be addons or current, or left out" >&2; exit 1 ;;
esac

check="
import sys
if sys.implementation.name != 'cpython' or not (3, $oldest) <= sys.version_info[:2] <= (3, $newest):
    sys.exit(1)
import ensurepip, venv  # Debian and Ubuntu keep ensurepip in a package of its own
print(sys.executable)
"

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
  echo "PYTHON=$1: not a $needs with its venv module, which TensorFlow needs; leave PYTHON out to let make look for one" >&2
  exit 1
fi

pyenv=${PYENV_ROOT:-$HOME/.pyenv}/versions
by_name="" minors="" minor=$newest
while [ "$minor" -ge "$oldest" ]; do
  by_name="$by_name python3.$minor"
  minors="$minors $minor"
  minor=$((minor - 1))
done
# shellcheck disable=SC2086  # one word for each name
first_usable $by_name python3 python && exit
for minor in $minors; do
  first_usable "$pyenv/3.$minor".*/bin/python && exit
done
first_usable "$(uv python find --system ">=3.$oldest,<3.$((newest + 1))" 2>/dev/null)" && exit
echo "No $needs with its venv module found, which TensorFlow needs: install one" \
  "('apt install python3.$newest-venv', 'brew install python@3.$newest' or 'uv python install 3.$newest')" \
  "or name one with PYTHON=/path/to/python" >&2
exit 1
