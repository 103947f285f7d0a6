"""How right the labels are: simulated traffic over collections that people judged, against their judgments.

``run.py`` is the command. ``worlds`` reads the collections, ``users`` are the three user models,
``traffic`` drives a really wrapped retriever with them, ``systems`` are ragwheel and what it is compared
with, ``measures`` counts, ``summary`` writes the tables. The folder ``crowds`` has another benchmark: crowds
drawn at random, and the Bayes-optimal labels beside ours.
"""
