"""Every error this package raises on purpose: what was given, what was expected, what to do."""


class MinigemmaError(ValueError):
    """Base of all errors raised on purpose, so that ``except mg.MinigemmaError`` catches them all."""


class ConfigError(MinigemmaError):
    """A config.json (or a config built by hand) that contradicts itself or the architecture."""


class CheckpointError(MinigemmaError):
    """A checkpoint directory whose files are missing, damaged, or do not fit their config."""


class TokenizerError(MinigemmaError):
    """A tokenizer.json or chat template that cannot be read or used."""


class InputError(MinigemmaError):
    """Token ids, images, sounds or options that the model cannot take."""
