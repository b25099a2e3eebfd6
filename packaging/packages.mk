# Debian and RPM packages, and the release; included by the Makefile.
#
# Both packages hold what `make install` installs. A package is a function of the source and of
# SOURCE_DATE_EPOCH: two builds of one commit are the same bytes, see `make reproducible`.

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p;/^version/q' Cargo.toml)
# The time in packages: of the commit, or in a tree without git of the newest entry of the changelog.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)
# What packages are made of and where they land. `dev` is what tests install.
STAGE = $(TARGET)/$(PROFILE_DIR)/stage
PACKAGES ?= $(TARGET)/$(PROFILE_DIR)/packages
PROFILE_DIR = $(notdir $(BUILD))

# Made when missing, at these versions, for this tree alone.
TOOLS = $(abspath $(TARGET))/tools
CARGO_DEB = 3.8.0
CARGO_GENERATE_RPM = 0.21.1
CARGO_CYCLONEDX = 0.5.9
CARGO_DENY = 0.20.2
# $(call tool,NAME,VERSION): not optimised, they work for seconds and compile for minutes. Away from here, where
# .cargo/config.toml does not count.
tool = [ "$$(sed -n 's/.*"$(1) \([^ ]*\) .*/\1/p' $(TOOLS)/.crates.toml 2>/dev/null)" = $(2) ] || \
	{ cd / && CARGO_TARGET_DIR=$(TOOLS)/build CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=false RUSTFLAGS= \
	cargo install --quiet --locked --root $(TOOLS) --version $(2) $(1); }

# Nothing of where it was built is in what is shipped. These go beside the flags of .cargo/config.toml: `RUSTFLAGS`
# would go in their place.
ifeq ($(PROFILE),release)
build bench: CARGO_FLAGS = --config 'build.rustflags = ["--remap-path-prefix=$(CURDIR)=/rsgen", \
	"--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo"]'
endif

.PHONY: stage package-tools .deb .rpm deb rpm packages lint-packages reproducible release checks

doc = $(STAGE)/usr/share/doc/rsgen
# Everything below one folder, as it lies on a host. Builds nothing: `make deb` does that first.
stage:
	rm -rf $(STAGE)
	mkdir -p $(doc)/examples
	$(MAKE) --silent install DESTDIR=$(STAGE) PREFIX=/usr
	strip --remove-section=.comment $(STAGE)/usr/bin/rsgen $(STAGE)/usr/lib/rsgen/bin/rsgen-worker $(STAGE)/usr/lib/systemd/system-generators/*
	gzip -9n $(STAGE)/usr/share/man/man*/*
	install -m 644 README.md $(doc)
	install -D -m 644 packaging/deb/lintian-overrides $(STAGE)/usr/share/lintian/overrides/rsgen
	install -m 644 packaging/examples/*.toml packaging/polkit/* $(doc)/examples
	packaging/changelog <CHANGELOG.md | gzip -9n >$(doc)/changelog.Debian.gz

package-tools:
	@$(call tool,cargo-deb,$(CARGO_DEB))
	@$(call tool,cargo-generate-rpm,$(CARGO_GENERATE_RPM))

# NO_BUILD=1 takes what cargo has built; VERSION=0.0.1 calls it another version, for tests of upgrades.
deb rpm: package-tools $(if $(NO_BUILD),,build)
	@$(MAKE) --silent stage
	@mkdir -p $(PACKAGES)
	@$(MAKE) --silent .$@

.deb:
	$(TOOLS)/bin/cargo-deb --quiet --no-build --no-strip --profile $(PROFILE) --deb-version $(VERSION)-1 $(if $(filter dev,$(PROFILE)),--fast) \
		--output $(PACKAGES)/

.rpm:
	$(TOOLS)/bin/cargo-generate-rpm --profile $(PROFILE_DIR) $(if $(filter dev,$(PROFILE)),--payload-compress gzip) --target-dir $(TARGET) --source-date $$SOURCE_DATE_EPOCH \
		--set-metadata 'version = "$(VERSION)"' --output $(PACKAGES)/

packages: deb rpm

# Every finding of lintian and rpmlint fails; what is meant is excused, with its reason, in
# packaging/deb/lintian-overrides and packaging/rpm/rpmlint.toml.
lint-packages:
	lintian --allow-root --tag-display-limit 0 --fail-on error,warning \
		$(PACKAGES)/rsgen_$(VERSION)-1_*.deb
	rpmlint --strict --config packaging/rpm/rpmlint.toml $(PACKAGES)/rsgen-$(VERSION)-1.*.rpm

# The same commit, built in two places, is the same bytes. Two release builds: minutes.
COPIES = $(abspath $(TARGET))/reproducible
reproducible:
	rm -rf $(COPIES)
	for copy in $(COPIES)/one $(COPIES)/another/place; do \
		mkdir -p $$copy && git archive HEAD | tar -x -C $$copy && \
		$(MAKE) --silent -C $$copy packages TOOLS=$(TOOLS) PACKAGES=$$copy/packages TARGET=$$copy/target \
			CARGO_TARGET_DIR=$$copy/target || exit 1; \
	done
	cd $(COPIES)/one/packages && for package in *; do \
		cmp $$package ../../another/place/packages/$$package && sha256sum $$package || exit 1; \
	done

# What a release is made of, in one folder. DRAFT=1 rehearses it: an entry of the changelog without a
# date and changes that are not committed are then said, but let pass.
DIST = $(TARGET)/dist
release: deps
	@$(call tool,cargo-deny,$(CARGO_DENY))
	@$(call tool,cargo-cyclonedx,$(CARGO_CYCLONEDX))
	DRAFT=$(DRAFT) ADVISORIES=$(ADVISORIES) packaging/release check $(VERSION) $(TOOLS)/bin
	rm -rf $(DIST)
	$(MAKE) packages PACKAGES=$(DIST)
	$(MAKE) lint-packages PACKAGES=$(DIST)
	packaging/release bundle $(VERSION) $(TOOLS)/bin $(DIST) $(STAGE)
