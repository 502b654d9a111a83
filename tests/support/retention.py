# SPDX-License-Identifier: LGPL-2.1-or-later
"""Retention once more, by brute force and from the words of docs/backup-strategy.md alone: what
atocore-prune plans is compared with it."""

import dataclasses
import datetime


@dataclasses.dataclass
class Snapshot:
    stamp: str
    valid: bool = True
    pinned: bool = False
    vector: bool = False
    readable: bool = True

    @property
    def time(self):
        return datetime.datetime.strptime(self.stamp, "%Y%m%dT%H%M%SZ")

    @property
    def day(self):
        return self.time.date()


def winner(candidates):
    return max(candidates, key=lambda s: (s.valid, s.vector, s.time))


def newest_periods(counted, period_of, choose, count):
    """The chosen snapshot of each of the `count` newest periods of which one can be chosen."""
    chosen = []
    for period in sorted({period_of(s) for s in counted}, reverse=True):
        one = choose(period, [s for s in counted if period_of(s) == period])
        if one:
            chosen.append(one)
    return chosen[:count]


def week_of(day):
    return day.isocalendar()[:2]


def reasons(snapshots, policy, now):
    """{stamp: set of reasons} of those not in the future, and whether it is refused."""
    present = [s for s in snapshots if s.time <= now]
    counted = [s for s in present if s.readable]

    def of_week(week, members):
        sundays = [s for s in members if s.day.isoweekday() == 7]
        if sundays:
            return winner(sundays)
        if week == week_of(now.date()):
            return None
        last = max(s.day for s in members)
        return winner([s for s in members if s.day == last])

    def of_month(_, members):
        first = min(s.day for s in members)
        return winner([s for s in members if s.day == first])

    found = {s.stamp: set() for s in present}
    for s in present:
        if now - s.time < datetime.timedelta(hours=24):
            found[s.stamp].add("recent")
        if s.pinned:
            found[s.stamp].add("pinned")
        if not s.readable:
            found[s.stamp].add("unreadable")
    valid = [s for s in counted if s.valid]
    if valid:
        found[max(valid, key=lambda s: s.time).stamp].add("newest-valid")
    daily, weekly, monthly = policy
    for s in newest_periods(counted, lambda s: s.day, lambda _, m: winner(m), daily):
        found[s.stamp].add("daily")
    for s in newest_periods(counted, lambda s: week_of(s.day), of_week, weekly):
        found[s.stamp].add("weekly")
    for s in newest_periods(counted, lambda s: (s.day.year, s.day.month), of_month, monthly):
        found[s.stamp].add("monthly")
    refused = not valid and any(not why for why in found.values())
    return found, refused
