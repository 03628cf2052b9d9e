"""What holds where nobody says otherwise, from Python, at the command line and over HTTP alike."""

from pathlib import Path

DEFAULT_MODEL = Path(__file__).resolve().parent.parent / "models" / "marsad-mini"
"""The model that ships, in the repository beside the code."""

MAX_CHARACTERS = 1_000_000
"""Of one text; a longer one is an error."""
