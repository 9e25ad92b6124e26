"""Alembic migrations, applied when the studio starts."""
