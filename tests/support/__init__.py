"""What tests share: a Postgres server, the functions as processes, waiting, and an oracle that counts by hand."""
