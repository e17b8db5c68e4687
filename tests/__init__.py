"""The tests; a package, so that one of the same name that lmms-eval installs is not taken for it."""
