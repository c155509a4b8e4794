"""Guards of rewriting at scale: the pace, etcd's room, migrations, the second pass (R14, R15)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

OUTCOMES = "keyctl/kube/outcomes.py"
MIGRATING = "keyctl/rotation/migrating.py"
NOOP_PASS = "keyctl/rotation/noop_pass.py"

TEST_OUTCOMES = "tests/unit/kube/test_outcomes.py"
TEST_MIGRATING = "tests/unit/rotation/test_migrating.py"
TEST_NOOP_PASS = "tests/unit/rotation/test_noop_pass.py"
TEST_ROOM = "tests/unit/rotation/test_etcd_room.py"

MUTANTS = (
    Mutant(
        "R14",
        "leaving out the values that validation repeats",
        OUTCOMES,
        'or "Invalid value" in status.message:',
        "or False:",
        f"{TEST_OUTCOMES}::test_values_that_somebody_else_repeats_are_not_told_either",
    ),
    Mutant(
        "R15",
        "fewer workers and a pause after a 429",
        "keyctl/rotation/pacing.py",
        "        if seen.troubled:\n",
        "        if False:\n",
        "tests/unit/rotation/test_pacing.py::test_one_429_or_many_failures_halve_the_workers_and_make_it_wait",
    ),
    Mutant(
        "R15",
        "the look at etcd's room between batches",
        "keyctl/rotation/patching.py",
        "            self._room.require()\n",
        "",
        f"{TEST_ROOM}::test_at_the_quota_or_with_the_alarm_it_stops_at_once",
    ),
    Mutant(
        "R15",
        "etcd's alarm that it has no space",
        "keyctl/rotation/etcd_room.py",
        "        if _has_alarm(member):\n",
        "        if False:\n",
        f"{TEST_ROOM}::test_room_is_judged_by_the_quota_the_freed_pages_and_the_alarm[the alarm]",
    ),
    Mutant(
        "R15",
        "etcd's alarm before anything is touched, and before the Leases that nobody can renew",
        "keyctl/rotation/preflight.py",
        "    _check_takes_writes(world)\n",
        "",
        f"{TEST_ROOM}::test_a_full_etcd_is_why_a_rotation_is_refused_before_anything_that_only_follows_from_it",
    ),
    Mutant(
        "R15",
        "etcd's alarm as the cause of what cannot be written",
        "keyctl/rotation/session.py",
        "            self._blame_a_full_etcd(exc)\n",
        "",
        f"{TEST_ROOM}::test_what_cannot_be_written_any_more_is_blamed_on_the_alarm_and_not_on_the_server",
    ),
    Mutant(
        "R15",
        "the end of patience with a migration that moves nothing",
        MIGRATING,
        "        if still > self._stall:\n",
        "        if False:\n",
        f"{TEST_MIGRATING}::test_a_standstill_without_any_refusal_points_at_the_cache",
    ),
    Mutant(
        "R15",
        "asking again, through every server, about what moved in the second pass",
        NOOP_PASS,
        "    _settle(site, seen)\n",
        "",
        f"{TEST_NOOP_PASS}::test_servers_that_write_with_different_keys_move_each_others_objects_and_nothing_is_proven",
    ),
    Mutant(
        "R15",
        "objects that the second pass could not be sent through",
        NOOP_PASS,
        "    if seen.refusals.groups():\n",
        "    if False:\n",
        f"{TEST_NOOP_PASS}::test_an_object_that_is_refused_is_not_proven",
    ),
)
