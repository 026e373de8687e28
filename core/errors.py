"""Named errors. Each says what was wanted, what came and what to do."""

from __future__ import annotations

import errno

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says when nothing more can be written."""


class PerennialError(Exception):
    """Base of every error a user may meet.

    Parameters
    ----------
    wanted, came, do : str
        One clause each: what was expected, what was found, what mends it.

    Attributes
    ----------
    code : str
        Stable machine word, used by HTTP, `--json` and tests.
    retryable : bool
        True when the same call may succeed later without any change.
    """

    code = "error"
    retryable = False

    def __init__(self, wanted: str, *, came: str, do: str) -> None:
        self.wanted, self.came, self.do = wanted, came, do
        super().__init__(f"wanted {wanted}; came {came}; {do}")


class ParamsError(PerennialError):
    """params.yaml holds an unknown key, a wrong kind or an impossible value."""

    code = "params_invalid"


class SettingsError(PerennialError):
    """The environment (`PERENNIAL_*`) holds a value that cannot be used."""

    code = "settings_invalid"


class SourceUnreachable(PerennialError):
    """The source database did not answer, or the connection was lost."""

    code = "source_unreachable"
    retryable = True


class QueryRefused(PerennialError):
    """The query failed, or its result lacks a column or holds no row."""

    code = "query_refused"


class DatabaseUnreachable(PerennialError):
    """Perennial's own database did not answer."""

    code = "database_unreachable"
    retryable = True


class RegistryUnreachable(PerennialError):
    """MLflow's database did not answer."""

    code = "registry_unreachable"
    retryable = True


class FlowServerUnreachable(PerennialError):
    """The Prefect server did not answer."""

    code = "flow_server_unreachable"
    retryable = True


class DiskFull(PerennialError):
    """There is no room left where something had to be written."""

    code = "disk_full"


class DataCheckFailed(PerennialError):
    """A critical data check failed; the champion stays."""

    code = "data_check_failed"


class TrainingImpossible(PerennialError):
    """The rows cannot carry a classifier (one label only, no test rows, ...)."""

    code = "training_impossible"


class EmbedderUnusable(PerennialError):
    """The embedder could not be built, loaded or called."""

    code = "embedder_unusable"


class EmbedderUnavailable(PerennialError):
    """The embedder service did not answer in time; it may be starting again."""

    code = "embedder_unavailable"
    retryable = True


class Overloaded(PerennialError):
    """More is waiting than can be answered in time."""

    code = "overloaded"
    retryable = True


class KeysUnusable(PerennialError):
    """The API keys are missing where they are needed, or their file cannot be read."""

    code = "keys_unusable"


class HeadRefused(PerennialError):
    """A head file is corrupt, or belongs to another embedder."""

    code = "head_refused"


class StageFailed(PerennialError):
    """A DVC stage ended with an error."""

    code = "stage_failed"


class NotReproducible(PerennialError):
    """What a version was made from is not all there: a tag, a cached file, its record in MLflow."""

    code = "not_reproducible"


class UncommittedChanges(PerennialError):
    """A retraining runs what is committed; something is not."""

    code = "uncommitted_changes"


class Busy(PerennialError):
    """Another run of the same classifier holds the lock."""

    code = "busy"
    retryable = True


class UnknownClassifier(PerennialError):
    """No classifier of that name."""

    code = "unknown_classifier"


class UnknownVersion(PerennialError):
    """No retained version of that number."""

    code = "unknown_version"


class UnknownRequest(PerennialError):
    """No logged inference of that request id."""

    code = "unknown_request"


class InvalidPhrase(PerennialError):
    """A phrase is empty, too long or not text. `field` names it in the request."""

    code = "invalid_phrase"

    def __init__(self, wanted: str, *, came: str, do: str, field: str = "phrase") -> None:
        super().__init__(wanted, came=came, do=do)
        self.field = field


class InvalidFeedback(PerennialError):
    """A feedback row lacks a field or names a label that the classifier does not have."""

    code = "invalid_feedback"


class PortTaken(PerennialError):
    """A port of the settings is in use by something else."""

    code = "port_taken"


class ProcessFailed(PerennialError):
    """A process of `perennial up` did not become ready."""

    code = "process_failed"
