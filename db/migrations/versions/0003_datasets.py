"""Data sets become a registry: versions, shape, integrity report, tags."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ADDED: tuple[sa.Column[Any], ...] = (
    sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
    sa.Column("description", sa.String(), nullable=False, server_default=""),
    sa.Column("source", sa.String(), nullable=False, server_default=""),
    sa.Column("job", sa.String(), nullable=True),
    sa.Column("shape", sa.String(), nullable=False, server_default=""),
    sa.Column("modality", sa.String(), nullable=False, server_default="text"),
    sa.Column("confidence", sa.Float(), nullable=False, server_default="0"),
    sa.Column("usable_samples", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("unreadable_samples", sa.Integer(), nullable=False, server_default="0"),
    sa.Column("columns", sa.JSON(), nullable=False, server_default="[]"),
    sa.Column("splits", sa.JSON(), nullable=False, server_default="{}"),
    sa.Column("recognition", sa.JSON(), nullable=True),
    sa.Column("integrity_checked", sa.Boolean(), nullable=False, server_default=sa.false()),
    sa.Column("integrity_passed", sa.Boolean(), nullable=False, server_default=sa.false()),
    sa.Column("integrity_report", sa.JSON(), nullable=False, server_default="{}"),
    sa.Column("tags", sa.JSON(), nullable=False, server_default="[]"),
    sa.Column("details", sa.JSON(), nullable=False, server_default="{}"),
    sa.Column("updated_at", sa.DateTime(), nullable=False, server_default=sa.func.now()),
)


def upgrade() -> None:
    # Rows of before point at single files, which the studio would have to import again: they are taken in anew.
    op.execute(sa.text("DELETE FROM dataset"))
    with op.batch_alter_table("dataset", schema=None) as batch_op:
        for column in _ADDED:
            batch_op.add_column(column)
        batch_op.drop_column("eval_path")
        batch_op.create_index(batch_op.f("ix_dataset_name"), ["name"], unique=False)
        batch_op.create_unique_constraint("uq_dataset_owner_name_version", ["owner", "name", "version"])
        batch_op.create_foreign_key("fk_dataset_job", "job", ["job"], ["id"], ondelete="SET NULL")


def downgrade() -> None:
    with op.batch_alter_table("dataset", schema=None) as batch_op:
        batch_op.drop_constraint("fk_dataset_job", type_="foreignkey")
        batch_op.drop_constraint("uq_dataset_owner_name_version", type_="unique")
        batch_op.drop_index(batch_op.f("ix_dataset_name"))
        batch_op.add_column(sa.Column("eval_path", sa.String(), nullable=True))
        for column in _ADDED:
            batch_op.drop_column(column.name)
