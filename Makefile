# `make demo` and `make test` need Python 3.11 or newer, and nothing else: they set up the rest.
PYTHON ?= python3
VENV ?= .venv
LOWEST ?= .venv-lowest
OUTPUT ?= demo_output
# accelerate gives a process one thread unless it is told otherwise
CORES ?= $(shell $(PYTHON) -c "import os; print(os.cpu_count())")
EXTRAS := demo report metrics imblearn usearch writers sentence-transformers setfit space trackio docs dev
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo generators test test-slow test-lowest check docs install wheel clean

# A second call is fast; a changed pyproject.toml installs again.
$(STAMP): pyproject.toml scripts/install.py
	$(PYTHON) scripts/install.py $(VENV) $(EXTRAS)
	@touch $@

install: $(STAMP)

demo: $(STAMP)
	$(BIN)/accelerate launch --num_processes 1 --num_machines 1 --mixed_precision no \
	  --dynamo_backend no --num_cpu_threads_per_process $(CORES) recipes/miso.py --demo sms --output_dir $(OUTPUT) \
	  --max_train_seconds 100 --batch_size 32 --decoder_rows 8 \
	  --evaluation_steps_of_classifiers 200 --overwrite
	@echo
	@echo "The balanced data set   $(OUTPUT)/balanced"
	@echo "The generator           $(OUTPUT)/generator"
	@echo "Texts and their anchors $(OUTPUT)/anchors.md"
	@echo "Before and after        $(OUTPUT)/report.png"
	@echo "Everything measured     $(OUTPUT)/run.json"

# Ready to push, each in one commit: hf-oversample push generators/sms/generator --repo USER/NAME, and
# generators/sms/balanced. Their cards are kept in hub_cards/. Steps are fixed, not time, so that a
# card tells the same on every machine but for timings and last digits; a good generator wants more.
STEPS ?= 20
GENERATORS = --pretrain_steps $(STEPS) --batch_size 16 --evaluation_steps_of_classifiers 60 --overwrite
generators: $(STAMP)
	$(BIN)/python recipes/miso.py --demo sms --output_dir generators/sms $(GENERATORS)
	$(BIN)/python recipes/miso.py --demo bbc --minority_class tech --imbalance_ratio 0.1 \
	  --output_dir generators/bbc-tech $(GENERATORS)
	mkdir -p hub_cards/miso-sms hub_cards/miso-bbc-tech hub_cards/sms-balanced hub_cards/bbc-tech-balanced
	cp generators/sms/generator/README.md hub_cards/miso-sms/
	cp generators/bbc-tech/generator/README.md hub_cards/miso-bbc-tech/
	cp generators/sms/balanced/README.md generators/sms/balanced/croissant.json hub_cards/sms-balanced/
	cp generators/bbc-tech/balanced/README.md generators/bbc-tech/balanced/croissant.json hub_cards/bbc-tech-balanced/
	@echo "Ready to push: generators/sms/generator, generators/sms/balanced, and the same of bbc-tech"

# Two processes of one thread each, a file's tests in one of them: what a file trains, it trains once.
# In the order of their names: by number of tests, a long training of a small file would come last,
# and one process would wait for it.
test test-slow: export OMP_NUM_THREADS = 1
WORKERS := -n 2 --dist loadfile --no-loadscope-reorder

# The last line is pytest's. With CI=true the slow tests run in the same call.
test: check
	$(BIN)/python -m pytest $(WORKERS) $(if $(filter true 1,$(CI)),-m "slow or not slow") $(PYTEST_ARGS)

test-slow: $(STAMP)
	$(BIN)/python -m pytest $(WORKERS) -m slow $(PYTEST_ARGS)

# The same tests with the lowest versions that pyproject.toml allows, in an environment of its own.
$(LOWEST)/.installed: pyproject.toml scripts/install.py
	$(PYTHON) scripts/install.py $(LOWEST) $(EXTRAS) --lowest
	@touch $@

test-lowest: export OMP_NUM_THREADS = 1
test-lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/python -m pytest $(WORKERS) $(PYTEST_ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A broken link or reference, and every other warning, is an error.
docs: $(STAMP)
	$(BIN)/sphinx-build -q -W --keep-going -E -c docs . site
	@echo "The documentation site/index.html"

wheel: $(STAMP)
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) $(LOWEST) $(OUTPUT) generators build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
