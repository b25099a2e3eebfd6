# The servers of docs/recipes, from Debian, PyPI and npm, and their reloads under load. APPS="nginx puma" for some of them.
RECIPES := $(TARGET)/recipes
RECIPES_DEBIAN = nginx-light haproxy apache2 lighttpd caddy puma unicorn php-cli uwsgi-core uwsgi-plugin-python3 starman yaws varnish \
	golang-go default-jdk-headless libtomcat10-embed-java libtomcat10-java libjetty9-java libnetty-java ruby-railties

# What comes from npm and PyPI, which is /srv of a machine for the specs of tests/machines/twelve.rs. They need no other runtimes than
# Node and Python: those are `devDependencies`.
RECIPES_SRV := $(RECIPES)/srv
recipes_npm = cp tests/recipes/package*.json $(RECIPES_SRV) && npm ci --silent --no-fund --no-audit --prefix $(RECIPES_SRV)

$(RECIPES)/.srv: $(wildcard tests/recipes/package*.json tests/recipes/requirements.txt) $(shell find tests/twelve/next tests/twelve/nuxt -type f) | programs
	rm -rf $(RECIPES_SRV)
	mkdir -p $(RECIPES_SRV)/built
	$(recipes_npm) --omit=dev
	$(TARGET)/python/bin/pip install --quiet --disable-pip-version-check --target $(RECIPES_SRV)/python -r tests/recipes/requirements.txt
	cp -r tests/twelve/next tests/twelve/nuxt $(RECIPES_SRV)/built
	for app in next nuxt; do \
		ln -s ../../node_modules $(RECIPES_SRV)/built/$$app/node_modules && \
		(cd $(RECIPES_SRV)/built/$$app && NEXT_TELEMETRY_DISABLED=1 NUXT_TELEMETRY_DISABLED=1 node_modules/.bin/$$app build >build.log 2>&1) || \
		{ cat $(RECIPES_SRV)/built/$$app/build.log; exit 1; }; \
	done
	touch $@

.PHONY: recipes twelve
twelve: deps $(RECIPES)/.srv
	PROGRAMS=1 cargo test --locked --test machines -- $(FILTER)

recipes: programs $(RECIPES)/.made
	cargo test --locked --test recipes -- $(APPS)

$(RECIPES)/.made: $(RECIPES)/.srv $(wildcard tests/recipes/*)
	$(recipes_npm)
	cp $(PROGRAMS)/tokio $(RECIPES)/axum
	unshare --mount --propagation private sh tests/recipes/debian.sh / $(abspath $(RECIPES))/debian.tar $(RECIPES_DEBIAN)
	touch $@
