"""What a log line holds, and what it never holds."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from hypothesis import given
from hypothesis import strategies as st

from core.logs import configure_logs, first_line, get_logger, redact, timed

Lines = Callable[[], list[dict[str, Any]]]

SECRET = "sEcr3t"
URLS = {
    "plain": f"postgresql://u:{SECRET}@h/d",
    "with a driver": f"postgresql+psycopg://u:{SECRET}@h:5432/d",
    "a slash in the password": f"postgresql://u:{SECRET}/{SECRET}@h/d",
    "a colon in the password": f"postgresql://u:{SECRET}:{SECRET}@h/d",
    "signs in the password": f"postgresql://u:?{SECRET}#&{SECRET}%40@h/d",
    "no user": f"redis://:{SECRET}@h/d",
    "in the query": f"postgresql://h/d?password={SECRET}",
    "later in the query": f"postgresql://h/d?user=u&password={SECRET}&sslmode=require",
    "in capitals": f"postgresql://h/d?PASSWORD={SECRET}",
    "a key's password": f"postgresql://h/d?sslpassword={SECRET}",
    "both": f"postgresql://u:{SECRET}@h/d?password={SECRET}",
    "on a socket": f"postgresql://u:{SECRET}@/d?host=/tmp/pg",
}
HARMLESS = [
    "http://127.0.0.1:4200/api",
    "postgresql://u@h/d?sslmode=require",
    "postgresql://postgres:@/prefect?host=/tmp/pg",
    "at 12:30 a@b wrote: see https://h/d?page=2",
    "s3://bucket/key:with:colons",
    "token count: 5, tokens: 12, max_tokens=5, tokenizer: sp.model",
    "FATAL: password authentication failed for user u",
    "PERENNIAL_API_KEYS_FILE=/etc/keys, api keys: 3, key: routing, keys=3, monkey=1, bypass=1",
    "secretary: ill, passage: 3",
    "",
]
every_url = pytest.mark.parametrize("url", URLS.values(), ids=URLS)


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    configure_logs("json")
    structlog.contextvars.clear_contextvars()
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(), "OSError"),
        (ValueError(" \n "), "ValueError"),
        (ValueError("\n no room \nat all"), "no room"),
        (sa.exc.OperationalError("select 1", {}, OSError("gone\naway")), "gone"),
        (sa.exc.OperationalError("select 1", {}, OSError()), "OSError"),
        (OSError(f"no route to postgresql://u:{SECRET}@h/d"), "no route to postgresql://u:***@h/d"),
    ],
)
def test_the_first_line_of_an_error_is_never_missing(error: Exception, line: str) -> None:
    assert first_line(error) == line


def only(lines: Lines) -> dict[str, Any]:
    [line] = lines()
    return line


def test_a_line_is_json_with_level_moment_and_fields(lines: Lines) -> None:
    get_logger().warning("heads refreshed", swaps=2)
    line = only(lines)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "heads refreshed", "level": "warning", "swaps": 2}


def test_a_line_holds_the_bound_context_and_the_next_one_does_not(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(run="r1", classifier="organ"):
        get_logger().info("inside")
    get_logger().info("outside")
    inside, outside = lines()
    assert (inside["run"], inside["classifier"]) == ("r1", "organ")
    assert not {"run", "classifier"} & set(outside)


def test_logs_leave_standard_output_to_results(
    capsys: pytest.CaptureFixture[str], lines: Lines
) -> None:
    get_logger().info("to standard error")
    assert capsys.readouterr().out == ""


def test_a_console_line_is_for_reading(capsys: pytest.CaptureFixture[str], lines: Lines) -> None:
    configure_logs("console")
    get_logger().info("ready", url=URLS["plain"])
    line = capsys.readouterr().err
    assert "ready" in line
    assert SECRET not in line
    with pytest.raises(json.JSONDecodeError):
        json.loads(line)


def test_in_a_pipe_auto_is_json(lines: Lines) -> None:
    configure_logs("auto")
    get_logger().info("piped")
    assert only(lines)["event"] == "piped"


def test_a_timed_step_logs_start_end_and_seconds(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(run="r1"), timed("train", classifier="organ"):
        get_logger().info("within")
    start, within, end = lines()
    assert (start["event"], start["state"], start["classifier"]) == ("train", "start", "organ")
    assert "seconds" not in start
    assert within["event"] == "within"
    assert (end["event"], end["state"], end["classifier"], end["level"]) == (
        "train",
        "end",
        "organ",
        "info",
    )
    assert 0 <= end["seconds"] < 60
    assert start["run"] == end["run"] == "r1"


@pytest.mark.parametrize("error", [ValueError("no rows"), KeyboardInterrupt("stopped")])
def test_a_timed_step_that_fails_says_why_and_lets_the_error_pass(
    lines: Lines, error: BaseException
) -> None:
    with pytest.raises(type(error)) as caught, timed("train", classifier="organ"):
        raise error
    assert caught.value is error
    start, failed = lines()
    assert (start["state"], failed["state"], failed["level"]) == ("start", "failed", "error")
    assert failed["error"] == f"{type(error).__name__}: {error}"
    assert (failed["classifier"], failed["seconds"] >= 0) == ("organ", True)


@every_url
def test_redaction_blanks_the_password_and_keeps_the_host(url: str) -> None:
    shown = redact(f"could not connect to {url} in 10 s")
    assert SECRET not in shown
    assert "***" in shown
    assert shown.startswith("could not connect to ")
    assert shown.endswith(" in 10 s")
    assert re.search(r"(@|//)(h(:5432)?)?/d", shown)
    assert redact(shown) == shown


def test_redaction_keeps_what_locates_the_database() -> None:
    assert redact(URLS["plain"]) == "postgresql://u:***@h/d"
    assert (
        redact(URLS["later in the query"]) == "postgresql://h/d?user=u&password=***&sslmode=require"
    )


def test_every_url_of_a_text_is_redacted() -> None:
    assert redact(f"{URLS['plain']} to {URLS['no user']}\n{URLS['in the query']}") == (
        "postgresql://u:***@h/d to redis://:***@h/d\npostgresql://h/d?password=***"
    )


def test_a_password_with_an_at_sign_is_redacted_whole() -> None:
    assert redact(f"postgresql://u:p@{SECRET}@h/d") == "postgresql://u:***@h/d"


def test_a_connection_string_is_redacted() -> None:
    assert redact(f"host=h password={SECRET} dbname=d") == "host=h password=*** dbname=d"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            f"mssql://h/d?odbc_connect=UID%3Du%3BPWD%3D{SECRET}&x=1",
            "mssql://h/d?odbc_connect=UID%3Du%3BPWD%3D***&x=1",
        ),
        (f"DRIVER=x;PWD={{{SECRET} ;}}}}{SECRET}}};SERVER=h (08001)", "DRIVER=x;PWD=*** (08001)"),
        (f"https://h/d?access_token={SECRET}&page=2", "https://h/d?access_token=***&page=2"),
        (
            f"PERENNIAL_API_KEY={SECRET} AWS_SECRET_ACCESS_KEY={SECRET}",
            "PERENNIAL_API_KEY=*** AWS_SECRET_ACCESS_KEY=***",
        ),
        (f"ssl_key_passphrase={SECRET} x", "ssl_key_passphrase=*** x"),
        (f"password: {SECRET}\nuser: u", "password: ***\nuser: u"),
        (f'{{"password": "{SECRET}", "user": "u"}}', '{"password": "***", "user": "u"}'),
        (f'"{{\\"password\\": \\"{SECRET} x\\"}}"', '"{\\"password\\": \\"***\\"}"'),
        (f'"{{\\"password\\": \\"a \\\\\\" {SECRET}\\"}}"', '"{\\"password\\": \\"***\\"}"'),
        (f"connect(password='a {SECRET}', port=1)", "connect(password='***', port=1)"),
        (f"password='a \\' {SECRET}' dbname=d", "password='***' dbname=d"),
        (f"password = 'a '' {SECRET}' dbname=d", "password = '***' dbname=d"),
        (f"password='a {SECRET}", "password='***'"),
        (f"password='a'{SECRET} dbname=d", "password='***' dbname=d"),
        (f"password=a\\ {SECRET}&{SECRET}&user=u", "password=***&user=u"),
        (f"Authorization: Bearer {SECRET} sent", "Authorization: Bearer *** sent"),
    ],
)
def test_what_follows_the_name_of_a_secret_is_blanked(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


NAMES = [
    "password",
    "PWD",
    "passwd",
    "sslpassword",
    "access_token",
    "api_key",
    "x-api-key",
    "apikey",
    "DB_PASS",
    "key_passphrase",
    "secret",
]
SIGNS = "!#$%*+,-./:;<=>?@[]^_{|}~&"
bare = st.text(string.ascii_letters + string.digits + SIGNS).filter(
    lambda text: "=" not in text
)  # `&name=` begins another value
spaced = st.text(string.ascii_letters + SIGNS + " \t\n\"'\\")
names = st.sampled_from(NAMES).flatmap(
    lambda name: st.sampled_from([name, name.upper(), f"my_{name}"])
)


@given(
    names,
    st.sampled_from(["=", ": ", ":", " = ", "%3D", " => "]),
    st.sampled_from(["", "see ", "?x=1&", '{"']),
    bare,
    bare,
)
def test_no_planted_secret_survives(
    name: str, separator: str, before: str, head: str, tail: str
) -> None:
    assert SECRET not in redact(f"{before}{name}{separator}{head}{SECRET}{tail} after")


@given(
    names,
    st.sampled_from(["=", ": ", " = "]),
    st.sampled_from(["'", '"', "''", '""']),
    spaced,
    spaced,
)
def test_no_planted_secret_survives_in_quotes(
    name: str, separator: str, quote: str, head: str, tail: str
) -> None:
    mark = quote[0]
    text = f"{head}{SECRET}{tail}".replace("\\", "\\\\")
    escaped = text.replace(mark, 2 * mark if len(quote) == 2 else f"\\{mark}")
    assert SECRET not in redact(f"{name}{separator}{mark}{escaped}{mark}, user=u")


@given(spaced)
def test_no_planted_secret_survives_in_json(text: str) -> None:
    record = {"user": "u", "password": f"{text}{SECRET}", "at": 1}
    assert SECRET not in redact(json.dumps(record)) + redact(
        json.dumps(json.dumps(record))
    ) + redact(repr(record))


@pytest.mark.parametrize(
    "part",
    [
        "a",
        "://a:",
        "password=",
        "password='",
        "password={ ",
        "password\\",
        'password="\\',
        "password: ",
        "pwd&",
        "'",
        "\\'",
    ],
)
def test_no_text_takes_long_to_redact(part: str) -> None:
    """A quadratic pattern would take minutes for a megabyte; the suite's own time limit ends it."""
    text = f"password=://:{part * (2**20 // len(part))}"
    assert len(redact(text)) <= len(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_text_without_a_password_stays(text: str) -> None:
    assert redact(text) == text


@every_url
def test_no_line_holds_a_password(
    lines: Lines, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    with structlog.contextvars.bound_contextvars(source=url):
        get_logger().info(f"asked {url}", url=url, error=ConnectionError(f"refused by {url}"))
    printed = capsys.readouterr().err
    assert SECRET not in printed
    line = json.loads(printed)
    assert all("***" in line[key] for key in ("event", "url", "error", "source"))


@every_url
def test_no_traceback_holds_a_password(
    lines: Lines, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    try:
        try:
            raise ConnectionError(f"refused by {url}")
        except ConnectionError as cause:
            raise RuntimeError(f"no rows from {url}") from cause
    except RuntimeError:
        get_logger().exception("extract failed")
    printed = capsys.readouterr().err
    assert SECRET not in printed
    assert "RuntimeError: no rows from" in json.loads(printed)["exception"]


@every_url
def test_no_failed_step_holds_a_password(
    lines: Lines, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    with pytest.raises(ConnectionError), timed("extract", source=url):
        raise ConnectionError(f"refused by {url}")
    printed = capsys.readouterr().err
    assert SECRET not in printed
    assert "ConnectionError: refused by" in printed


@pytest.mark.parametrize(
    "value",
    [
        [URLS["plain"]],
        {"url": URLS["plain"]},
        (URLS["plain"],),
        {"tried": [{"url": URLS["plain"]}]},
    ],
)
def test_no_nested_value_holds_a_password(
    lines: Lines, capsys: pytest.CaptureFixture[str], value: object
) -> None:
    get_logger().info("tried", places=value)
    printed = capsys.readouterr().err
    assert SECRET not in printed
    assert "postgresql://u:***@h/d" in printed
