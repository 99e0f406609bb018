# Everything that is done to this repository, by name. `make` alone lists the targets.

SWIFT ?= swift
PYTHON ?= python3
PREFIX ?= /usr/local
DESTDIR ?=
RELEASE := .build/release/embedfuse

.DEFAULT_GOAL := help
.PHONY: help setup build demo test campaigns lint sanitize coverage bench bench-methods bench-memory bench-large install interop interop-st check-html fuzz fuse clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install the C libraries that are missing (Debian, Ubuntu)
	@Scripts/setup

build: setup ## Build the command for release: .build/release/embedfuse
	$(SWIFT) build -c release --static-swift-stdlib --product embedfuse

demo: build ## Fuse the committed family to a directory and an .h5, verify and show both
	@Scripts/demo $(RELEASE)

test: setup ## Run the tests, and the test of the rule for other people's Makefiles
	$(SWIFT) test
	Scripts/test-make-rule .build/debug/embedfuse

campaigns: build ## Kill runs, let some 70 kinds of calls fail, cut the power on paper, flip bits (a few minutes)
	Scripts/campaigns/kill $(RELEASE)
	Scripts/campaigns/resume $(RELEASE)
	Scripts/campaigns/faults $(RELEASE)
	Scripts/campaigns/powercut $(RELEASE)
	Scripts/campaigns/damage $(RELEASE)

sanitize: setup ## Run the tests under AddressSanitizer and ThreadSanitizer, undefined behaviour trapped (half an hour)
	@outcome=0; for sanitizer in address thread; do Scripts/sanitize $$sanitizer || outcome=$$?; done; exit $$outcome

coverage: setup ## Tell which lines the tests run; fails below the floors [FLAGS=--missed]
	Scripts/coverage $(FLAGS)

lint: ## Check format, imports and house rules
	$(SWIFT) format lint --strict --recursive Sources Tests Package.swift Benchmarks/Sources Benchmarks/Package.swift
	clang -fsyntax-only -Wall -Wextra -Werror -I Sources/CKernels/include Tests/CKernelsDigests/digests.c
	Scripts/check-sources --self-test
	Scripts/check-sources

# DATA is where the checkpoints are or will be generated (16 GB), PEERS a Python that has the packages of
# Benchmarks/requirements.txt, or some of them: what is lacking is left out. `make bench-peers` makes one that has all.
DATA ?= .build-bench
PEERS ?= $(firstword $(wildcard .build-venv-peers/bin/python) .build-venv/bin/python)
BENCH_READY := build $(if $(filter .build-venv/%,$(PEERS)),.build-venv/ready)
# A section of docs/benchmarks.md, and the command that prints it.
SECTION = $(PYTHON) Benchmarks/insert.py $(1)
RACE = $(PEERS) -B Benchmarks/$(1).py --embedfuse $(RELEASE)
MERGEKIT_METHODS := linear,task_arithmetic,ties,sce
.PHONY: bench-families bench-growth bench-startup bench-peers

bench: bench-families bench-growth bench-startup bench-kernels ## Race the command against its peers; writes docs/benchmarks.md [FLAGS=--quick]
	$(call SECTION,mergekit) $(call RACE,methods) --data $(DATA) --only $(MERGEKIT_METHODS) --rounds 2 $(FLAGS)

bench-families: $(BENCH_READY)
	$(call SECTION,families) $(call RACE,families) --data $(DATA) $(FLAGS)

bench-growth: $(BENCH_READY)
	$(call SECTION,growth) $(call RACE,growth) --data $(DATA) $(FLAGS)

bench-startup: build
	$(call SECTION,startup) $(PYTHON) -B Benchmarks/startup.py --embedfuse $(RELEASE)

bench-methods: $(BENCH_READY) ## Race every method against mergekit, if the peers' Python has it
	$(call SECTION,methods) $(call RACE,methods) --data $(DATA) $(FLAGS)

bench-peers: .build-venv-peers/ready ## Install the benchmarks' peers (downloads torch)

bench-memory: $(BENCH_READY) ## Peak memory of merging and converting every format (those of torch need torch)
	$(PEERS) -B Benchmarks/checkpoints.py $(DATA) bert-f32
	$(PEERS) -B Benchmarks/memory.py --embedfuse $(RELEASE) --data $(DATA)/bert-f32 $(FLAGS)

