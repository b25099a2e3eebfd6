# The commands of a contributor. `make test` runs every check.

# The folder where cargo builds, and the build that `install` copies. The target triple has a folder of its own because
# .cargo/config.toml names it.
TARGET := $(or $(CARGO_TARGET_DIR),target)
HOST := $(shell rustc -vV | sed -n 's/^host: //p')
PROFILE ?= release
BUILD ?= $(TARGET)/$(HOST)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
PREFIX ?= /usr
DESTDIR ?=

bin = $(DESTDIR)$(PREFIX)/bin
lib = $(DESTDIR)$(PREFIX)/lib
share = $(DESTDIR)$(PREFIX)/share

.NOTPARALLEL:
.PHONY: help build demo test unit machines kernel fuzz mutants large bench lint deps install

help:
	@echo 'make demo     a cluster on a throw-away machine: installs, loads, reloads and breaks it'
	@echo 'make test     everything: lints, unit tests, real machines with systemd 252, 257 and 262'
	@echo 'make lint     formatting and lints'
	@echo 'make unit     the tests that need no machine'
	@echo 'make machines the tests on real machines; FILTER=reload for some of them'
	@echo 'make kernel   the handover and the drain on a kernel of Debian, with Yama; GUEST=selinux'
	@echo 'make fuzz     searches for input that breaks a claim of tests/fuzz; SECONDS=60, CLAIMS=proc for some'
	@echo 'make mutants  searches for faults of one token that no test notices, for hours; ROOM=unit for one room'
	@echo 'make recipes  the servers of docs/recipes; reloads them and prints what was lost; APPS=nginx for some'
	@echo 'make twelve   twelve PM2 files with their programs from npm and PyPI, by `rsgen install --import`'
	@echo 'make fleet    the Ansible collection on four machines; make lint-ansible unit-ansible'
	@echo 'make large    reloads 64 instances, and 200 apps, under load, and prints how long commands take there'
	@echo 'make bench    measures rsgen, and PM2 beside it'
	@echo 'make build    builds the programs, for `make install`'
	@echo 'make install  installs what `make build` has built; PREFIX=/usr DESTDIR='
	@echo 'make deb rpm  the packages; make release: the packages and everything else that a release needs'
	@echo 'make deps     installs missing Debian packages that these commands need'

build:
	cargo $(CARGO_FLAGS) build --locked --profile $(PROFILE)

demo: deps
	cargo build --locked --quiet
	cargo run --locked --quiet --example demo

# Quick checks come first.
test: deps lint lint-ansible unit unit-ansible machines fleet

