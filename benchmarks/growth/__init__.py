"""How the cost of capture grows: with chunks, processes, stored retrievals and bursts."""
