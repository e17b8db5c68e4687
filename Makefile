.PHONY: smoke test lint audit install

smoke test lint audit install:
	python3 -m lmms_fast.bootstrap $@
