# Everything from a fresh clone on Debian with Swift, a C compiler and apt:
# `make demo` and `make test` install what is missing, build, and run.

SWIFT ?= swift
RELEASE_FLAGS := -c release --static-swift-stdlib
SWIFT_SOURCES := Package.swift Sources Tests Benchmarks packaging
PACKAGES := binutils g++ gcc libc6-dev libcapstone-dev libdw-dev libelf-dev \
            libjansson-dev libsodium-dev mandoc patch pkg-config

# Where `make install` puts things; DESTDIR comes before all of it.
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
UNITDIR ?= $(PREFIX)/lib/systemd/system
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d

.NOTPARALLEL:
.PHONY: help deps samples build dist install uninstall deb test test-real test-deb torture \
        test-systemd torture-starts corpus lint format demo bench fuzz clean

help:
	@echo 'make demo     patch a running daemon under load and back, on the screen'
	@echo 'make test     all tests (at most 10 minutes on two cores)'
	@echo 'make test-real  a jump under every function of redis, nginx and sqlite3, under load'
	@echo 'make torture  kill the tool COUNT=10000 times at its work, with SEED, and sum up'
	@echo 'make torture-starts  start programs under the service, STARTS=1000 in each way'
	@echo 'make corpus   fixes of Debian packages, live in their daemons (CASES="NAME ..." for some)'
	@echo 'make build    the tool: .build/release/hotpatch'
	@echo 'make dist     the tool with its manual and completions; make install puts them under PREFIX'
	@echo 'make deb      a Debian package; make test-deb installs and removes it, in a copy of /,'
	@echo '              and make test-systemd has a systemd of its own run the service there'
	@echo 'make bench    the figures, as a table (QUICK=1: a short run)'
	@echo 'make fuzz     fuzz the readers of ELF and patch files (SECONDS=60 each)'
	@echo 'make lint     what .ci/run checks before the tests'
	@echo 'make format   put the Swift sources in the form that lint wants'
	@echo 'make samples  the sample daemon and its load generator'
	@echo 'make deps     the Debian packages that the build needs'
	@echo 'make clean    remove everything that was built'

# Silent where nothing is missing, which dpkg-query tells without root.
deps:
	@missing=; for package in $(PACKAGES); do \
	    dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' \
	        || missing="$$missing $$package"; \
	done; \
	[ -z "$$missing" ] && exit 0; \
	root=; [ "$$(id -u)" = 0 ] || root=sudo; \
	echo "installing:$$missing"; \
	install="$$root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends"; \
	$$install $$missing >/dev/null 2>&1 \
	    || { $$root apt-get update -qq && $$install $$missing >/dev/null; }

samples:
	@$(MAKE) --no-print-directory -s -C samples/stationd

build: deps
	$(SWIFT) build $(RELEASE_FLAGS) --product hotpatch

# What is installed: a root of its own for everything but where it goes.
DIST := .build/dist
dist: build
	$(SWIFT) build $(RELEASE_FLAGS) --product manual
	@packaging/dist.sh .build/release $(DIST)

