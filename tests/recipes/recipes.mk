# The servers of docs/recipes, from Debian, PyPI and npm, and their reloads under load. APPS="nginx puma" for some of them.
RECIPES := $(TARGET)/recipes
RECIPES_DEBIAN = nginx-light haproxy apache2 lighttpd caddy puma unicorn php-cli uwsgi-core uwsgi-plugin-python3 starman yaws varnish \
	golang-go default-jdk-headless libtomcat10-embed-java libtomcat10-java libjetty9-java libnetty-java ruby-railties

.PHONY: recipes
recipes: programs $(RECIPES)/.made
	cargo test --locked --test recipes -- $(APPS)

$(RECIPES)/.made: $(wildcard tests/recipes/*)
	rm -rf $(RECIPES)
	mkdir -p $(RECIPES)/node
	cp tests/recipes/package*.json $(RECIPES)/node
	npm ci --silent --no-fund --no-audit --prefix $(RECIPES)/node
	cp $(PROGRAMS)/tokio $(RECIPES)/axum
	$(TARGET)/python/bin/pip install --quiet --disable-pip-version-check --target $(RECIPES)/python -r tests/recipes/requirements.txt
	unshare --mount --propagation private sh tests/recipes/debian.sh / $(abspath $(RECIPES))/debian.tar $(RECIPES_DEBIAN)
	touch $@
