"""Labels on crowds drawn at random, beside the best labels that anybody could give.

``run.py`` is the command. ``crowd`` draws the rates of a crowd from its seed. ``copies`` and ``wordings``
turn a collection into as many questions, in as many wordings, as the crowd asks. ``turns`` simulates what
happens, and ``replay`` plays that into a real store through ragwheel's own capture. ``bound`` computes the
Bayes-optimal labels; ``measures`` and ``figures`` compare, ``tables`` shows means and worst cases.

Seeds below 100 are for development. Seeds from 1,000 on are for reports only.
"""
