"""What is looked for, and what training and serving must agree on to the letter."""

__version__ = "0.1.0"
