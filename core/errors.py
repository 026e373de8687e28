"""Errors with a name, a stable code and advice. The branch says who can do something about one.

```text
PerennialError
├── TransientError   the same call may succeed later, unchanged: retry it       retryable
├── UserError        the caller or the data owner has to change something
│   ├── UsageError   a parameter, a setting or an argument; exit code 2
│   └── DataError    the query, the rows or the feedback; exit code 1
└── MachineError     an operator has to repair this machine: disk, file, process
```

Every concrete error belongs to one branch, which says whether it is `retryable`. It states what was
expected, what was found and what to do. `docs/operations.md` lists every code with its remedy.
"""

from __future__ import annotations

import errno

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # nothing more can be written


class PerennialError(Exception):
    """Base of every error that a user may meet.

    Parameters
    ----------
    wanted, came, do : str
        One clause each: what was expected, what was found, what to do.

    Attributes
    ----------
    code : str
        Stable word for programs, used by HTTP, `--json` and tests.
    retryable : bool
        True when the same call may succeed later without any change.
    """

    code = "error"
    retryable = False

    def __init__(self, wanted: str, *, came: str, do: str) -> None:
        self.wanted = wanted
        self.came = came
        self.do = do
        super().__init__(f"expected {wanted}, got {came}; {do}")


class TransientError(PerennialError):
    """Something is away or busy for now: the same call may succeed later without any change."""

    retryable = True


class UserError(PerennialError):
    """The caller or the data owner has to change something; a retry cannot help."""


class UsageError(UserError):
    """A parameter, a setting or an argument cannot be used. The command line exits with 2."""


class DataError(UserError):
    """A query, rows, feedback or a request id cannot be used. The command line exits with 1."""


class MachineError(PerennialError):
    """An operator has to repair a disk, a file or a process of this machine."""


# Transient: retry.


class SourceUnreachable(TransientError):
    """The source database did not answer, lost the connection, or cancelled the query."""

    code = "source_unreachable"


class DatabaseUnreachable(TransientError):
    """Perennial's own database did not answer."""

    code = "database_unreachable"


class RegistryUnreachable(TransientError):
    """MLflow's database did not answer."""

    code = "registry_unreachable"


class FlowServerUnreachable(TransientError):
    """The Prefect server did not answer."""

    code = "flow_server_unreachable"


class EmbedderUnavailable(TransientError):
    """The embedder service did not answer in time; it may be restarting."""

    code = "embedder_unavailable"


class Overloaded(TransientError):
    """More requests wait than can be answered in time."""

    code = "overloaded"


class TooManyAttempts(TransientError):
    """Too many attempts to sign in failed lately."""

    code = "too_many_attempts"


class ProviderUnreachable(TransientError):
    """The OpenID provider did not answer."""

    code = "provider_unreachable"


class Busy(TransientError):
    """Another run holds the lock: of the same classifier, or of the same home."""

    code = "busy"


# Usage: correct the call, params.yaml or the environment.


class ParamsError(UsageError):
    """params.yaml contains an unknown key, a value of the wrong type or an impossible value."""

    code = "params_invalid"


class InvalidPeriod(UsageError):
    """The days or the grouping of a report cannot be used."""

    code = "period_invalid"


class SettingsError(UsageError):
    """An environment variable (`PERENNIAL_*`) has a value that cannot be used."""

    code = "settings_invalid"


class KeysUnusable(UsageError):
    """The API keys are missing where they are required, or their file cannot be read."""

    code = "keys_unusable"


class UsersNeeded(UsageError):
    """The console would be open to other machines, and nobody could sign in."""

    code = "users_needed"


class PersonRefused(UsageError):
    """A user of the console has an unusable name or password, exists already, or is unknown."""

    code = "person_refused"


class SignInNeeded(UsageError):
    """The console does not know who asks."""

    code = "sign_in_needed"


class SignInRefused(UsageError):
    """Name and password, or the answer of the OpenID provider, admit nobody."""

    code = "sign_in_refused"


class RoleNeeded(UsageError):
    """A person's role does not allow what they asked for."""

    code = "role_needed"


class UncommittedChanges(UsageError):
    """A retraining runs the committed code, and something is not committed."""

    code = "uncommitted_changes"


class UnknownClassifier(UsageError):
    """There is no classifier of that name."""

    code = "unknown_classifier"


class UnknownVersion(UsageError):
    """There is no retained version of that number, or it cannot play the role."""

    code = "unknown_version"


class RejectedVersion(UsageError):
    """The gate or a person rejected the version, and it is to be promoted without `--force`."""

    code = "rejected_version"


class InvalidPhrase(UsageError):
    """A phrase is empty, too long or not text. `field` names it in the request."""

    code = "invalid_phrase"

    def __init__(self, wanted: str, *, came: str, do: str, field: str = "phrase") -> None:
        super().__init__(wanted, came=came, do=do)
        self.field = field


# Data: correct the query, the source or the feedback.


class QueryRefused(DataError):
    """The query failed, or its result lacks a column or contains no row."""

    code = "query_refused"


class DataCheckFailed(DataError):
    """A critical data check failed; the champion stays."""

    code = "data_check_failed"


class TrainingImpossible(DataError):
    """The rows cannot support a classifier: only one label, no test rows, ..."""

    code = "training_impossible"


class InvalidFeedback(DataError):
    """A feedback row lacks a field, or names a label that the classifier does not have."""

    code = "invalid_feedback"


class InvalidReview(DataError):
    """A review of a drift window says nothing that can be acted on."""

    code = "invalid_review"


class UnknownRequest(DataError):
    """There is no logged inference with that request id."""

    code = "unknown_request"


# Machine: repair the disk, the file or the process.


class DiskFull(MachineError):
    """There is no room left where something had to be written."""

    code = "disk_full"


class EmbedderUnusable(MachineError):
    """The embedder could not be built, loaded or called."""

    code = "embedder_unusable"


class HeadRefused(MachineError):
    """A head file is corrupt, or belongs to another embedder."""

    code = "head_refused"


class StageFailed(MachineError):
    """A DVC stage ended with an error."""

    code = "stage_failed"


class NotReproducible(MachineError):
    """Something that a version was made from is gone: a tag, a cached file, a record in MLflow."""

    code = "not_reproducible"


class PortTaken(MachineError):
    """Another program uses a port of the settings."""

    code = "port_taken"


class ProcessFailed(MachineError):
    """A process of `perennial up` did not become ready."""

    code = "process_failed"
