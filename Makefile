# Two commands: `make demo` fills a photo with the light package, `make test` checks everything.
# Each makes its own virtual environment once; PYTHON chooses the interpreter (3.11 or newer).

PYTHON ?= python3

ifeq ($(OS),Windows_NT)
BIN := Scripts
else
BIN := bin
endif
DEMO := .venv-demo
TEST := .venv-test

# What the wheel is made of: the demo's environment is renewed when one of these changes.
SOURCES := pyproject.toml .ci/make_environment.py $(filter-out %.pyc,$(foreach depth,* */* */*/* */*/*/*,$(wildcard src/inpaintkit/$(depth).*)))

.PHONY: demo test lint types tests report example-report wheel clean

demo: $(DEMO)/installed
	$(DEMO)/$(BIN)/inpaintkit demo

test: lint types tests

lint: $(TEST)/installed
	$(TEST)/$(BIN)/python -m ruff check .
	$(TEST)/$(BIN)/python -m ruff format --check .

types: $(TEST)/installed
	$(TEST)/$(BIN)/python -m mypy

tests: $(TEST)/installed
	$(TEST)/$(BIN)/python -m pytest

# The tables of docs/results.md and of README.md from photos and masks of your own: make report IMAGES=photos MASKS=masks. Killed, it goes on.
REPORT ?= report
METHODS ?= default,default+detail,glcic,gmcnn,patch,telea,ns,biharmonic

report: $(TEST)/installed
	$(TEST)/$(BIN)/inpaintkit compare --images "$(IMAGES)" --masks "$(MASKS)" --methods "$(METHODS)" --features own \
	    --out "$(REPORT)" --resume
	$(TEST)/$(BIN)/python benchmarks/results_page.py "$(REPORT)/report.json" docs/results.md
	$(TEST)/$(BIN)/python benchmarks/results_page.py "$(REPORT)/report.json" README.md

# docs/images/report.html, a report of photos that may be shown.
example-report: $(TEST)/installed
	$(TEST)/$(BIN)/python benchmarks/example_report.py docs/images/report.html

# The wheel, and a look at what is in it.
wheel: $(TEST)/installed
	$(TEST)/$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	$(TEST)/$(BIN)/python .ci/check_wheel.py dist

$(DEMO)/installed: $(SOURCES)
	$(PYTHON) .ci/make_environment.py demo $(DEMO)
	@echo done > $@

$(TEST)/installed: pyproject.toml constraints-test.txt .ci/make_environment.py
	$(PYTHON) .ci/make_environment.py test $(TEST)
	@echo done > $@

clean:
	$(PYTHON) -c "import shutil; [shutil.rmtree(name, ignore_errors=True) for name in ('$(DEMO)', '$(TEST)', 'dist')]"
