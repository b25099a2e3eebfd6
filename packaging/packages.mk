# Debian and RPM packages, and the release; included by the Makefile.
#
# Both packages contain what `make install` installs. A package depends only on the source and on
# SOURCE_DATE_EPOCH: two builds of one commit have the same bytes, see `make reproducible`.

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p;/^version/q' Cargo.toml)
# The time stamp in packages: that of the commit, or in a tree without git that of the file CHANGELOG.md.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)
# The tree that is packaged, and the folder for the packages. Tests install those of the profile `dev`.
STAGE = $(TARGET)/$(PROFILE_DIR)/stage
PACKAGES ?= $(TARGET)/$(PROFILE_DIR)/packages
PROFILE_DIR = $(notdir $(BUILD))

# Tools of a release: built at these versions if they are missing, for this tree only.
TOOLS = $(abspath $(TARGET))/tools
CARGO_CYCLONEDX = 0.5.9
CARGO_DENY = 0.20.2
# $(call tool,NAME,VERSION): not optimised, because the tools run for seconds and compile for minutes. Built in /, where
# .cargo/config.toml does not apply.
tool = [ "$$(sed -n 's/.*"$(1) \([^ ]*\) .*/\1/p' $(TOOLS)/.crates.toml 2>/dev/null)" = $(2) ] || \
	{ cd / && CARGO_TARGET_DIR=$(TOOLS)/build CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=false RUSTFLAGS= \
	cargo install --quiet --locked --root $(TOOLS) --version $(2) $(1); }

# The shipped programs do not contain the path of the build. These flags are added to those of .cargo/config.toml;
# `RUSTFLAGS` would replace them.
ifeq ($(PROFILE),release)
build bench: CARGO_FLAGS = --config 'build.rustflags = ["--remap-path-prefix=$(CURDIR)=/rsgen", \
	"--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo"]'
endif

.PHONY: stage .deb .rpm deb rpm packages lint-packages reproducible release checks

doc = $(STAGE)/usr/share/doc/rsgen
# The tree of the package, as on a host. Builds nothing: `make deb` builds first.
stage:
	rm -rf $(STAGE)
	mkdir -p $(doc)/examples
	$(MAKE) --silent install DESTDIR=$(STAGE) PREFIX=/usr
	strip --remove-section=.comment $(STAGE)/usr/bin/rsgen $(STAGE)/usr/lib/rsgen/bin/rsgen-worker $(STAGE)/usr/lib/systemd/system-generators/*
	gzip -9n $(STAGE)/usr/share/man/man*/*
	install -m 644 README.md $(doc)
	install -D -m 644 packaging/deb/lintian-overrides $(STAGE)/usr/share/lintian/overrides/rsgen
	install -m 644 packaging/examples/*.toml packaging/polkit/* packaging/grafana/* $(doc)/examples
	packaging/changelog <CHANGELOG.md | gzip -9n >$(doc)/changelog.Debian.gz
	@# Whatever the umask of the build is.
	chmod -R u=rwX,go=rX $(STAGE)

# NO_BUILD=1 packages what cargo has built before; VERSION=0.0.1 gives the package another version, for tests of upgrades.
deb rpm: $(if $(NO_BUILD),,build)
	@$(MAKE) --silent stage
	@mkdir -p $(PACKAGES)
	@$(MAKE) --silent .$@

# Packages for tests are compressed in a moment.
quick = $(filter dev,$(PROFILE))
DEBIAN_ARCH := $(subst aarch64,arm64,$(subst x86_64,amd64,$(firstword $(subst -, ,$(HOST)))))
tree = $(STAGE).deb

.deb:
	rm -rf $(tree)
	cp -a $(STAGE) $(tree)
	mkdir $(tree)/DEBIAN
	install -m 644 packaging/deb/copyright $(tree)/usr/share/doc/rsgen
	install -m 755 packaging/deb/preinst packaging/deb/postinst packaging/deb/prerm packaging/deb/postrm $(tree)/DEBIAN
	install -m 644 packaging/deb/triggers $(tree)/DEBIAN
	sed "s/@VERSION@/$(VERSION)/; s/@ARCHITECTURE@/$(DEBIAN_ARCH)/; s/@SIZE@/$$(du -sk --apparent-size $(STAGE) | cut -f 1)/" \
		packaging/deb/control >$(tree)/DEBIAN/control
	cd $(tree) && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums
	dpkg-deb --root-owner-group $(if $(quick),-Zgzip -z1,-Zxz) --build $(tree) $(PACKAGES)/rsgen_$(VERSION)-1_$(DEBIAN_ARCH).deb
	rm -rf $(tree)

.rpm:
	rpmbuild -bb --quiet --target $(firstword $(subst -, ,$(HOST)))-linux --define 'rsgen_version $(VERSION)' --define 'source $(CURDIR)' \
		--define 'stage $(abspath $(STAGE))' --define '_topdir $(abspath $(STAGE)).rpm' --define '_rpmdir $(abspath $(PACKAGES))' \
		--define '_rpmfilename rsgen-%{VERSION}-%{RELEASE}.%{ARCH}.rpm' \
		--define '_binary_payload $(if $(quick),w1.gzdio,w19.zstdio)' packaging/rpm/rsgen.spec
	rm -rf $(STAGE).rpm

packages: deb rpm

# Every finding of lintian and rpmlint is an error. packaging/deb/lintian-overrides and packaging/rpm/rpmlint.toml list the
# exceptions, with their reasons.
lint-packages:
	lintian --allow-root --tag-display-limit 0 --fail-on error,warning \
		$(PACKAGES)/rsgen_$(VERSION)-1_*.deb
	rpmlint --strict --config packaging/rpm/rpmlint.toml $(PACKAGES)/rsgen-$(VERSION)-1.*.rpm

# Builds one commit in two places and compares the bytes of the packages. Two release builds take minutes.
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

# Makes all files of a release, in one folder. DRAFT=1 rehearses a release: an entry of the changelog without a date,
# changes that are not committed and an unreachable advisory database are then only warned of.
DIST = $(TARGET)/dist
release: deps
	@$(call tool,cargo-deny,$(CARGO_DENY))
	@$(call tool,cargo-cyclonedx,$(CARGO_CYCLONEDX))
	DRAFT=$(DRAFT) ADVISORIES=$(ADVISORIES) packaging/release check $(VERSION) $(TOOLS)/bin
	rm -rf $(DIST)
	$(MAKE) packages PACKAGES=$(DIST)
	$(MAKE) lint-packages PACKAGES=$(DIST)
	packaging/release bundle $(VERSION) $(TOOLS)/bin $(DIST) $(STAGE)