bench-large: $(BENCH_READY) ## Every method on one tensor of 1.5 GB within 256 MiB
	$(call SECTION,large) $(call RACE,large_tensor) --data $(DATA) $(FLAGS)

KERNELS := Benchmarks/.build/release/kernels
.PHONY: kernels bench-kernels bench-instructions
kernels: setup
	$(SWIFT) build -c release --static-swift-stdlib --package-path Benchmarks -Xswiftc -enable-testing \
	  -Xlinker --strip-debug --product kernels

bench-kernels: kernels ## Rates of the inner loops beside memcpy, in every instruction set
	$(call SECTION,kernels) $(KERNELS)
	$(call SECTION,accumulators) $(KERNELS) --accumulators

bench-instructions: kernels ## Count the inner loops' instructions (needs valgrind); fails above the thresholds
	$(PYTHON) Benchmarks/instructions.py $(KERNELS) $(FLAGS)

# ST_PYTHON names a Python that has sentence-transformers and torch already.
.PHONY: arm64-kernels
arm64-kernels: ## Show that the kernels compute the same bits on arm64 (needs a cross compiler and qemu-user)
	Scripts/arm64-kernels

check-html: build ## Render the page of diff in headless Chromium and check what a reader gets
	Scripts/check-html $(RELEASE) $(MODELS)

interop: build .build-venv/ready $(if $(ST_PYTHON),,.build-venv-st/ready) ## Read and write every format with its own library (downloads torch)
	.build-venv/bin/python Scripts/interop/outputs.py $(RELEASE)
	.build-venv/bin/python Scripts/interop/formats.py $(RELEASE)
	$(or $(ST_PYTHON),.build-venv-st/bin/python) Scripts/interop/torch_files.py $(RELEASE)

DENSE := fixtures/samples/st/with_dense
interop-st: build $(if $(ST_PYTHON),,.build-venv-st/ready) ## Load fused models with sentence-transformers (downloads torch)
	@Scripts/demo $(RELEASE) >/dev/null
	$(RELEASE) merge --method soup $(DENSE) $(DENSE) -o .build-demo/dense --force --quiet
	$(or $(ST_PYTHON),.build-venv-st/bin/python) Scripts/interop/sentence_transformer.py .build-demo/fused .build-demo/dense

SECONDS := 60
fuzz: setup ## Fuzz every parser for SECONDS=60 each; docs/fuzzing.md
	@for target in Safetensors PyTorch HDF5 NumPy GGUF Model Recipe Manifest; do \
	  Fuzz/run $$target $(SECONDS) || exit; done

fuse: build ## Fuse your own: BASE=DIR MODELS="A B" OUT=PATH [METHOD=NAME] [FLAGS="..."]
	@test -n '$(BASE)' && test -n '$(MODELS)' && test -n '$(OUT)' \
	  || { echo 'make fuse needs BASE=DIR MODELS="A B" OUT=PATH, and takes METHOD=NAME FLAGS="..."' >&2; exit 64; }
	$(RELEASE) merge --base $(BASE) $(MODELS) -o $(OUT) $(if $(METHOD),--method $(METHOD)) $(FLAGS)

# The environments of the checks that need Python, remade when their pinned packages change.
.build-venv/ready: Scripts/interop/requirements.txt
.build-venv-st/ready: Scripts/interop/requirements-st.txt
.build-venv-peers/ready: Benchmarks/requirements.txt
.build-venv/ready .build-venv-st/ready .build-venv-peers/ready:
	@Scripts/setup $(PYTHON)
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

install: build ## Install command, completions and Makefile rule under PREFIX (DESTDIR is honoured)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/embedfuse
	install -m 755 $(RELEASE) $(DESTDIR)$(PREFIX)/bin/embedfuse
	install -m 644 share/embedfuse.mk $(DESTDIR)$(PREFIX)/share/embedfuse/embedfuse.mk
	@Scripts/install-documentation $(RELEASE) $(DESTDIR)$(PREFIX)/share

clean: ## Remove what was built (the benchmark's checkpoints too)
	rm -rf .build Fuzz/.build Fuzz/.corpus .build-asan .build-tsan .build-coverage .build-manual .build-demo .build-html .build-interop .build-bench .build-venv .build-venv-st .build-venv-peers Benchmarks/.build
