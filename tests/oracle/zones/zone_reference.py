"""Local times of many zones, compared with Python's zoneinfo, and rules with their plain meaning.
Prints TAP.

    zone_reference.py PRINT_ZONE FOLDER

Zones: every file of the system's. Instants: at random from 1970 to 2100, and around every change of
an offset. Days: those around every change, and some at random; a day begins at the first instant
whose local date is not before it, found by going through the stretches between the changes.
"""
import datetime
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from zoneinfo import ZoneInfo

DAY = 86400
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
FIRST = 0
LAST = int((datetime.datetime(2100, 1, 1, tzinfo=datetime.timezone.utc) - EPOCH).total_seconds())
STEP = 10 * DAY  # two changes that undo each other within less are not looked for
N_RANDOM = 300
FEWEST_ZONES = 300


class Stretches:
    """An offset as a function of time, as stretches between changes."""

    def __init__(self, offset_at, first, last):
        self.starts, self.offsets = [first], [offset_at(first)]
        at = first
        while at < last:
            self.refine(offset_at, at, min(at + STEP, last))
            at += STEP

    def refine(self, offset_at, low, high):
        if offset_at(low) == offset_at(high):
            return
        if high - low > 1:
            middle = (low + high) // 2
            self.refine(offset_at, low, middle)
            self.refine(offset_at, middle, high)
        else:
            self.starts.append(high)
            self.offsets.append(offset_at(high))

    def day_start(self, day):
        ends = self.starts[1:] + [None]
        for start, end, offset in zip(self.starts, ends, self.offsets):
            at = max(start, day * DAY - offset)
            if end is None or at < end:
                return at
        return None


def expected_time(at, offset):
    local = EPOCH + datetime.timedelta(seconds=at + offset)
    return (f"{offset} {(at + offset) // DAY} {local.year} {local.month} {local.day} {local.hour} "
            f"{local.minute} {local.second}")


