"""Cron lines: every field within its range, and at least one day."""

import re

import pytest

from kubeflow.submit import cron


@pytest.mark.parametrize(
    ("line", "zone"),
    [
        ("0 3 * * 1", ""),
        ("59 23 31 12 6", ""),
        ("*/15 0-6,12 1 JAN mon-FRI", ""),
        ("0 3 ? * MON", ""),
        ("5/20 0-23/2 * * *", ""),
        ("0 0 29 2 *", ""),
        ("0 0 31 2 1", ""),  # the weekday counts, too
        ("0 3 * * 7", ""),
        ("TZ=Europe/Paris 0 3 * * 1", "TZ=Europe/Paris"),
        ("CRON_TZ=UTC  0 3 * * 1", "CRON_TZ=UTC"),
    ],
)
def test_lines(line, zone):
    assert cron.check(line) == zone


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("99 25 32 13 9", "the minute 99 is not from 0 to 59"),
        ("0 24 * * *", "the hour 24 is not from 0 to 23"),
        ("0 0 0 * *", "the day 0 is not from 1 to 31"),
        ("0 0 1 13 *", "the month 13 is not from 1 to 12"),
        ("0 0 * * 8", "the weekday 8 is not from 0 to 7"),
        ("0 0 * * 1-9", "the weekday 9 is not"),
        ("30-10 * * * *", "30-10 ends before it begins in the field minute"),
        ("*/0 * * * *", "the step of */0 in the field minute is not from 1 to 59"),
        ("*/90 * * * *", "the step of */90"),
        ("0 0 31 2,4 *", "no such day in any year"),
        ("? 3 * * *", "'?' is not a minute"),
        ("0 3 L * *", "'l' is not a day"),
        ("0 3 * MON *", "'mon' is not a month"),
        ("0 3 * * 1,", "'' is not a weekday"),
        ("٣ 3 * * *", "is not a minute"),
        ("0 3 * *", "expected minute, hour"),
        ("0 0 3 * * 1", "expected minute, hour"),
        ("@daily", "expected minute, hour"),
        ("TZ=Mars/Olympus 0 3 * * 1", "Mars/Olympus is not a time zone"),
    ],
)
def test_schedules_that_never_run_are_rejected(line, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        cron.check(line)


def test_sunday_is_7_only_where_that_is_known():
    with pytest.raises(ValueError, match="the weekday 7 is not from 0 to 6"):
        cron.check("0 3 * * 7", last_weekday=6)
