"""Mutation testing: which small faults in the code do the tests notice? ``make mutants`` runs it."""
