# How a firmware example is made and run. Its Makefile says
#
#   BOARD        mps2_an386 or mps3_an547
#   LIBRARIES    names of its libraries, and for each, NAME_OPTIONS: what `mbgen compile` is told about it
#   STORED       those of them that a picture is stored for, as the array NAME_picture
#   SOURCES      its own C files; SOURCE_FLAGS: what the C compiler is told beside
#
# and includes this file. MODEL=file.tflite and PICTURE=file.jpg take the place of the built-in network and a made-up picture.

MBGEN ?= mbgen
PYTHON ?= python3
BUILD ?= build
MODEL ?=
PICTURE ?=

BOARDS := $(dir $(lastword $(MAKEFILE_LIST)))
include $(BOARDS)$(BOARD).mk

CC := arm-none-eabi-gcc
QEMU := qemu-system-arm
CFLAGS := -O2 -ffunction-sections -fdata-sections -Wall -Wextra -DUART0=$(UART0)
MANIFESTS := $(LIBRARIES:%=$(BUILD)/%/manifest.json)
PICTURES := $(STORED:%=$(BUILD)/%_picture.c)
USE = -I $(1)/include -I $(1)/src $(wildcard $(1)/src/*.c)
OWN := $(SOURCES) $(wildcard $(BOARDS)*.[ch])

.PHONY: run
run: $(BUILD)/firmware.elf ## build, and run on the emulated board
	$(QEMU) -M $(MACHINE) -display none -monitor none -serial stdio -no-reboot -kernel $<

$(BUILD)/firmware.elf: $(OWN) $(MANIFESTS) $(PICTURES) $(BOARDS)$(BOARD).ld $(BOARDS)sections.ld $(MAKEFILE_LIST)
	$(CC) $(CORE) $(CFLAGS) $(SOURCE_FLAGS) -I $(BOARDS) $(foreach name,$(LIBRARIES),$(call USE,$(BUILD)/$(name))) \
	    $(filter %.c,$(OWN)) $(PICTURES) \
	    -nostartfiles -Wl,--gc-sections -L $(BOARDS) -T $(BOARD).ld -o $@

# Another model or picture on the command line is a reason to make what comes from it again.
$(BUILD)/given: FORCE
	@mkdir -p $(BUILD)
	@echo '$(MODEL) $(PICTURE)' | cmp -s - $@ || echo '$(MODEL) $(PICTURE)' > $@

.PHONY: FORCE
FORCE:

$(BUILD)/%/manifest.json: $(MAKEFILE_LIST) $(MODEL) $(BUILD)/given
	$(MBGEN) compile $(MODEL) $($*_OPTIONS) --name $* --output $(BUILD)/$*

$(BUILD)/%_picture.c: $(BUILD)/%/manifest.json $(BOARDS)../picture.py $(PICTURE) $(BUILD)/given
	$(PYTHON) $(BOARDS)../picture.py $(BUILD)/$* $@ $(PICTURE)

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BUILD)
