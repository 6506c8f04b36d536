"""Reading fairchem checkpoints and writing umas model files; numpy is all it needs."""

VERSION = "0.1.0"


class ModelError(Exception):
    """One line that says what is wrong with a file or a configuration, and which value."""
