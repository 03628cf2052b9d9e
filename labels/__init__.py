"""What is looked for, and what training and serving must agree on to the letter."""

__version__ = "0.2.0.dev0"
