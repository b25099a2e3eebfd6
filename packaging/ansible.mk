# The Ansible collection; included by the Makefile.

# Ansible and its linter in a virtual environment, at the versions of requirements.txt.
ANSIBLE = $(abspath $(TARGET))/ansible
COLLECTION = $(abspath $(TARGET))/lint-ansible/ansible_collections/rsgen/rsgen

.PHONY: ansible lint-ansible fleet

ansible: deps $(ANSIBLE)/requirements.txt

$(ANSIBLE)/requirements.txt: packaging/ansible/requirements.txt
	python3 -m venv --clear $(ANSIBLE)
	$(ANSIBLE)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	cp $< $@

# In a copy: the linter leaves files, and looks for the collection where Ansible would.
lint-ansible: export ANSIBLE_COLLECTIONS_PATH = $(abspath $(TARGET))/lint-ansible
lint-ansible: export ANSIBLE_HOME = $(ANSIBLE)/home
lint-ansible: ansible
	rm -rf $(COLLECTION)
	mkdir -p $(dir $(COLLECTION))
	cp -a packaging/ansible $(COLLECTION)
	cd $(COLLECTION) && PATH="$(ANSIBLE)/bin:$$PATH" ansible-lint --strict

# Playbooks from a person's machine to three hosts behind a load balancer.
fleet: ansible package-tools
	cargo test --locked --test fleet -- $(FILTER)
