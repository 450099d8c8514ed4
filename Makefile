# `make` alone prints the targets with their text after ##.
MAKEFLAGS += --no-print-directory
BIN := node_modules/.bin
QUIET := --no-fund --no-audit --no-update-notifier --loglevel=error

# Everything runs on the Node of this machine, or, where that is older than 22.15, on Node 24 in .node, which make fetches once.
NODE_MAJOR := 24
MACHINE_PATH := $(PATH)
NODE_VERSION := $(shell node --version 2>/dev/null)
NODE_IS_NEW := $(shell node -e 'const [a, b] = process.versions.node.split("."); if (a > 22 || (a == 22 && b >= 15)) console.log("yes")' 2>/dev/null)
ifeq ($(NODE_IS_NEW),yes)
NODE := $(shell command -v node)
else
NODE := $(CURDIR)/.node/node_modules/node/bin/node
export PATH := $(dir $(NODE)):$(PATH)
endif
# The machine's npm belongs to the machine's Node, however old.
NPM := PATH="$(MACHINE_PATH)" npm

# The compiler tracks changes itself (tsc --incremental).
WEB = $(shell find web wire client -type f 2>/dev/null)
SOURCES = $(shell find wire machines stores actors server wiring cli bin client test bench types -name '*.ts' 2>/dev/null)

.PHONY: help run demo build package package-files web test check format bench fuzz chaos explore inspect screenshots chromium clean node
.DEFAULT_GOAL := help

help: ## print this
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

run: build ## start the whole of rbee on this machine
	@$(NODE) dist/bin/rbee.js up

demo: dist/.built ## show the whole chain: a swarm, a tiny model, a worker, a chat
	@$(NODE) dist/bin/rbee.js demo

build: dist/.built web ## install packages and compile what changed

package: package-files ## pack dist/rbee.tgz, which `npm install -g` installs on any machine
	@$(NPM) pack --ignore-scripts --silent --pack-destination dist >/dev/null
	@mv dist/rbee-*.tgz dist/rbee.tgz
	@echo "npm install -g $(CURDIR)/dist/rbee.tgz"

# What is in the package: also for `npm pack` and `npm publish`, by prepack.
package-files: build dist/client.d.ts

web: dist/web/.built ## build the dashboard that a queen serves at /

test: build chromium ## run the tests (ONLY=part-of-a-path for some of them)
	@$(NODE) dist/test/run.js $(ONLY)

check: node_modules/.package-lock.json ## lint, check the format, the types, and that nothing is unused
	@$(BIN)/biome check .
	@$(BIN)/tsc --noEmit --incremental false
	@$(BIN)/tsc -p web
	@$(BIN)/knip --no-progress

format: node_modules/.package-lock.json ## format the sources and fix what can be fixed
	@$(BIN)/biome check --write .

bench: build ## measure, and print the ratio to each peer (ONLY=part-of-a-path)
	@$(NODE) dist/bench/run.js $(ONLY)

fuzz: build ## send random requests to each kind of process (SECONDS=60, SEED=to-repeat)
	@$(NODE) dist/test/fuzz.js --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

chaos: build ## kill, freeze and cut a swarm at random (ARGS="--seconds 600 --seed 7")
	@$(NODE) dist/test/chaos.js $(ARGS)

explore: dist/.built ## break simulated swarms at random, with a simulated clock and network (STEPS=10000000, SEED=to-repeat)
	@$(NODE) dist/test/explore.js $(if $(STEPS),--steps $(STEPS)) $(if $(SEED),--seed $(SEED))

inspect: build ## as run, with the state machines shown live
	@$(NODE) dist/bin/rbee.js up --inspect

screenshots: build ## update the pictures in docs, with real processes and Chromium
	@$(NODE) dist/test/web/screenshots.js

clean: ## remove what was built
	@rm -rf dist

node: $(NODE)

$(CURDIR)/.node/node_modules/node/bin/node:
	@test -n "$(NODE_VERSION)" && command -v npm >/dev/null || { echo "rbee needs Node 22.15 or newer with npm, and there is none on the PATH: see https://nodejs.org"; exit 1; }
	@echo "this machine has Node $(NODE_VERSION), and rbee needs 22.15 or newer: fetching Node $(NODE_MAJOR) into .node (once, some 20 s) …" >&2
	@$(NPM) install --prefix .node --no-save --no-package-lock --ignore-scripts=false $(QUIET) node@$(NODE_MAJOR) >/dev/null && test -x $@ \
		|| { echo "Node $(NODE_MAJOR) could not be fetched from npm: install Node 22.15 or newer, see https://nodejs.org"; exit 1; }

node_modules/.package-lock.json: package-lock.json | node
	@echo "installing packages (once, some 20 s) …" >&2
	@$(NPM) ci $(QUIET) >&2
	@touch $@

dist/.built: node_modules/.package-lock.json tsconfig.json package.json bundle.js $(SOURCES) | node
	@echo "compiling …" >&2
	@$(BIN)/tsc
	@$(NODE) bundle.js
	@touch $@

dist/web/.built: node_modules/.package-lock.json tsconfig.json $(WEB) | node
	@echo "building the dashboard …" >&2
	@$(BIN)/vite build web --logLevel warn
	@touch $@

dist/client.d.ts: dist/.built
	@$(BIN)/dts-bundle-generator --silent --no-check --no-banner --export-referenced-types false \
		--external-inlines @sinclair/typebox eventsource-parser -o $@ client/index.ts

# The tests of the dashboard need a real browser. On Debian, as root, it is installed; elsewhere they are skipped without one.
chromium:
	@test -n "$(CHROMIUM)" || command -v chromium chromium-browser google-chrome >/dev/null || \
	if [ -f /etc/debian_version ] && [ "$$(id -u)" = 0 ]; then \
		echo "installing Chromium for the tests of the dashboard (once, some 60 s) …" >&2; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } >/dev/null \
			|| echo "Chromium could not be installed: the tests of the dashboard are skipped" >&2; \
	else \
		echo "no Chromium here: the tests of the dashboard are skipped (Debian: apt-get install chromium; or set CHROMIUM)" >&2; \
	fi
