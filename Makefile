# What a contributor types. `make test` is everything that has to hold.

BUILD ?= target/debug
PREFIX ?= /usr
DESTDIR ?=
bin = $(DESTDIR)$(PREFIX)/bin
lib = $(DESTDIR)$(PREFIX)/lib

.PHONY: install
install:
	install -D -m 755 $(BUILD)/rsgen $(bin)/rsgen
	install -D -m 755 $(BUILD)/rsgen-worker $(lib)/rsgen/rsgen-worker
	install -D -m 755 $(BUILD)/rsgen-generator $(lib)/systemd/system-generators/rsgen-generator
	mkdir -p $(lib)/systemd/user-generators
	ln -sf ../system-generators/rsgen-generator $(lib)/systemd/user-generators/rsgen-generator
