"""Puts the studio together and serves it until it is told to stop."""

import fcntl
import logging
import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import IO, Any

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from db.database import Database
from db.estimates import history_on
from pipeline.errors import StorageFailed
from pipeline.estimate_history import EstimateHistory
from studio.api.middleware import OriginGuard, SecurityHeaders
from studio.api.rest import build_routes
from studio.augmentation import Augmentations
from studio.auth import Authenticator, TokenLogin
from studio.catalog import Catalog
from studio.databench import Databench
from studio.estimator import Estimator
from studio.exports import Exports
from studio.fact_finder import FactFinder
from studio.hardware import list_gpus
from studio.keys import Keys, without_studio_secrets
from studio.launchers.local import LocalLauncher
from studio.recipes import Recipes
from studio.registry import Registry
from studio.reproduction import Reproduction
from studio.scheduler import Scheduler
from studio.secret_key import SecretKey
from studio.service import Studio
from studio.settings import LOOPBACK, Settings
from studio.smoke import Trials
from studio.ui import build_ui
from studio.ui.shell import HEAD, STATIC
from studio.ui.theme import build_theme
from studio.workbench import Workbench

logger = logging.getLogger(__name__)

# Gradio's queue looks for work and for progress this often; its own 1 ms and 10 ms cost 6 % of a core when nothing
# happens. Private attributes, so they may go.
_QUEUE_SLEEP_SECONDS = {"sleep_when_free": 0.05, "progress_update_sleep_when_free": 0.25}
_SESSIONS_KEPT = 300
_CHORE_SECONDS = 30.0
# The speed of this machine, as it was measured once.
RATES_FILE = "rates.json"
_CONCURRENT_EVENTS = 16
_QUEUE_LENGTH = 256
# Keys that a run or an import is given, where its owner has stored them.
KEYS_OF_CHILDREN = (
    "HF_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "LAPIDARY_ENDPOINT_KEY",
    "WANDB_API_KEY",
)


def build_studio(settings: Settings, environment: dict[str, str]) -> Studio:
    """The service with its database brought up to date; nothing runs yet."""
    database = Database(settings.database_url, journal_mode=settings.journal_mode)
    database.migrate()
    keys = Keys(database, SecretKey.from_environment(environment, home=settings.home))
    # No child needs the studio's own secrets.
    environment = {**without_studio_secrets(environment), "LAPIDARY_HOME": str(settings.home)}
    scheduler = Scheduler(
        settings,
        database,
        LocalLauncher(environment),
        gpus=list_gpus(),
        environment_for=lambda owner: keys.environment_for(KEYS_OF_CHILDREN, owner=owner),
    )
    databench = Databench(environment, imports=settings.imports)
    registry = Registry(settings, database, scheduler, databench)
    catalog = Catalog(settings.assets)
    return Studio(
        settings,
        database,
        scheduler,
        registry=registry,
        augmentations=Augmentations(settings, database, scheduler, registry),
        exports=Exports(settings, database, scheduler),
        workbench=Workbench(environment),
        catalog=catalog,
        keys=keys,
        facts=FactFinder(
            settings,
            database,
            catalog=catalog,
            keys=keys,
            keys_of_runs=KEYS_OF_CHILDREN,
            environment=environment,
            list_gpus=list_gpus,
        ),
        recipes=Recipes(settings.assets),
        estimator=Estimator(
            environment,
            imports=settings.imports,
            rates=settings.home / RATES_FILE,
            history=lambda device: _history(database, device),
        ),
        trials=Trials(settings, scheduler, environment),
        reproduction=Reproduction(settings, environment),
    )


def _history(database: Database, device: str) -> EstimateHistory:
    with database.read() as session:
        return history_on(session, device)


def serve(studio: Studio) -> None:
    """Serve the pages and run the queue until SIGINT or SIGTERM; children that train go on."""
    settings = studio.settings
    authenticator = Authenticator(settings)
    with _only_studio(settings.home):
        demo = build_ui(studio, authenticator)
        demo.queue(api_open=False, default_concurrency_limit=_CONCURRENT_EVENTS, max_size=_QUEUE_LENGTH)
        demo.launch(
            server_name=settings.host,
            server_port=settings.port,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            show_error=False,
            run_history=False,
            enable_monitoring=False,
            max_file_size=settings.max_upload_bytes,
            state_session_capacity=_SESSIONS_KEPT,
            footer_links=["api"],
            favicon_path=None,
            auth_dependency=authenticator.identify,
            theme=build_theme(),
            head=HEAD,
            app_kwargs=_app_arguments(studio, authenticator),
        )
        for name, seconds in _QUEUE_SLEEP_SECONDS.items():
            if hasattr(demo._queue, name):
                setattr(demo._queue, name, seconds)
        studio.registry.ensure_demo()
        for child in (studio.workbench, studio.registry.databench, studio.estimator):
            studio.scheduler.every(_CHORE_SECONDS, child.close_if_idle)
        studio.scheduler.start()
        _announce(settings, authenticator)
        try:
            _wait_for_signal()
        finally:
            studio.scheduler.close()
            studio.trials.close()
            studio.workbench.close()
            studio.registry.databench.close()
            studio.estimator.close()
            demo.close(verbose=False)
            studio.database.close()


def _app_arguments(studio: Studio, authenticator: Authenticator) -> dict[str, Any]:
    settings = studio.settings
    static = Mount(STATIC, StaticFiles(directory=settings.assets), name="static-lapidary")
    hosts = [*LOOPBACK, "[::1]"] if settings.is_local else ["*"]
    return {
        "routes": [static, *build_routes(studio, authenticator)],
        "docs_url": None,
        "redoc_url": None,
        "openapi_url": None,
        "middleware": [
            Middleware(TrustedHostMiddleware, allowed_hosts=hosts),
            Middleware(OriginGuard, trust_forwarded_host=settings.on_space),
            Middleware(SecurityHeaders, allow_framing=settings.on_space),
            Middleware(TokenLogin, authenticator=authenticator),
            Middleware(GZipMiddleware, minimum_size=1000),
        ],
    }


def _announce(settings: Settings, authenticator: Authenticator) -> None:
    address = f"http://{settings.host}:{settings.port}"
    if authenticator.needs_token and settings.access_token is None:
        address += f"/?token={authenticator.token}"
    logger.info("Lapidary is at %s", address)


class _only_studio:  # noqa: N801 - used like a function
    """Holds the home folder's lock: two schedulers on one database would start a job twice."""

    def __init__(self, home: Path) -> None:
        self.path = home / "studio.lock"
        self.file: IO[str] | None = None

    def __enter__(self) -> None:
        self.file = self.path.open("w")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.file.close()
            raise StorageFailed(
                f"Another studio is using {self.path.parent}. Use that one, end it, or set LAPIDARY_HOME "
                "to another folder."
            ) from error
        self.file.write(str(os.getpid()))
        self.file.flush()

    def __exit__(self, *error: object) -> None:
        if self.file is not None:
            self.file.close()


def _wait_for_signal() -> None:
    told = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        told.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    told.wait()