def questions(stretches, first, last, rng):
    instants = [rng.randrange(first, last) for _ in range(N_RANDOM)]
    days = [rng.randrange(first // DAY + 3, last // DAY - 3) for _ in range(N_RANDOM)]
    for change in stretches.starts[1:]:
        instants += [change - 1, change, change + 1, change + rng.randrange(-DAY, DAY)]
        days += [change // DAY + i for i in range(-1, 3)]
    days = [day for day in days if first // DAY + 3 <= day <= last // DAY - 3]
    return [at for at in instants if first <= at < last], days


def compare(print_zone, folder, name, offset_at, first, last):
    """(a sentence about the first difference or None, number of changes)."""
    rng = random.Random(name)
    stretches = Stretches(offset_at, first, last)
    instants, days = questions(stretches, first, last, rng)
    asked = [f"t {at}" for at in instants] + [f"d {day}" for day in days]
    expected = [expected_time(at, offset_at(at)) for at in instants]
    expected += [str(stretches.day_start(day)) for day in days]
    done = subprocess.run([print_zone, folder, name], input="\n".join(asked) + "\n",
                          capture_output=True, text=True)
    if done.returncode != 0:
        return f"{name}: {done.stderr.strip()}", 0
    got = done.stdout.splitlines()
    if len(got) != len(asked):
        return f"{name}: {len(got)} answers to {len(asked)} questions", 0
    for question, ours, theirs in zip(asked, got, expected):
        if ours != theirs:
            return f"{name}, {question}: '{ours}', expected '{theirs}'", 0
    return None, len(stretches.starts) - 1


def files(folder):
    """Names of zones; one of those that are the same bytes."""
    seen = {}
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not name.startswith(("posix/", "right/", "posixrules", "localtime")):
            data = path.read_bytes()
            if data.startswith(b"TZif"):
                seen.setdefault(data, name)
    return sorted(seen.values())


def check_system(print_zone, folder):
    names, n_changes = files(folder), 0
    for name in names:
        with open(Path(folder, name), "rb") as file:
            zone = ZoneInfo.from_file(file, key=name)

        def offset_at(at, zone=zone):
            when = EPOCH + datetime.timedelta(seconds=at)
            return round(when.astimezone(zone).utcoffset().total_seconds())
        wrong, n = compare(print_zone, folder, name, offset_at, FIRST, LAST)
        if wrong:
            return wrong, False
        n_changes += n
    return f"{len(names)} zones, {n_changes} changes", len(names) >= FEWEST_ZONES


def random_date(rng):
    """(text, function year -> days since 1970)."""
    form = rng.randrange(3)
    if form == 0:
        number = rng.randrange(1, 366)

        def julian(year):
            plain = datetime.date(2023, 1, 1) + datetime.timedelta(days=number - 1)
            return (datetime.date(year, plain.month, plain.day) - EPOCH.date()).days
        return f"J{number}", julian
    if form == 1:
        number = rng.randrange(0, 366)
        return str(number), lambda year: (datetime.date(year, 1, 1) - EPOCH.date()).days + number
    month, week, weekday = rng.randrange(1, 13), rng.randrange(1, 6), rng.randrange(7)

    def of_month(year):
        day = datetime.date(year, month, 1)
        found = []
        while day.month == month:
            if day.isoweekday() % 7 == weekday:
                found.append(day)
            day += datetime.timedelta(days=1)
        return (found[min(week, len(found)) - 1] - EPOCH.date()).days
    return f"M{month}.{week}.{weekday}", of_month


def random_time(rng, most_hours):
    seconds = rng.choice([rng.randrange(-most_hours * 3600, most_hours * 3600 + 1), 0, 7200,
                          most_hours * 3600, -most_hours * 3600])
    rest = abs(seconds)
    text = f"{'-' if seconds < 0 else rng.choice(['', '+'])}{rest // 3600}"
    if rest % 3600:
        text += f":{rest // 60 % 60:02}"
    if rest % 60:
        text += f":{rest % 60:02}"
    return text, seconds


def random_rule(rng):
    """(TZ string, function instant -> offset)."""
    west_text, west = random_time(rng, 24)
    summer_text, summer = (random_time(rng, 24) if rng.random() < 0.5 else ("", west - 3600))
    names = rng.choice([("ABC", "DEF"), ("<+0330>", "<-10>"), ("<-03>", "ABC"), ("Abcdef", "ghi")])
    dates = [random_date(rng), random_date(rng)]
    times = [random_time(rng, 167) if rng.random() < 0.8 else (None, 7200) for _ in dates]
    rule = "".join(f",{date[0]}" + (f"/{time[0]}" if time[0] else "")
                   for date, time in zip(dates, times))
    changes = []
    for year in range(1975, 1995):  # in this order, of which a stable sort keeps equals
        changes.append((dates[0][1](year) * DAY + times[0][1] + west, -summer))
        changes.append((dates[1][1](year) * DAY + times[1][1] + summer, -west))
    changes.sort(key=lambda change: change[0])

    def offset_at(at):
        return [offset for when, offset in changes if when <= at][-1]
    return f"{names[0]}{west_text}{names[1]}{summer_text}{rule}", offset_at


def check_rules(print_zone):
    rng, n_changes, n_rules = random.Random(5), 0, 60
    empty = b"TZif3" + bytes(15) + struct.pack(">6L", 0, 0, 0, 0, 1, 4) + bytes(6) + b"ABC\0"
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(n_rules):
            rule, offset_at = random_rule(rng)
            Path(folder, "Rule").write_bytes(empty + empty + b"\n" + rule.encode() + b"\n")
            first, last = 365 * DAY * 8, 365 * DAY * 21
            wrong, n = compare(print_zone, folder, "Rule", offset_at, first, last)
            if wrong:
                return f"{rule}: {wrong}", False
            n_changes += n
    return f"{n_rules} rules, {n_changes} changes", n_changes > 10 * n_rules


def main():
    print_zone, folder = sys.argv[1:]
    failed = False
    print("1..2")
    for number, (what, (detail, good)) in enumerate(
            [("local times are those of another implementation", check_system(print_zone, folder)),
             ("rules mean what they say", check_rules(print_zone))], 1):
        failed = failed or not good
        print(f"{'ok' if good else 'not ok'} {number} - {what}\n# {detail}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
