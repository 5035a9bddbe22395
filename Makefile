# One file, every command. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MEMBERS := libs/schemas libs/runtime services/ingest services/moderation services/routing services/metrics libs/standalone
EXPORT := --quiet --frozen --no-emit-workspace --no-header --no-annotate --no-emit-index-url --format requirements-txt

.DEFAULT_GOAL := help
.PHONY: peers replay help setup setup-system setup-podman demo check check-rules test trials alarms trust upgrade bench bench-full kube audit format lock docs dashboards dashboard-picture clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

setup: $(VENV)/.ready ## build .venv with every package, from the hash-pinned lock

$(VENV)/.ready: requirements.lock $(addsuffix /pyproject.toml,$(MEMBERS))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Klankbord needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 setup")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(addprefix -e ./,$(MEMBERS))
	@if command -v npm >/dev/null; then npm ci --silent --prefix examples; npm ci --silent --prefix tests/grafana; else echo "no npm here: the Node example and the check of the dashboards are not set up"; fi
	@touch $@

$(VENV)/.deploy-ready: $(VENV)/.ready requirements-deploy.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-deploy.lock
	@touch $@

setup-system: ## install what some tests need from Debian (root): PostgreSQL, Redis, Prometheus, Dovecot, openssl, Node.js, Chromium
	apt-get update -q
	apt-get install -y -q --no-install-recommends postgresql redis-server prometheus dovecot-imapd openssl chromium $$(command -v npm >/dev/null || echo nodejs npm)

setup-podman: ## install what `make kube` needs from Debian (root): podman and its parts
	apt-get update -q
	apt-get install -y -q --no-install-recommends podman runc netavark aardvark-dns catatonit iptables debootstrap prometheus

demo: setup ## play a sample community through every service and show what a community manager sees
	$(BIN)/klankbord demo

check: setup $(VENV)/.deploy-ready ## format, lint, types, import rules, secrets, licences, manifests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy libs services tests examples scripts
	$(BIN)/lint-imports
	$(BIN)/python -m scripts.secret_scan
	$(BIN)/python -m scripts.licences --check
	$(BIN)/hadolint Dockerfile tests/kube/servers/Dockerfile
	$(BIN)/python -m scripts.compose docker-compose.yml
	$(BIN)/python -m scripts.manifests
	@$(MAKE) --no-print-directory check-rules

check-rules: ## do the rules of Prometheus mean what their tests say (a part of check)
	@if command -v promtool >/dev/null; then cd deploy/prometheus && promtool check config prometheus.yml && promtool test rules rules/*_test.yaml; \
	elif [ -n "$$CI" ]; then echo "there is no promtool here, and CI needs it: make setup-system" >&2; exit 1; \
	else echo "!! LEFT OUT: deploy/prometheus was not checked, there is no promtool here: make setup-system" >&2; fi

.tools/peers/.ready: requirements-peers.lock
	$(PYTHON) -m venv --clear .tools/peers
	.tools/peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-peers.lock
	@touch $@

tests/peers/pds/node_modules/.ready: tests/peers/pds/package-lock.json
	npm ci --silent --no-audit --no-fund --ignore-scripts --prefix tests/peers/pds
	npm rebuild --silent --prefix tests/peers/pds better-sqlite3
	@touch $@

peers: setup tests/peers/pds/node_modules/.ready ## hear a real Bluesky server through breaks and restarts (Node.js, ≤ 10 min with its set-up)
	$(BIN)/python -m pytest tests/peers

replay: setup ## read every real payload of ../shared/real, where there are any, through its kind; prints a table
	PYTHONPATH=tests:. $(BIN)/python -m scripts.replay

audit: ## ask for known weaknesses of what the locks name; needs the network, so it is no part of check
	$(PYTHON) -m venv .tools/audit
	.tools/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.tools/audit/bin/pip-audit --strict --disable-pip --require-hashes $(patsubst %,-r %,$(wildcard requirements*.lock))
	npm audit --prefix examples

test: setup $(VENV)/.deploy-ready .tools/peers/.ready ## every test but the trials, on a real NATS and a real PostgreSQL
	$(BIN)/python -m pytest -n 2 --dist loadfile

trials: setup $(VENV)/.deploy-ready ## the long tests: backup and restore, rotation, a lost tail
	$(BIN)/python -m pytest -m trial

bench: setup ## how fast it is, against yardsticks of the same round; writes build/bench.json (≤ 10 min)
	PYTHONPATH=tests $(BIN)/python -m bench

bench-full: setup ## the same at full size (≤ 45 min)
	PYTHONPATH=tests $(BIN)/python -m bench --full

alarms: setup ## force every alert on a running installation and follow its runbook; writes build/alarms.json (≤ 30 min)
	PYTHONPATH=tests $(BIN)/python -m alarms

trust: setup ## break it on purpose: faults, hostile input, power cuts; writes build/trust.json (≤ 10 min)
	PYTHONPATH=tests $(BIN)/python -m trust

upgrade: setup ## roll yesterday's build to this one under load, and one service back (≤ 6 min)
	PYTHONPATH=tests $(BIN)/python -m trust upgrade

kube: setup $(VENV)/.deploy-ready ## run the images, the manifests' pods and docker-compose.yml on podman (root)
	@command -v podman runc catatonit debootstrap prometheus >/dev/null && test -x /usr/lib/podman/netavark || $(MAKE) setup-podman
	PYTHONPATH=tests $(BIN)/python -m kube.images
	$(BIN)/python -m pytest tests/kube

format: setup ## put the code in its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup ## write docs/asyncapi.yaml, events.md, events.html, schemas/, licences.md, the metrics in telemetry.md
	$(BIN)/python -m scripts.docs
	$(BIN)/python -m scripts.licences

dashboards: $(VENV)/.deploy-ready ## write deploy/grafana/dashboards from scripts/dashboards
	$(BIN)/python -m scripts.dashboards

dashboard-picture: setup $(VENV)/.deploy-ready ## draw docs/community-dashboard.png of the demo's data (Node.js, Chromium)
	npm ci --silent --prefix deploy/grafana/render
	PYTHONPATH=tests $(BIN)/python -m scripts.dashboards.picture community docs/community-dashboard.png

lock: ## write requirements.lock anew from the pyproject files
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check uv
	.tools/bin/uv lock --quiet
	.tools/bin/uv export $(EXPORT) --all-packages --all-groups --no-group deploy --no-group peers --no-group sbom -o requirements.lock
	.tools/bin/uv export $(EXPORT) --only-group deploy -o requirements-deploy.lock
	.tools/bin/uv export $(EXPORT) --only-group peers -o requirements-peers.lock
	.tools/bin/uv export $(EXPORT) --only-group sbom -o requirements-sbom.lock

clean: ## remove what the other commands made here
	rm -rf $(VENV) .tools build klankbord-data
