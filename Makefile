# Friendly targets in front of meson and ninja. `make run` and `make test` install what they need.
BUILD ?= build

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@meson setup $(BUILD) >/dev/null

# Installs, builds, and runs every test. Ends with "N passed, N failed".
test:
	@scripts/deps runtime build test
	@$(MAKE) --no-print-directory all
	@scripts/test $(BUILD)

# Starts the one-machine cluster and deploys a demo.
run:
	@scripts/deps runtime build demo
	@$(MAKE) --no-print-directory all
	@scripts/run

stop:
	@$(BUILD)/barque down

install: all
	@meson install -C $(BUILD) --no-rebuild >/dev/null

# A second build under AddressSanitizer and UndefinedBehaviorSanitizer, and its tests.
asan:
	@scripts/deps runtime build test
	@test -f build-asan/build.ninja || meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
	@ninja -C build-asan
	@scripts/test build-asan

lint:
	@tools/check-layers

clean:
	@rm -rf $(BUILD) build-asan build-fuzz

.PHONY: all run stop test asan lint install clean
