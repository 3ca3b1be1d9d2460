"""Reports, FOCUS rows and invoices, made again from the entries by other means: SQL for the dump,
zoneinfo for the days, fractions for the money."""
import csv
import datetime
import io
import json
import sqlite3
import subprocess
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import golden

NANO = 10**9
SUMS = ["requests", "input_tokens", "cached_tokens", "output_tokens", "amount_nano"]
DIRECTIONS = ["input", "cached", "output"]


def make_books(program, name="books.db", *words):
    """Made-up books; golden.main was given their maker."""
    subprocess.run([program.synth_model, "-o", name, *words], cwd=program.folder, check=True)
    return Path(program.folder, name)


def dump(path):
    """Every settlement with its holders, and the prices by version."""
    books = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    books.row_factory = sqlite3.Row
    entries = [dict(row) for row in books.execute(
        "SELECT e.id, e.at_ns, e.model, e.class, e.price, e.input_tokens, e.cached_tokens,"
        " e.output_tokens, e.amount_nano, o.id AS org_id, p.id AS project_id, o.name AS org,"
        " o.name || '/' || t.name AS team, o.name || '/' || t.name || '/' || p.name AS project,"
        " o.name || '/' || t.name || '/' || p.name || '/' || k.name AS key"
        " FROM entry e, holder k, holder p, holder t, holder o WHERE e.kind = 'settle'"
        " AND k.id = e.api_key AND p.id = k.parent AND t.id = p.parent AND o.id = t.parent")]
    prices = {0: (0, 0, 0)}
    for row in books.execute("SELECT id, input_nano, cached_nano, output_nano FROM price"):
        prices[row[0]] = tuple(row)[1:]
    books.close()
    return entries, prices


