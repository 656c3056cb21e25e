"""The service that a team writes first: FastAPI, SQLAlchemy ORM, psycopg, one row a request."""
