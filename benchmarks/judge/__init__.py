"""The judge beside people, its engine beside a stub, the support check beside experts: one command each."""