# Builds nothing, since it may be run as root.
install:
	@test -x $(DIST)/hotpatch || { echo "run 'make dist' first" >&2; exit 1; }
	install -D -m 755 $(DIST)/hotpatch '$(DESTDIR)$(BINDIR)/hotpatch'
	install -D -m 644 -t '$(DESTDIR)$(INCLUDEDIR)' include/hotpatch.h
	install -D -m 644 -t '$(DESTDIR)$(MANDIR)/man1' $(DIST)/man/*.1
	install -D -m 644 -t '$(DESTDIR)$(MANDIR)/man5' $(DIST)/man/*.5
	install -D -m 644 -t '$(DESTDIR)$(MANDIR)/man8' $(DIST)/man/*.8
	install -D -m 644 $(DIST)/completions/bash '$(DESTDIR)$(BASHDIR)/hotpatch'
	install -D -m 644 $(DIST)/completions/zsh '$(DESTDIR)$(ZSHDIR)/_hotpatch'
	install -D -m 644 $(DIST)/completions/fish '$(DESTDIR)$(FISHDIR)/hotpatch.fish'
	install -d -m 755 '$(DESTDIR)$(UNITDIR)'
	sed 's,@BINDIR@,$(BINDIR),g' packaging/hotpatch.service.in \
	    > '$(DESTDIR)$(UNITDIR)/hotpatch.service'
	chmod 644 '$(DESTDIR)$(UNITDIR)/hotpatch.service'

# Patches and their log stay: they are the administrator's.
uninstall:
	rm -f '$(DESTDIR)$(BINDIR)/hotpatch' '$(DESTDIR)$(INCLUDEDIR)/hotpatch.h' \
	    '$(DESTDIR)$(MANDIR)'/man1/hotpatch.1 '$(DESTDIR)$(MANDIR)'/man1/hotpatch-*.1 \
	    '$(DESTDIR)$(MANDIR)/man5/hpatch.5' '$(DESTDIR)$(MANDIR)/man8/hotpatch.service.8' \
	    '$(DESTDIR)$(BASHDIR)/hotpatch' '$(DESTDIR)$(ZSHDIR)/_hotpatch' \
	    '$(DESTDIR)$(FISHDIR)/hotpatch.fish' '$(DESTDIR)$(UNITDIR)/hotpatch.service'

deb: dist
	@packaging/debian/build.sh .build/deb

test-deb: deb
	@packaging/debian/test.sh .build/deb

test-systemd: deb
	@packaging/debian/test-systemd.sh .build/deb

test: deps samples
	$(SWIFT) test --disable-xctest

test-real: deps
	@Tests/RealProgramsTests/build.sh .build/real-programs
	HOTPATCH_REAL_PROGRAMS='$(CURDIR)/.build/real-programs' \
	    $(SWIFT) test --disable-xctest --filter RealProgramsTests

COUNT ?= 10000
SEED ?= $(shell date +%s)
torture: deps
	$(SWIFT) build -c release --product hotpatch
	$(SWIFT) build -c release --product torture-worker
	$(SWIFT) build -c release --product torture
	.build/release/torture $(COUNT) $(SEED)

# Starts under the service, so many for each way in which programs start.
torture-starts: deps
	HOTPATCH_STARTS=$(or $(STARTS),1000) \
	    $(SWIFT) test --disable-xctest --filter WatchingTests.StartTests

# Fixes that Debian's packages carry, made into patches and applied to the daemons under
# load. The Debian packages are what those are built with, and clients of the daemons.
CORPUS := .build/corpus
CORPUS_PACKAGES := apache2-utils bind9-dnsutils bison busybox curl dnsmasq-base dnsperf \
                   dpkg-dev flex iproute2 libevent-dev libexpat1-dev libpcre2-dev libssl-dev \
                   make mosquitto-clients netcat-openbsd nettle-dev patch pkg-config \
                   socat wrk zlib1g-dev
corpus: deps
	@$(MAKE) --no-print-directory deps PACKAGES='$(CORPUS_PACKAGES)'
	$(SWIFT) build -c release --product hotpatch
	$(SWIFT) build -c release --product corpus
	.build/release/corpus '$(CURDIR)/Tests/Corpus' '$(CURDIR)/$(CORPUS)' \
	    '$(CURDIR)/docs/corpus.md' $(CASES)

lint:
	$(SWIFT) format lint --strict --parallel --recursive $(SWIFT_SOURCES)

format:
	$(SWIFT) format --in-place --parallel --recursive $(SWIFT_SOURCES)

demo: build samples
	@samples/demo.sh

bench: build samples
	$(SWIFT) build $(RELEASE_FLAGS) --product bench
	@.build/release/bench $(if $(QUICK),--quick)

fuzz: build
	@Tests/Fuzz/fuzz.sh $(SECONDS)

clean:
	rm -rf .build .build-fuzz
	$(MAKE) --no-print-directory -s -C samples/stationd clean
