"""Tally meters API calls and AI tokens on Google Cloud."""

__version__ = "0.1.0"
