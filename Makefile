# What a newcomer needs: `make demo` and `make test` set up all they use, and say what they install.
.PHONY: setup demo test bench overload
# Debian keeps servers where only root looks.
export PATH := $(PATH):/usr/sbin:/sbin

# Everything that building, testing and measuring needs.
setup:
	@scripts/setup build test bench

# A sidecar between a service and the world, with a little traffic; Ctrl-C ends it. Cargo is not told to
# be quiet: the first build takes minutes.
demo:
	@scripts/setup build
	cargo run --release --package weir -- demo

# Formatting, lints, and every test; bench and overload runs are not part of it.
test:
	@scripts/setup build test
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	WEIR_PYTHON=$(CURDIR)/target/python/bin/python cargo test --workspace --no-fail-fast

# CPU and memory against a bare Pingora, nginx and HAProxy, and the cost of each policy's decision.
bench:
	@scripts/setup build test bench
	cargo bench --package weir-policy
	cargo build --release --package weir --bin weir --example bare
	python3 bench/run.py

# Goodput under overload, in front of a service of known capacity: Weir, Envoy, HAProxy and nothing. Says
# first how long it takes (about an hour); `make overload ARGS=--quick` takes some minutes.
overload:
	@scripts/setup build test bench
	cargo build --release --package weir --bin weir --package weir-load
	python3 bench/overload.py $(ARGS)
