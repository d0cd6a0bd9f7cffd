# Every check of the project behind one name each; `.ci/run` runs the same ones.

.DEFAULT_GOAL := help
.PHONY: help demo run receivers test lint bench openapi fuzz crash

# The versions of the API, each a document in openapi/.
OPENAPI_DOCUMENTS := 2026-03-01 verbex-v1
# Where `make openapi` writes. The check that the documents are in step writes elsewhere and compares.
OPENAPI_DIR ?= openapi
# How long each fuzz target runs.
FUZZ_SECONDS ?= 60
# How often `make crash` kills the program, which `make test` does 200 times, and damages a file, which it does 60 times.
CRASH_ROUNDS ?= 1000

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Watch a whole rotation, in both APIs, with a receiver that verifies
	cargo run --release --locked -- demo

run: ## Start a server for development on 127.0.0.1:8080
	cargo run --release --locked -- serve --dev --api-key demo=demo-key

receivers: ## Install what the example receivers import (needs python3 and npm)
	examples/receivers/install.sh

# Many tests wait for a disk, a process or a deadline, so more of them run at once than there are cores.
# `--all-targets` leaves doc tests out, hence the second line.
test: receivers ## Run every test, including doc tests
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(($$(getconf _NPROCESSORS_ONLN) * 2))} \
		cargo test --all-targets --locked
	cargo test --doc --locked

lint: ## Check formatting, clippy, documentation, and what the dependencies are
	cargo fmt --all --check
	cargo clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked
	cargo deny --locked check bans licenses sources

crash: ## Kill a server under load CRASH_ROUNDS (1000) times, and serve as many damaged files
	HOOKTURN_CRASH_ROUNDS=$(CRASH_ROUNDS) HOOKTURN_DAMAGED_FILES=$(CRASH_ROUNDS) \
		cargo test --locked --test durable -- --nocapture crashes whatever_bits

bench: ## Run the benchmarks, including the HTTP load run (about four minutes for that one)
	cargo bench --locked

# Written to a temporary file first: a document that fails to render must not leave an empty one behind.
openapi: ## Regenerate the OpenAPI documents
	@mkdir -p $(OPENAPI_DIR)
	cargo build --locked
	@set -e; for name in $(OPENAPI_DOCUMENTS); do \
		cargo run --quiet --locked -- openapi "$$name" > "$(OPENAPI_DIR)/$$name.json.new"; \
		mv "$(OPENAPI_DIR)/$$name.json.new" "$(OPENAPI_DIR)/$$name.json"; \
		echo "wrote $(OPENAPI_DIR)/$$name.json"; \
	done

# The targets are the files, so that one that was added cannot be forgotten here. They run with the server's versions
# of what they share with it: what is fuzzed is what is shipped.
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
