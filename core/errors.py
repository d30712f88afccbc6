"""Everything Pointsman raises on purpose.

::

    PointsmanError
    ├── ConfigError            the user's configuration is wrong; the process exits with 2
    ├── PluginError            a plugin broke the rules at start-up; names the distribution
    ├── ObjectRejected         one API object is malformed; it is skipped, the rest goes on
    └── DataplaneError
        ├── BackendUnavailable the backend can't run here; names the remedy
        ├── SyncError          nothing was applied; the same plan may be tried again
        └── ResyncRequired     the kernel's state is unknown; the next plan must be full
"""


class PointsmanError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(PointsmanError):
    """A setting is wrong; the message names it and says what would be right."""


class PluginError(PointsmanError):
    """A plugin broke the rules at start-up; the message names its distribution."""


class ObjectRejected(PointsmanError):
    """An API object can't be used.

    Attributes:
        kind: the object's kind, as far as known.
        name: ``namespace/name`` or ``name``, as far as known.
        field: JSON path of the field at fault, or ``$`` for the whole.
        reason: what is wrong with it.
    """

    def __init__(self, kind: str, name: str, field: str, reason: str) -> None:
        super().__init__(f"{kind} {name}: {field}: {reason}")
        self.kind = kind
        self.name = name
        self.field = field
        self.reason = reason


class DataplaneError(PointsmanError):
    """Base of what a dataplane may raise from its hooks.

    Attributes:
        backend: the backend's name.
    """

    def __init__(self, backend: str, message: str) -> None:
        super().__init__(f"{backend}: {message}")
        self.backend = backend


class BackendUnavailable(DataplaneError):
    """The backend can't run on this machine.

    Attributes:
        reason: what is missing.
        remedy: what the user can do about it.
    """

    def __init__(self, backend: str, reason: str, remedy: str) -> None:
        super().__init__(backend, f"{reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy


class SyncError(DataplaneError):
    """A sync failed and the kernel is as it was before; the plan may be tried again."""


class ResyncRequired(DataplaneError):
    """A sync failed and what the kernel holds is unknown; the next plan must be full."""
