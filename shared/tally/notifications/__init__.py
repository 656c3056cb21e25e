"""What is told to whom: an outbox in the database, and the channels that it goes out by."""