unit: deps
	cargo test --locked --workspace --lib --bins
	cargo test --locked $(foreach t,$(filter-out machines,$(basename $(notdir $(wildcard tests/*.rs)))),--test $(t))

machines: deps programs
	cargo test --locked --test machines -- $(FILTER)

# Not part of `make test`: an emulated machine takes as long. GUEST=selinux for a machine where a policy is enforced.
kernel: NEEDS += qemu-system-x86_64:qemu-system-x86 cpio:cpio
kernel: deps
	cargo build --locked --bins --example load
	cargo test --locked --test kernel -- $(GUEST)

# Runs each target for SECONDS. Findings are written to $(TARGET)/fuzz; a fix comes with a test of the finding.
SECONDS ?= 60
CLAIMS = text values proc btf diag request shown state variables
CARGO_FUZZ = 0.13.2
fuzz: NEEDS += g++:g++
fuzz: deps
	@$(call tool,cargo-fuzz,$(CARGO_FUZZ))
	@mkdir -p $(addprefix $(TARGET)/fuzz/,$(CLAIMS))
	for case in tests/golden/*/ecosystem.toml; do cp $$case $(TARGET)/fuzz/text/$$(echo $$case | tr / -); done
	@# The seeds are files of /proc, each after four numbers.
	for file in cgroup maps stat status; do { printf %032d 0; cat /proc/self/$$file; } >$(TARGET)/fuzz/proc/$$file; done
	for claim in $(CLAIMS); do \
		$(TOOLS)/bin/cargo-fuzz run --fuzz-dir tests/fuzz --sanitizer none --target-dir $(abspath $(TARGET))/fuzz/build $$claim \
			$(abspath $(TARGET))/fuzz/$$claim -- -max_total_time=$(SECONDS) -artifact_prefix=$(abspath $(TARGET))/fuzz/ || exit 1; \
	done

# Not part of `make test`: hours. Faults of one token in the rooms that .cargo/mutants.toml names, or in ROOM=unit alone; the
# list of those that no test notices lands in $(TARGET)/mutants.out/missed.txt.
ROOM ?=
CARGO_MUTANTS = 27.1.0
MUTANTS = $(TARGET)/mutants.tree
mutants:
	@$(call tool,cargo-mutants,$(CARGO_MUTANTS))
	@# cargo-mutants does not find modules that a macro declares either: its copy of the tree declares them once more, where no
	@# compiler sees it.
	rm -rf $(MUTANTS)
	mkdir -p $(MUTANTS)
	git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --no-dereference --target-directory $(MUTANTS)
	sed -n 's/^    \([a-z_]*\)::[A-Z][A-Za-z]*,$$/#[cfg(any())] mod \1;/p' src/command/mod.rs >>$(MUTANTS)/src/command/mod.rs
	nice -n 15 $(TOOLS)/bin/cargo-mutants mutants --dir $(MUTANTS) --gitignore false --jobs 1 --output $(TARGET) \
		$(if $(ROOM),--re '^src/$(ROOM)/')

# Not part of `make test`: many minutes. One app of 64 instances and 200 apps of 4, reloaded under load; fails where a request is lost.
large: deps
	cargo $(CARGO_FLAGS) bench --locked --bench large

bench: deps
	cargo $(CARGO_FLAGS) build --locked --release
	cargo $(CARGO_FLAGS) bench --locked --bench startup
	cargo $(CARGO_FLAGS) bench --locked --bench large
	npm install --silent --no-fund --no-audit --prefix $(TARGET)/bench pm2@7.0.4
	PM2_MODULES=$(abspath $(TARGET)/bench/node_modules) cargo $(CARGO_FLAGS) bench --locked --bench pm2

# The other architecture that rsgen supports; checked if its standard library is installed (`rustup target add`).
OTHER = $(if $(filter x86_64,$(shell uname -m)),aarch64,x86_64)-unknown-linux-gnu
lint:
	cargo fmt --all --check
	@# rustfmt does not find modules that a macro declares.
	rustfmt --edition 2024 --check src/command/*.rs
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@! [ -d "$$(rustc --print target-libdir --target $(OTHER))" ] || cargo check --locked --target $(OTHER)

# Programs that the tests need, each with its Debian package.
NEEDS := systemd-nspawn:systemd-container mmdebstrap:mmdebstrap dbus-daemon:dbus node:nodejs npm:npm \
	go:golang-go ruby:ruby openssl:openssl cc:gcc clang:clang \
	python3:python3 ip:iproute2 strace:strace nsenter:util-linux taskset:util-linux curl:curl \
	dpkg-deb:dpkg lintian:lintian rpmbuild:rpm rpmlint:rpmlint ssh:openssh-client \
	pkcheck:polkitd prometheus:prometheus sshd:openssh-server

deps:
	@missing=; for need in $(NEEDS); do \
		PATH="$$PATH:/usr/sbin:/sbin" command -v "$${need%%:*}" >/dev/null || missing="$$missing $${need#*:}"; \
	done; \
	python3 -c 'import ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
	ruby -e 'require "webrick"' 2>/dev/null || missing="$$missing ruby ruby-webrick"; \
	[ -e /usr/lib/systemd/user/dbus.socket ] || missing="$$missing dbus-user-session"; \
	if [ -n "$$missing" ]; then \
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		echo "installing$$missing"; \
		$$sudo apt-get update -qq && \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	fi

# Copies the result of `make build` and builds nothing, so that it can run as another user.
install:
	install -D -m 755 $(BUILD)/rsgen $(bin)/rsgen
	@# In a folder `bin` policies of SELinux label a file as one to execute, and elsewhere below lib as a library.
	install -D -m 755 $(BUILD)/rsgen-worker $(lib)/rsgen/bin/rsgen-worker
	@# The path that units of 0.1.0 name: docs/packaging.md, "Installing and upgrading".
	ln -sf bin/rsgen-worker $(lib)/rsgen/rsgen-worker
	install -D -m 644 units/drain.js $(lib)/rsgen/drain.js
	install -D -m 755 $(BUILD)/rsgen-generator $(lib)/systemd/system-generators/rsgen-generator
	mkdir -p $(lib)/systemd/user-generators
	ln -sf ../system-generators/rsgen-generator $(lib)/systemd/user-generators/rsgen-generator
	for conf in units/*.conf; do \
		[ ! -e "$$conf" ] || install -D -m 644 "$$conf" "$(lib)/tmpfiles.d/$${conf##*/}"; \
	done
	install -D -m 644 units/sysusers.d/rsgen.conf $(lib)/sysusers.d/rsgen.conf
	for unit in units/*.socket units/*.service units/*.timer; do \
		install -D -m 644 "$$unit" "$(lib)/systemd/system/$${unit##*/}"; \
	done
	install -D -m 644 packaging/rsgen.catalog $(lib)/systemd/catalog/rsgen.catalog
	for page in packaging/man/*.[1-8]; do \
		install -D -m 644 "$$page" "$(share)/man/man$${page##*.}/$${page##*/}"; \
	done
	$(BUILD)/rsgen pages $(share)
	install -D -m 644 packaging/ecosystem.schema.json $(share)/rsgen/ecosystem.schema.json
	install -D -m 644 packaging/selinux/rsgen.cil $(share)/rsgen/rsgen.cil
	install -D -m 755 packaging/may-be-removed $(lib)/rsgen/bin/may-be-removed

include packaging/packages.mk packaging/ansible.mk
include tests/programs/programs.mk tests/recipes/recipes.mk
