.PHONY: smoke test lint install

smoke test lint install:
	python3 -m lmms_fast.bootstrap $@
