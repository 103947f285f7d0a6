"""Poisoning: what dishonest subjects do to the labels, and what stops them."""