def local(entry, zone):
    utc = datetime.datetime.fromtimestamp(entry["at_ns"] // NANO, datetime.timezone.utc)
    return utc.astimezone(ZoneInfo(zone))


def label(entry, dimension, zone):
    time = local(entry, zone)
    if dimension == "hour":
        offset = time.strftime("%z")
        return time.strftime("%Y-%m-%d %H:00") + offset[:3] + ":" + offset[3:]
    if dimension == "day":
        return time.strftime("%Y-%m-%d")
    if dimension == "week":
        return (time.date() - datetime.timedelta(days=time.weekday())).isoformat()
    if dimension == "month":
        return time.strftime("%Y-%m")
    return entry[dimension]


def within(entry, zone, first, last):
    return first <= local(entry, zone).date().isoformat() <= last


def add(sums, entry):
    sums["requests"] += 1
    for name in SUMS[1:]:
        sums[name] += entry[name]


REPORTS = [
    # by, period, its first and last day, zone, part of the tree, model
    ("project", "2026-11", "2026-11-01", "2026-11-30", "UTC", None, None),
    ("org,model,class,price", "2026", "2026-01-01", "2026-12-31", "UTC", None, None),
    ("day,team", "2026-10-20..2026-11-05", "2026-10-20", "2026-11-05", "Europe/Berlin", None, None),
    ("hour,key", "2026-10-25", "2026-10-25", "2026-10-25", "Europe/Berlin", None, None),
    ("week,model", "all", "1970-01-01", "2261-12-31", "Pacific/Auckland", "acme", None),
    ("month,project", "2026-10..2026-11", "2026-10-01", "2026-11-30", "America/St_Johns", None,
     "demo"),
    ("key", "2026-11-03", "2026-11-03", "2026-11-03", "Asia/Kathmandu", "acme/research", "writer"),
]


def recompute(entries, by, first, last, zone, path, model):
    """{labels: sums}, the total, and the entries."""
    rows, total, chosen = defaultdict(lambda: dict.fromkeys(SUMS, 0)), dict.fromkeys(SUMS, 0), []
    for entry in entries:
        if not within(entry, zone, first, last) or (model and entry["model"] != model):
            continue
        if path and not (entry["key"] + "/").startswith(path + "/"):
            continue
        add(rows[tuple(label(entry, d, zone) for d in by)], entry)
        add(total, entry)
        chosen.append(entry)
    return rows, total, chosen


def every_report_is_what_the_entries_say(program):
    path = make_books(program)
    entries, _ = dump(path)
    for by, period, first, last, zone, part, model in REPORTS:
        words = ["usage", "--books", path, "--by", by, "--period", period, "--zone", zone]
        words += ["--in", part] if part else []
        words += ["--model", model] if model else []
        by = by.split(",")
        rows, total, chosen = recompute(entries, by, first, last, zone, part, model)
        assert len(rows) > 1 or by == ["key"], (by, len(rows))
        report = json.loads(program.good(*words, "--format", "json"))
        found = {tuple(row[d] for d in by): {s: row[s] for s in SUMS} for row in report["rows"]}
        assert found == dict(rows), (period, by)
        assert len(report["rows"]) == len(found)
        assert {s: report["total"][s] for s in SUMS} == total
        assert Fraction(report["total"]["amount"]) * NANO == total["amount_nano"]
        ids = [entry["id"] for entry in chosen]
        assert report["entries"] == {"first": min(ids, default=0), "last": max(ids, default=0),
                                     "count": len(ids)}
        table = list(csv.DictReader(io.StringIO(program.good(*words, "--format", "csv").decode(),
                                                newline=""), strict=True))
        assert [[row[d] for d in by] for row in table] == [[str(row[d]) for d in by]
                                                           for row in report["rows"]]
        for row, same in zip(table, report["rows"], strict=True):
            assert {s: int(row[s]) for s in SUMS} == {s: same[s] for s in SUMS}
            assert Fraction(row["amount"]) * NANO == same["amount_nano"]
            assert [int(v) for v in row["price_versions"].split()] == same["price_versions"]
        lines = program.good(*words).decode().splitlines()
        assert lines[0] == f"{first} to {last}, {zone}"
        assert len(lines) == len(rows) + 4
        assert lines[-1].split()[1:5] == [str(total[s]) for s in SUMS[:4]]
        assert Fraction(lines[-1].split()[5]) * NANO == total["amount_nano"]


def costs(entries, prices):
    """{direction: (tokens, exact cost in units)} of entries at one version, and their rounding."""
    version = prices[entries[0]["price"]]
    parts, exact = {}, Fraction(0)
    for direction, price in zip(DIRECTIONS, version, strict=True):
        tokens = sum(entry[f"{direction}_tokens"] for entry in entries)
        cost = Fraction(tokens * price, 10**6 * NANO)
        exact += cost
        if tokens:
            parts[direction] = (tokens, Fraction(price, NANO), cost)
    return parts, Fraction(sum(entry["amount_nano"] for entry in entries), NANO) - exact


def amounts_are_those_of_tokens_at_the_version_rounded_up_once(program):
    entries, prices = dump(make_books(program))
    for entry in entries:
        exact = sum(entry[f"{d}_tokens"] * p
                    for d, p in zip(DIRECTIONS, prices[entry["price"]], strict=True))
        assert entry["amount_nano"] == -(-exact // 10**6), entry


def instant(day, zone):
    return (datetime.datetime.combine(day, datetime.time(), ZoneInfo(zone))
            .astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))


def focus_rows_are_what_the_entries_say(program):
    path = make_books(program)
    entries, prices = dump(path)
    for zone in ["UTC", "Europe/Berlin"]:
        groups, wanted = defaultdict(list), {}
        for entry in entries:
            if within(entry, zone, "2026-10-01", "2026-11-30"):
                groups[(local(entry, zone).date(), entry["project"], entry["model"],
                        entry["class"], entry["price"])].append(entry)
        for (day, project, model, kind, version), members in groups.items():
            parts, rounding = costs(members, prices)
            same = (instant(day, zone), instant(day + datetime.timedelta(days=1), zone), project)
            for direction, (tokens, price, cost) in parts.items():
                sku = f"{model}/{kind}/{direction}@{version}"
                wanted[(*same, sku)] = (cost, tokens, price)
            if rounding:
                wanted[(*same, f"rounding {model} {kind} {version}")] = (rounding, None, None)
        out = program.good("usage", "--books", path, "--period", "2026-10..2026-11", "--zone", zone,
                           "--format", "focus").decode()
        assert out.count("\r\n") == out.count("\n")
        rows = list(csv.DictReader(io.StringIO(out, newline=""), strict=True))
        found = {}
        for row in rows:
            tags = json.loads(row["Tags"])
            name = row["SkuPriceId"] or "rounding {} {} {}".format(
                tags["tokenworks/model"], tags["tokenworks/class"],
                row["ChargeDescription"].rsplit(" ", 1)[1])
            key = (row["ChargePeriodStart"], row["ChargePeriodEnd"], row["SubAccountName"], name)
            assert key not in found
            tokens = int(row["ConsumedQuantity"]) if row["ConsumedQuantity"] else None
            price = Fraction(row["ListUnitPrice"]) if row["ListUnitPrice"] else None
            found[key] = (Fraction(row["BilledCost"]), tokens, price)
            if tokens is not None:
                assert Fraction(row["PricingQuantity"]) == Fraction(tokens, 10**6)
                assert row["PricingUnit"] == "1000000 Tokens" and row["ConsumedUnit"] == "Tokens"
            for same in ["ListCost", "EffectiveCost", "ContractedCost"]:
                assert row[same] == row["BilledCost"]
            start = datetime.datetime.fromisoformat(row["ChargePeriodStart"][:-1] + "+00:00")
            month = start.astimezone(ZoneInfo(zone)).strftime("%Y-%m")
            assert row["InvoiceId"] == f"{row['BillingAccountId']}-{month}-{zone}"
        assert found == wanted
        members = [entry for group in groups.values() for entry in group]
        assert sum(cost for cost, _, _ in found.values()) * NANO == sum(
            entry["amount_nano"] for entry in members)


def an_invoice_is_what_the_entries_say(program):
    path = make_books(program)
    entries, prices = dump(path)
    for org, zone in [("acme", "UTC"), ("globex", "Europe/Berlin")]:
        mine = [e for e in entries if e["org"] == org and within(e, zone, "2026-10-01",
                                                                 "2026-10-31")]
        groups, lines, rounding = defaultdict(list), {}, Fraction(0)
        for entry in mine:
            groups[(entry["project"], entry["model"], entry["class"], entry["price"])].append(entry)
        for key, members in groups.items():
            parts, added = costs(members, prices)
            rounding += added
            lines.update({(*key, d): part for d, part in parts.items()})
        words = ["usage", "invoice", "--books", path, "--org", org, "--month", "2026-10", "--zone",
                 zone, "--provider", "IT of Acme"]
        invoice = json.loads(program.good(*words, "--format", "json"))
        found = {(line["project"], line["model"], line["class"], line["price_version"],
                  line["direction"]):
                 (line["tokens"], Fraction(line["price_per_million"]), Fraction(line["amount"]))
                 for line in invoice["lines"]}
        assert found == lines and len(invoice["lines"]) == len(lines)
        assert Fraction(invoice["rounding"]) == rounding
        total = sum(entry["amount_nano"] for entry in mine)
        assert invoice["total_nano"] == total and Fraction(invoice["total"]) * NANO == total
        assert invoice["final"] is True and invoice["zone"] == zone
        ids = [entry["id"] for entry in mine]
        assert invoice["entries"] == {"first": min(ids), "last": max(ids), "count": len(ids)}
        assert invoice["invoice"] == f"{mine[0]['org_id']}-2026-10-{zone}"
        text = program.good(*words).decode().splitlines()
        assert text[0] == "Invoice " + invoice["invoice"]
        printed = [line.split() for line in text if line.startswith(org + "/")]
        assert {(p, m, c, int(v), d): (int(t), Fraction(u), Fraction(a))
                for p, m, c, d, v, t, u, a in printed} == lines
        assert Fraction(text[-3].split()[-1]) * NANO == total and text[-3].startswith("total")


def a_month_to_come_has_an_invoice_that_is_not_final(program):
    path = make_books(program, "late.db", "--from", "2199-03-01", "--days", "3")
    out = program.good("usage", "invoice", "--books", path, "--org", "acme", "--month", "2199-03")
    assert b"NOT FINAL" in out.splitlines()[0]


def names_cannot_become_formulas(program):
    path = make_books(program)
    books = sqlite3.connect(path)
    books.execute("""UPDATE holder SET name = '=cmd|"/c calc"!A1' WHERE name = 'acme'""")
    books.execute("UPDATE entry SET model = '@SUM(1,2)' WHERE model = 'demo'")
    books.commit()
    books.close()
    for words in [["--by", "org,project,model", "--format", "csv"], ["--format", "focus"]]:
        out = program.good("usage", "--books", path, "--period", "2026-11", *words).decode()
        cells = [cell for row in csv.reader(io.StringIO(out, newline=""), strict=True)
                 for cell in row]
        assert any("cmd|" in cell for cell in cells) and any("@SUM" in cell for cell in cells)
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)


