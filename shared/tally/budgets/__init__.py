"""Budgets: what may be spent in a window of local time, what was, and what is noticed about it."""
