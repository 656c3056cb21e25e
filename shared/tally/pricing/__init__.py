"""What a call costs: prices, the book that finds an event's, and the data set it starts from. Pure."""
