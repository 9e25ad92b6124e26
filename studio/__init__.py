"""The studio: a service over the database and the child processes, and the pages and APIs that show it."""
