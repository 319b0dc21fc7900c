"""Curation of fine-tuning data on Dask dataframes: clean, filter, deduplicate, split, generate, score, hand off."""

__version__ = "0.1.0"
