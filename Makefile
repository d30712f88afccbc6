# What a newcomer types; `make help` lists it. Everything is installed into .venv and .tox, nothing elsewhere,
# except the Debian packages named below: as root they are installed when absent, otherwise you are told.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test dev docs clean programs

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
ARGS ?=

# $(call debian,PACKAGE): install it if we may; fails, saying what to type, if we may not.
debian = { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "Installing Debian package $(1)" \
	&& apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(1) >/dev/null; } \
	|| { echo "Missing: install it with 'apt-get install $(1)' as root, or your distribution's equivalent" >&2; false; }

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(VENV)/.demo ## set up, then show a Service at work in network namespaces (root); ARGS="--help" for options
	@$(VENV)/bin/pointsman demo $(ARGS)

# A version that pyenv has but not switched on is no more than a shim that fails: tox is shown them all. To compile all
# that is installed into an environment takes longer than to compile what is used of it.
test: $(VENV)/.tox programs ## set up, then run every check (root; without it the tests that need it are skipped); ARGS="-e py311"
	@PIP_NO_COMPILE=1 PATH="$$PATH$$(command -v pyenv >/dev/null && printf ':%s' "$$(pyenv root)"/versions/*/bin)" \
		$(VENV)/bin/tox run-parallel --quiet --parallel 2 --parallel-live $(ARGS)

dev: $(VENV)/.dev ## set up .venv for working on the code: tests, linters, type checker

docs: $(VENV)/.dev ## write the documentation that is made from code
	@$(VENV)/bin/python -m pointsman.cli.document > docs/kube-proxy.md

clean: ## remove what the other targets made
	rm -rf $(VENV) .tox build src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The iptables backend runs iptables' programs, and python-iptables, which it uses if it can be built, needs a
# compiler and Python's headers. nft, kubectl and Chromium are for tests alone: of what the kernel holds, of the
# suite's API server, and of the status page.
programs:
	@for program in nft:nftables iptables:iptables gcc:gcc python3-config:python3-dev \
		kubectl:kubernetes-client chromium:chromium; do \
		command -v $${program%:*} >/dev/null || test -x /usr/sbin/$${program%:*} || echo $${program#*:}; \
	done | while read -r package; do \
		$(MAKE) --no-print-directory debian-$$package \
			|| echo "Going on: tests that need $$package are skipped" >&2; \
	done

debian-%:
	@$(call debian,$*)

# Debian packages ensurepip apart from Python, and venv needs it.
$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$$($(PYTHON) -V) is too old: Pointsman needs 3.11; make PYTHON=python3.12 picks another" >&2; false; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(call debian,python3-venv)
	@echo "Creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/pip
	@echo "Installing Pointsman into $(VENV)"
	@$(PIP) install --editable '.[conformance]'
	@touch $@

$(VENV)/.tox: | $(VENV)/bin/pip
	@echo "Installing tox into $(VENV)"
	@$(PIP) install tox
	@touch $@

# Older pips know no dependency groups.
$(VENV)/.dev: pyproject.toml | $(VENV)/bin/pip
	@echo "Installing Pointsman and its tools into $(VENV)"
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install --editable '.[conformance]' --group dev
	@touch $@
