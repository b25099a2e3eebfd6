# Typical servers for the tests on machines, with their dependencies from the package registries.
PROGRAMS := $(TARGET)/programs
program_sources := $(shell find tests/programs -type f -not -path '*/target/*') tests/apps/accept.c

.PHONY: programs
programs: $(PROGRAMS)/.made

$(PROGRAMS)/.made: $(program_sources)
	rm -rf $(PROGRAMS)
	mkdir -p $(PROGRAMS)
	cp tests/programs/*.js tests/programs/*.mjs tests/programs/*.ts tests/programs/*.py tests/programs/*.rb tests/programs/package*.json $(PROGRAMS)
	npm ci --silent --no-fund --no-audit --prefix $(PROGRAMS)
	python3 -m venv $(TARGET)/python
	$(TARGET)/python/bin/pip install --quiet --disable-pip-version-check --target $(PROGRAMS)/python -r tests/programs/requirements.txt
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=localhost \
		-keyout $(PROGRAMS)/key.pem -out $(PROGRAMS)/cert.pem 2>/dev/null
	chmod 644 $(PROGRAMS)/key.pem
	CGO_ENABLED=0 GO111MODULE=off go build -o $(PROGRAMS)/go tests/programs/server.go
	$(CC) -static -O2 -o $(PROGRAMS)/c tests/apps/accept.c
	cargo build --quiet --locked --release --manifest-path tests/programs/tokio/Cargo.toml --target-dir $(TARGET)/tokio
	cp $(TARGET)/tokio/$(HOST)/release/tokio-server $(PROGRAMS)/tokio
	touch $@
