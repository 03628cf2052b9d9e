"""What can be wrong with a user's files. Each message says where, what was expected, what came, and what to do."""


class MarsadError(Exception):
    """Base of every error that is the input's fault, not the program's; the command line exits with 2 on it."""


class ConfigError(MarsadError):
    """A configuration file that cannot be used."""


class TrainingError(MarsadError):
    """A run that cannot go on."""


class SchemaError(MarsadError):
    """A label schema that contradicts itself or the data."""


class RecordError(MarsadError):
    """A record that is not what the format asks for; `where` is a file and line, or an item of a list."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where
        self.message = message


class FolderError(MarsadError):
    """A model folder that is incomplete, damaged or of another format version."""


class AlignmentError(MarsadError):
    """Scores and pieces, or tags and pieces, that are not of one length."""
