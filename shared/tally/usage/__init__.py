"""Questions about usage: parsed from parameters, composed into one statement, answered exactly."""
