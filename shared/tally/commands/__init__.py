"""Commands of `tally` that manage things: a module for each kind."""
