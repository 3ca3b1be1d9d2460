"""Whether a schema allows a value: Debian's python3-jsonschema; formats by the standard library."""
import datetime
import ipaddress
import re
import urllib.parse
import uuid

import jsonschema

CHECKER = jsonschema.FormatChecker(formats=())


def checks(name):
    return CHECKER.checks(name, raises=Exception)


@checks("date")
def is_date(text):
    return datetime.date.fromisoformat(text) and len(text) == 10


@checks("time")
def is_time(text):
    return bool(datetime.time.fromisoformat(text.replace("Z", "+00:00")).tzinfo)


@checks("date-time")
def is_date_time(text):
    return text[10] == "T" and is_date(text[:10]) and is_time(text[11:])


@checks("duration")
def is_duration(text):
    return bool(re.fullmatch(r"P(?!$)(?:\d+W|(?:\d+Y)?(?:\d+M)?(?:\d+D)?(?:T(?=\d)(?:\d+H)?"
                             r"(?:\d+M)?(?:\d+S)?)?)", text))


@checks("email")
def is_email(text):
    local, host = text.rsplit("@", 1)
    is_local = 0 < len(local) <= 64 and not re.search(r"^\.|\.\.|\.$|[\s@]", local)
    return is_local and is_hostname(host)


@checks("hostname")
def is_hostname(text):
    return len(text) <= 253 and all(re.fullmatch(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)", label)
                                    for label in text.split("."))


@checks("ipv4")
def is_ipv4(text):
    return bool(ipaddress.IPv4Address(text))


@checks("ipv6")
def is_ipv6(text):
    return ipaddress.IPv6Address(text) is not None


@checks("uuid")
def is_uuid(text):
    return str(uuid.UUID(text)) == text.lower()


@checks("uri")
def is_uri(text):
    return bool(urllib.parse.urlsplit(text).scheme) and not re.search(r"[\s\"<>\\^`{|}]", text)


def is_allowed(schema, value):
    return jsonschema.Draft202012Validator(schema, format_checker=CHECKER).is_valid(value)
