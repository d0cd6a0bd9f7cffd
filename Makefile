# The project's commands. `.ci/run` runs the checks among them.

.DEFAULT_GOAL := help
.PHONY: help demo run receivers test lint bench wrk openapi fuzz crash

# The two APIs, each of which has a document in openapi/.
OPENAPI_DOCUMENTS := 2026-03-01 verbex-v1
# Where `make openapi` writes. `.ci/run` writes elsewhere and compares.
OPENAPI_DIR ?= openapi
# How many seconds each fuzz target runs.
FUZZ_SECONDS ?= 60
# How often `make crash` kills the program and damages a file. `make test` does so 200 and 60 times.
CRASH_ROUNDS ?= 1000

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Show a whole rotation in both APIs, with a receiver that verifies
	cargo run --release --locked -- demo

run: ## Start a development server on 127.0.0.1:8080
	cargo run --release --locked -- serve --dev --api-key demo=demo-key

receivers: ## Install the packages of the example receivers (needs python3 and npm)
	examples/receivers/install.sh

# Many tests wait for a disk, a process or a deadline, so more of them run at once than there are cores.
# `--all-targets` leaves doc tests out, hence the second line.
test: receivers ## Run every test, including doc tests
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(($$(getconf _NPROCESSORS_ONLN) * 2))} \
		cargo test --all-targets --locked
	cargo test --doc --locked

lint: ## Check formatting, clippy, documentation and dependencies
	cargo fmt --all --check
	cargo clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked
	cargo deny --locked check bans licenses sources

crash: ## Kill a server under load CRASH_ROUNDS (1000) times, and open as many damaged files
	HOOKTURN_CRASH_ROUNDS=$(CRASH_ROUNDS) HOOKTURN_DAMAGED_FILES=$(CRASH_ROUNDS) \
		cargo test --locked --test durable -- --nocapture crashes whatever_bits

# `make bench -- neighbours` does one run: make takes words after `--` as targets, too.
HTTP_RUNS := rotation population deliveries neighbours calibrate
RUNS := $(filter $(HTTP_RUNS),$(MAKECMDGOALS))
.PHONY: $(HTTP_RUNS)
$(HTTP_RUNS):
	@:

bench: ## Run the benchmarks (half an hour), or after `bench --` some runs of benches/http, as in `-- rotation`
	cargo bench --locked $(if $(RUNS),--bench http -- $(RUNS))

wrk: ## Load the server and the bare axum server with wrk, which must be installed
	benches/wrk/run.sh memory
	benches/wrk/run.sh sqlite

# Writes to a temporary file first, so that a failure does not leave an empty document behind.
openapi: ## Regenerate the OpenAPI documents
	@mkdir -p $(OPENAPI_DIR)
	cargo build --locked
	@set -e; for name in $(OPENAPI_DOCUMENTS); do \
		cargo run --quiet --locked -- openapi "$$name" > "$(OPENAPI_DIR)/$$name.json.new"; \
		mv "$(OPENAPI_DIR)/$$name.json.new" "$(OPENAPI_DIR)/$$name.json"; \
		echo "wrote $(OPENAPI_DIR)/$$name.json"; \
	done

# Runs a target for each file, so that none can be forgotten here. The targets use the server's versions of shared
# dependencies, so that they fuzz what is shipped.
fuzz: ## Run each fuzz target for FUZZ_SECONDS (60); needs nightly and cargo-fuzz
	@cp Cargo.lock fuzz/Cargo.lock
	@set -e; for file in fuzz/fuzz_targets/*.rs; do \
		test -e "$$file" || { echo "there are no fuzz targets yet"; break; }; \
		target=$$(basename "$$file" .rs); \
		echo "fuzzing $$target for $(FUZZ_SECONDS) s"; \
		mkdir -p "fuzz/corpus/$$target"; \
		cargo +nightly fuzz run "$$target" "fuzz/corpus/$$target" "fuzz/seeds/$$target" \
			-- -max_total_time=$(FUZZ_SECONDS); \
	done
