# Targets with a "##" show up in the help.
.DEFAULT_GOAL := help

GO        ?= go
BIN       := bin/kubectl-talosdisk
# Without a tag the version is left to the Go toolchain.
VERSION   := $(shell git describe --tags --dirty --match 'v*' 2>/dev/null)
COMMIT    := $(shell git rev-parse HEAD 2>/dev/null)
DATE      := $(shell git log -1 --format=%cI 2>/dev/null)
PACKAGE   := github.com/talosdisk/kubectl-talosdisk/internal/version
LDFLAGS   := -s -w -X $(PACKAGE).version=$(VERSION) -X $(PACKAGE).commit=$(COMMIT) -X $(PACKAGE).date=$(DATE)
PREFIX    ?= /usr/local
export FUZZTIME ?= 60s
VULNDB    ?= https://vuln.go.dev
# (The lint stage has vetted it all; go test would vet Kubernetes once more.)
# How Kubernetes itself is built for the test cluster. Whatever else is built there shares its build cache that way.
IN_TEST   := cd test && CGO_ENABLED=0 GOFLAGS="$(shell $(GO) env GOFLAGS) -trimpath"

.PHONY: help
help: ## Show this
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Show the whole story on a real Kubernetes on this machine (Linux, root)
	$(IN_TEST) $(GO) run ./cmd/demo

.PHONY: test
test: ## Check everything: lint, unit tests, a release, end to end on a real Kubernetes
	@.ci/stage lint .ci/lint
	@.ci/stage unit $(MAKE) --no-print-directory unit
	@.ci/stage release $(MAKE) --no-print-directory release-test
	@.ci/stage e2e $(MAKE) --no-print-directory e2e

.PHONY: lint
lint: ## Look at the sources: gofmt, golangci-lint, shellcheck
	@.ci/lint

.PHONY: unit
unit: ## Run the unit tests with the race detector, and the seeds of the fuzz tests
	@.ci/need busybox busybox-static
	$(GO) test -race -timeout 30m ./...

.PHONY: e2e
e2e: ## Run the tests that need a real Kubernetes (Linux, root; skipped elsewhere)
ifeq ($(shell uname),Linux)
	$(IN_TEST) $(GO) test -vet=off -p 1 -count=1 -timeout 45m ./...
else
	@echo "skipped: the test cluster needs Linux"; [ "$$CI" != true ]
endif

.PHONY: bench
bench: ## Compare with what people do today, on a real Kubernetes (Linux, root); BENCH="startup link doctor"
	$(IN_TEST) $(GO) run ./cmd/bench $(BENCH)

.PHONY: fuzz
fuzz: ## Run every fuzz test for FUZZTIME (60s)
	@.ci/fuzz

.PHONY: docs
docs: ## Write docs/commands from the help, a layout's schema, and the pictures: what doctor prints, and which packages there are
	$(GO) run ./hack/reference docs/commands
	$(GO) run ./hack/schema docs/layout.schema.json
	$(GO) run ./hack/picture docs/testdata/unseen.json docs/doctor.svg
	$(GO) run ./hack/rooms docs/rooms.svg

.PHONY: vuln
vuln: ## Look for known vulnerabilities in what is linked (asks VULNDB, https://vuln.go.dev)
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 -db '$(VULNDB)' ./...

.PHONY: release-test
release-test: ## Build a release elsewhere, and install it with krew and run it
	@.ci/release test

.PHONY: snapshot
snapshot: ## Build the archives of a release into dist, and publish nothing
	@.ci/release snapshot

.PHONY: release
release: ## Publish the release of the tag that is checked out (for the workflow)
	@.ci/release publish

.PHONY: build
build: ## Build bin/kubectl-talosdisk
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/kubectl-talosdisk

.PHONY: install
install: ## Install what "make build" has built, and its completion, into PREFIX/bin (/usr/local/bin)
	@[ -x $(BIN) ] || { echo "$(BIN) is not there: make build first"; exit 1; }
	install -d '$(DESTDIR)$(PREFIX)/bin'
	install -m 755 $(BIN) '$(DESTDIR)$(PREFIX)/bin/kubectl-talosdisk'
	ln -sf kubectl-talosdisk '$(DESTDIR)$(PREFIX)/bin/kubectl_complete-talosdisk'

.PHONY: clean
clean: ## Remove what build made
	rm -rf bin dist
