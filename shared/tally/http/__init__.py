"""What every HTTP function shares: problem+json answers, routing, reading bodies, authentication, health."""
