"""The work of report and guard: reads the log, and judges the test that runs."""

from pathlib import Path

from serving.ab.answer_log import read_log
from serving.ab.judging import Report, find_test, judge_answers, report_no_test
from serving.ab.verdict import Rules
from serving.registry.aliases import Registry


def judge_test(registry: Registry, log: Path, rules: Rules) -> Report:
    """Judges the canary that models.config names, by its requests since the alias points there.

    Raises:
      AtelierError: models.config, its history or the log cannot be read.
    """
    test = find_test(registry)
    if isinstance(test, str):
        return report_no_test(test)
    if not log.exists():
        return report_no_test(f"{log}: no client has logged an answer", test.canary)
    return judge_answers(test, *read_log(log), rules)