def reports_are_read_beside_a_writer_and_change_nothing(program):
    path = make_books(program)
    words = ["usage", "--books", path, "--period", "all", "--format", "json"]
    assert program.good(*words) == program.good(*words[:-2], "--json")
    before, content = program.good(*words), path.read_bytes()
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE entry SET input_tokens = input_tokens + 1")
    assert program.good(*words) == before
    writer.execute("ROLLBACK")
    writer.close()
    assert program.good(*words) == before
    assert path.read_bytes() == content


def a_check_finds_an_entry_that_was_changed(program):
    path = make_books(program)
    summary = json.loads(program.good("ledger", "check", "--books", path, "--json"))
    entries, _ = dump(path)
    assert summary["balances"] is True
    assert Fraction(summary["settled"]) * NANO == sum(entry["amount_nano"] for entry in entries)
    assert summary["requests"] == len(entries) + summary["open"]
    books = sqlite3.connect(path)
    books.execute("UPDATE entry SET amount_nano = amount_nano + 1 WHERE id = ?",
                  [entries[0]["id"]])
    books.commit()
    books.close()
    code, out, err = program.run("ledger", "check", "--books", path)
    assert code == 9 and out == b"", (code, out)
    assert b"the books do not balance" in err and b"%d" % entries[0]["id"] in err, err


