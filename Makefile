# Each target is the script of that name. ARGS are passed on: make test ARGS="python -k reshard"
TARGETS := build setup demo test check soak bench
.PHONY: $(TARGETS)
$(TARGETS):
	@scripts/$@ $(ARGS)
