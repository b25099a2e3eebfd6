# The Ansible collection; included by the Makefile.

# Ansible and its linter in a virtual environment, at the versions of requirements.txt.
ANSIBLE = $(abspath $(TARGET))/ansible
COLLECTION = $(abspath $(TARGET))/lint-ansible/ansible_collections/rsgen/rsgen

.PHONY: ansible collection lint-ansible unit-ansible fleet

ansible: deps $(ANSIBLE)/requirements.txt

$(ANSIBLE)/requirements.txt: packaging/ansible/requirements.txt
	python3 -m venv --clear $(ANSIBLE)
	$(ANSIBLE)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	cp $< $@

# A copy of the collection where Ansible looks for it, because the linter leaves files behind.
collection:
	rm -rf $(COLLECTION)
	mkdir -p $(dir $(COLLECTION))
	cp -a packaging/ansible $(COLLECTION)

lint-ansible: export ANSIBLE_COLLECTIONS_PATH = $(abspath $(TARGET))/lint-ansible
lint-ansible: export ANSIBLE_HOME = $(ANSIBLE)/home
lint-ansible: ansible collection
	cd $(COLLECTION) && PATH="$(ANSIBLE)/bin:$$PATH" ansible-lint --strict

# Tests what the module may show, and where it writes. Run as root, because the tests make files of other users.
unit-ansible: ansible collection
	cd $(COLLECTION) && PYTHONPATH=$(abspath $(TARGET))/lint-ansible $(ANSIBLE)/bin/python -m unittest discover --start-directory tests/unit

# Runs the playbooks from a control machine against three hosts behind a load balancer.
fleet: ansible
	cargo test --locked --test fleet -- $(FILTER)
