"""Labels on crowds drawn at random, against a labeller that knows the crowd."""
