"""The plugin that brings the source ``files``."""

from pointsman.core.config import ProxyConfig
from pointsman.core.hookspecs import hookimpl
from pointsman.core.source import Source, SourceRegistry, SourceSpec


def _make(argument: str, _config: ProxyConfig) -> Source:
    # Imported late: whoever takes objects from elsewhere needn't pay for reading and watching files.
    from .source import FilesSource

    return FilesSource(argument)


SPEC = SourceSpec(
    "files", "YAML and JSON files of a directory, or one file, and their changes: files:PATH", _make
)


@hookimpl
def pointsman_register_sources(registry: SourceRegistry) -> None:
    """Add the source."""
    registry.add(SPEC)
