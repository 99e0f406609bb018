# A rule for Makefiles that fuse checkpoints: what is fused is rebuilt when an input or a setting changed, and only then.
#
#   include /usr/local/share/embedfuse/embedfuse.mk
#   $(eval $(call embedfuse,OUT,BASE,MODELS,FLAGS))
#
# OUT     a model directory, or a file ending in .safetensors, .h5, .npz or .gguf
# BASE    the pretrained checkpoint; may be empty for methods that do without
# MODELS  the fine-tuned checkpoints, separated by spaces
# FLAGS   further arguments of `embedfuse merge`; a change of them rebuilds
#
# When make finds that something is newer, embedfuse itself looks whether it is otherwise (--if-changed): the same
# content with a newer time is not fused again. The files that a fusion has read are kept in a file of dependencies.
#
# Depend on $(call embedfuse_target,OUT) from rules of your own: OUT/embedfuse.json for a directory, OUT itself for
# a file. Needs GNU make 4.2 or newer; paths hold no spaces and no semicolons. Set before the include, where the
# defaults don't do:
EMBEDFUSE ?= embedfuse
EMBEDFUSE_STAMPS ?= .embedfuse

# Paths that name files, not directories: those that are written, and those that are read.
embedfuse_written := %.safetensors %.h5 %.hdf5 %.npz %.gguf
embedfuse_read := $(embedfuse_written) %.bin %.pt %.pth %.ckpt %.keras %.npy %.json

# The file that stands for a checkpoint: the manifest, written last, for a directory.
embedfuse_target = $(if $(filter $(embedfuse_written),$(1)),$(1),$(patsubst %/,%,$(1))/embedfuse.json)

# The files that a checkpoint is made of. One that another call of the rule makes, or that is not there yet, is
# named by the file that its own rule makes.
embedfuse_outputs :=
embedfuse_files = $(or $(if $(filter $(patsubst %/,%,$(1)),$(embedfuse_outputs)),$(call embedfuse_target,$(1))), \
  $(wildcard $(foreach folder,$(1) $(1)/*,$(foreach kind,safetensors bin h5 json txt model,$(folder)/*.$(kind)))), \
  $(if $(filter $(embedfuse_read),$(1)),$(1),$(patsubst %/,%,$(1))/model.safetensors))

# The settings of a fusion are kept in a file, a stamp, which is rewritten only when they changed. They are compared
# while make reads the Makefile, so that `make -n` tells the truth and writes nothing.
embedfuse_stamp = $(EMBEDFUSE_STAMPS)/$(subst /,+-,$(subst +,++,$(patsubst %/,%,$(1))))
embedfuse_settings = $(strip $(if $(2),--base $(2)) $(3) -o $(1) $(4))
embedfuse_same = $(and $(findstring x$(1)x,x$(2)x),$(findstring x$(2)x,x$(1)x))
embedfuse_quoted = '$(subst ','\'',$(1))'

# In a rule an equals sign, as in runs/lr=1e-5, would make a variable of the line.
embedfuse_equals := =
embedfuse_names = $(subst =,$$(embedfuse_equals),$(1))

# A directory without weights is made again, whatever its manifest says.
embedfuse_lost = $(if $(filter $(embedfuse_written),$(1))$(wildcard $(patsubst %/,%,$(1))/*.safetensors),,embedfuse_force)

define embedfuse
$(call embedfuse_rule,$(strip $(1)),$(strip $(2)),$(strip $(3)),$(strip $(4)),$(call \
  embedfuse_settings,$(strip $(1)),$(strip $(2)),$(strip $(3)),$(strip $(4))))
endef

define embedfuse_rule
$(if $(filter $(embedfuse_written),$(1)),,.PHONY: $(call embedfuse_names,$(1))
$(call embedfuse_names,$(1): $(call embedfuse_target,$(1))))

$(call embedfuse_names,$(call embedfuse_target,$(1)): $(call embedfuse_stamp,$(1)) \
  $(foreach input,$(2) $(3),$(call embedfuse_files,$(input))) $(call embedfuse_lost,$(1)))
	$(EMBEDFUSE) merge $(5) --force --if-changed --depfile $(call embedfuse_stamp,$(1)).d
	@touch -c $(call embedfuse_target,$(1))

-include $(call embedfuse_stamp,$(1)).d

$(call embedfuse_names,$(call embedfuse_stamp,$(1))): $(if $(call embedfuse_same,$(5),$(file <$(call embedfuse_stamp,$(1)))),,embedfuse_force)
	@mkdir -p $(EMBEDFUSE_STAMPS)
	@printf '%s\n' $(call embedfuse_quoted,$(5)) >$$@

embedfuse_outputs += $(patsubst %/,%,$(1))
endef

.PHONY: embedfuse_force
