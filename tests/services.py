"""A studio without a web server; its scheduler ticks only when a test says so."""

from studio.application import build_studio
from studio.service import Studio
from studio.settings import Settings, prepare_home


def make_studio(settings: Settings) -> Studio:
    """A studio on a migrated database below the settings' home."""
    prepare_home(settings)
    return build_studio(settings, {})
