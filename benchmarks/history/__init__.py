"""A quarter of calls of four made-up systems, the same in each of the three stores that are compared."""
