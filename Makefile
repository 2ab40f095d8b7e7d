# make check is what runs before every push, and what CI runs.

GO    ?= go
SEEDS ?= 60
SOAK  ?= 30m

# Packages with goroutines are tested with the race detector; all others, the pure ones, have none to race. A new package is one
# of the others until it is named here.
RACE := ./node/... ./door/... ./store/... ./cmd/... ./kv/... ./lab/... ./client/... ./examples/... ./values/...
PURE := $(shell $(GO) list ./... | grep -vE '/(node|door|store|cmd|kv|lab|client|examples|values|sim|acceptance)(/|$$)')

.PHONY: check lint test race seeds acceptance cross soak soak-quorum bench fuzz build clean

check: lint test race seeds acceptance cross

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/gamut ./cmd/gamut

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

test:
	$(GO) test $(PURE)

race:
	$(GO) test -race -timeout 15m $(RACE)

# Simulated clusters under faults, one per seed, and the bugs that they must find.
seeds:
	$(GO) test -timeout 15m ./sim -seeds=$(SEEDS)

# Real processes, real clients, kill -9.
acceptance:
	$(GO) test -timeout 15m ./acceptance

# The platforms that a release is built for, without cgo.
cross:
	for os in linux darwin; do for arch in amd64 arm64; do \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -o /dev/null ./cmd/gamut || exit 1; done; done

# Real processes under kill -9 for this long each, members that come and go among them; then seeds without end, until one fails
# or you stop it.
SOAK = 10m
soak:
	GAMUT_SOAK=$(SOAK) $(GO) test ./acceptance -v -timeout 0 -run '^(TestMembersComeAndGoUnderLoad|TestKillLoop|TestBank)$$'
	$(GO) test ./sim -v -timeout 0 -run TestSoak -soak

# Three real nodes of a quorum keyspace, of which one after the other is killed with -9: nothing that a quorum acknowledged may be lost.
soak-quorum: build
	bin/gamut lab fuzz --live --consistency quorum --faults kill --workload register --for $(SOAK)

# Side by side with etcd, Redis and memcached on this machine; the table goes to bench/results.
bench: build
	cd bench && $(GO) run . -gamut ../bin/gamut

# Every parser and decoder for a minute each.
fuzz:
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep ^Fuzz); do \
		echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 60s $$p || exit 1; done; done

clean:
	rm -rf bin
