"""The whole wheel once: traffic, labels, training, and a test on questions that nobody asked.

``run.py`` is the command. ``setting`` is the app and its users, ``rows`` makes datasets from traces, from
the naive recipe and from people's judgments, ``steps`` trains, ``figures`` measures and compares,
``summary`` writes the page.
"""