def mistakes_are_said_with_what_would_be_right(program):
    path = make_books(program)
    usage = ["usage", "--books", path]
    invoice = ["usage", "invoice", "--books", path]
    for code, part, *words in [
            (2, "did you mean 'project'", *usage, "--by", "projekt"),
            (2, "twice", *usage, "--by", "day,day"),
            (2, "did you mean 'last-month'", *usage, "--period", "last-mont"),
            (2, "ends before it begins", *usage, "--period", "2026-11..2026-10"),
            (2, "no place with the format focus", *usage, "--by", "day", "--format", "focus"),
            (2, "is none of table, csv, json, focus", *usage, "--format", "xml"),
            (3, "did you mean 'acme/research'", *usage, "--in", "acme/reserch"),
            (3, "Europe/Berln", *usage, "--zone", "Europe/Berln"),
             (3, "there are no books", "usage", "--books", "nothing.db"),
             (3, "there are no books", "usage", "--books", "nothing"),
             (2, "write YYYY-MM", *invoice, "--org", "acme", "--month", "2026-1"),
             (2, "usage invoice needs --org NAME", *invoice),
            (2, "is no organisation", *invoice, "--org", "acme/research"),
            (2, "is not one month", *invoice, "--org", "acme", "--month", "2026"),
            (2, "unexpected 'x'", *usage, "x"),
            (2, "there are show, invoice", "usage", "x")]:
        exit_code, out, err = program.run(*words)
        assert (exit_code, out) == (code, b""), (words, exit_code, err)
        assert part in err.decode() and err.count(b"\n") == 1, (part, err)


if __name__ == "__main__":
    golden.main([
        every_report_is_what_the_entries_say,
        amounts_are_those_of_tokens_at_the_version_rounded_up_once,
        focus_rows_are_what_the_entries_say,
        an_invoice_is_what_the_entries_say,
        a_month_to_come_has_an_invoice_that_is_not_final,
        names_cannot_become_formulas,
        reports_are_read_beside_a_writer_and_change_nothing,
        a_check_finds_an_entry_that_was_changed,
        mistakes_are_said_with_what_would_be_right,
    ])
