# Needs only make and a Python from 3.9 to 3.13; PYTHON=/path/to/python says which one the environment is made with.
# LANE=addons takes a Python up to 3.11, TensorFlow 2.15 and TensorFlow Addons; LANE=current takes Python 3.12 or 3.13 and
# TensorFlow 2.21. Each has an environment of its own, .venv-addons or .venv-current. Without LANE it is .venv.

venv := .venv$(if $(LANE),-$(LANE))
python := $(venv)/bin/python
quiet := TF_CPP_MIN_LOG_LEVEL=3
tests := $(quiet) $(python) -m pytest -n logical --maxprocesses=4 --dist=loadscope --no-loadscope-reorder

.PHONY: help demo test test-all test-slow test-core lint bench tpu lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

demo: $(venv)/runtime  ## train on small images of digits that come with the environment
	$(python) app.py --mode=supcon --dataset=digits

test: $(venv)/dev  ## run the tests that take ten minutes; PYTEST_ARGS are further arguments of pytest
	$(tests) $(PYTEST_ARGS)

test-all: $(venv)/dev  ## run the slow tests too
	$(tests) -m "not recipes and not campaign" $(PYTEST_ARGS)

test-slow: $(venv)/dev  ## run the slow tests only
	$(tests) -m "slow and not recipes and not campaign" -rs $(PYTEST_ARGS)

test-core: $(venv)/dev  ## run the tests of losses, models, optimizers and training, and a few whole runs
	$(tests) --ignore=tests/losses/test_memory.py --ignore=tests/losses/test_numerics.py \
	  tests/losses tests/models tests/optimizers tests/training \
	  tests/end_to_end/test_app.py tests/end_to_end/test_lanes.py $(PYTEST_ARGS)

lint: $(venv)/dev  ## check style, types, lengths and the order of imports
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy
	$(python) tools/check_lengths.py
	$(python) tools/check_circles.py
	PYTHONPATH=. $(venv)/bin/lint-imports --no-cache

bench: $(venv)/runtime  ## run every script in benchmarks/
	@for script in benchmarks/*.py; do \
	  test -e "$$script" || { echo "benchmarks/ holds no script"; exit; }; \
	  echo "$$script"; \
	  $(quiet) PYTHONPATH=. $(python) "$$script" || exit; \
	done

tpu: $(venv)/runtime .venv-tpu/done  ## compile the paper's training steps for TPUs, without one (hours)
	@$(quiet) PYTHONPATH=. $(python) benchmarks/tpu/table.py $(TPU_ARGS)

lock:  ## write locks/ again, the versions and hashes of all packages; needs uv
	@for python in 3.11 3.13; do for kind in cpu gpu; do \
	  case $$kind in cpu) from=requirements-cpu.txt ;; gpu) from=requirements.txt ;; esac; \
	  uv pip compile --quiet --no-config --default-index https://pypi.org/simple --python-platform linux \
	    --python-version $$python --generate-hashes --no-strip-extras --no-header --no-annotate --upgrade $$from \
	    -o locks/$$kind-python$$python.txt || exit; \
	done; done

clean:  ## delete environments and caches, but no runs
	rm -rf .venv .venv-addons .venv-current .venv-tpu .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# tools/setup.py does the same without make. The file that an installation makes last says that it is done.
$(venv)/runtime: requirements-base.txt requirements.txt requirements-cpu.txt
	@python=$$(sh tools/find_python.sh "$(PYTHON)" "$(LANE)") || exit; \
	"$$python" tools/setup.py runtime --venv=$(venv) --python="$$python"

$(venv)/dev: $(venv)/runtime requirements-dev.txt
	@$(python) tools/setup.py dev --venv=$(venv)

.venv-tpu/done: benchmarks/tpu/requirements.txt
	@python=$$(sh tools/find_python.sh "$(PYTHON)" addons) || exit; \
	"$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "$$python: make tpu needs Python 3.11; name it with PYTHON=/path/to/python3.11" >&2; exit 1; }; \
	echo "Installing TPU's compiler into .venv-tpu ..."; \
	"$$python" -m venv --clear .venv-tpu && \
	.venv-tpu/bin/python -m pip install -qq --disable-pip-version-check --no-input -r $< && touch $@
