"""Guards for what comes in between: a window that closes, an upgrade, a server that joins, a plan of yesterday."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

AGREED = "keyctl/rotation/agreed.py"
BACKGROUND = "keyctl/rotation/background.py"
CLOSING = "keyctl/rotation/closing.py"
EFFECTS = "keyctl/rotation/effects.py"
JOINING = "keyctl/rotation/joining.py"
LOADED = "keyctl/rotation/loaded.py"
PREFLIGHT = "keyctl/rotation/preflight.py"
RUN = "keyctl/rotation/run.py"
SESSION = "keyctl/rotation/session.py"
UPGRADE = "keyctl/rotation/upgrade.py"

TEST_AGREED = "tests/unit/rotation/test_agreed.py"
TEST_CLOSING = "tests/unit/rotation/test_closing.py"
TEST_FOUND = "tests/unit/rotation/test_found_by_the_model.py"
TEST_JOINING = "tests/unit/rotation/test_joining.py"
TEST_UPGRADE = "tests/unit/rotation/test_upgrade.py"

RESTING = (
    Mutant(
        "R3",
        "no rest, when the window closes, between the first file without a key and the last proof",
        RUN,
        "if can_rest_in(self._step) and not (self.between_proofs or self._nobody_up):",
        "if can_rest_in(self._step) and not self._nobody_up:",
        f"{TEST_CLOSING}::test_on_the_way_back_too_nobody_rests_once_the_new_key_leaves",
    ),
    Mutant(
        "R3",
        "carrying an act on a server to its proof when the window closes",
        CLOSING,
        "return step is None or isinstance(step, _PARTS)",
        "return True",
        f"{TEST_CLOSING}::test_a_restart_that_was_begun_is_waited_for",
    ),
    Mutant(
        "R3",
        "knowing a rotation that rests from one that was stopped",
        CLOSING,
        'return bool(records) and records[-1].get("kind") == CLOSED',
        "return bool(records)",
        f"{TEST_CLOSING}::test_only_what_stopped_with_its_window_and_was_left_alone_since_counts_as_resting",
    ),
    Mutant(
        "R3",
        "the record that it rests",
        RUN,
        "                self._write(CLOSED, {})\n",
        "",
        f"{TEST_CLOSING}::test_only_what_stopped_with_its_window_and_was_left_alone_since_counts_as_resting",
    ),
    Mutant(
        "R3",
        "what the journal says of servers that have let go, for whoever is stopped before he has looked",
        BACKGROUND,
        "        elif _takes_away(record):\n            let_go = True\n",
        "",
        f"{TEST_FOUND}::test_r3_a_run_that_is_stopped_before_it_has_looked_does_not_call_safe_what_the_one_before_left",
    ),
    Mutant(
        "R3",
        "the same for whoever is stopped by the act itself",
        RUN,
        "            if steps.stage_after(step) is seen.way.goal:\n",
        "            if False:\n",
        f"{TEST_FOUND}::test_r3_nor_is_it_called_safe_when_the_answer_to_the_first_file_without_the_old_key_is_lost",
    ),
    Mutant(
        "R3",
        "the same for a server without the old key on the way back",
        RUN,
        "self._somebody_let_go(seen) or any(view.disk is Stage.RETIRED for view in seen.servers)",
        "self._somebody_let_go(seen)",
        f"{TEST_FOUND}::test_r3_on_the_way_back_it_is_not_called_safe_while_a_server_is_without_the_old_key",
    ),
)

STATES = (
    Mutant(
        "R4",
        "taking keys for active again that come back after they were noted as out of use",
        "keyctl/rotation/key_states.py",
        "for ref in plan.old_refs if way is Way.BACK else ():",
        "for ref in ():",
        f"{TEST_FOUND}::test_r4_keys_that_come_back_after_they_were_noted_as_out_of_use_are_active_again",
    ),
)

LEASES = (
    Mutant(
        "R8",
        "how things stand, for whoever loses the Lease",
        RUN,
        "how = self.where_it_stands()[0]",
        'how = "this state is safe for as long as you like"',
        f"{TEST_FOUND}::test_r8_who_loses_the_lease_is_told_how_things_stand[retiring]",
    ),
)

UPGRADES = (
    Mutant(
        "R8",
        "the look for an upgrade that is under way",
        PREFLIGHT,
        "    check_no_upgrade((facts.server, facts.probe) for facts in servers)\n",
        "",
        f"{TEST_UPGRADE}::test_no_rotation_begins_while_the_servers_are_of_two_versions[restart]",
    ),
    Mutant(
        "R8",
        "the comparison of the servers' versions",
        UPGRADE,
        "if len(set(running.values())) > 1:",
        "if False:",
        f"{TEST_UPGRADE}::test_no_rotation_begins_while_the_servers_are_of_two_versions[reload]",
    ),
    Mutant(
        "R8",
        "the comparison of a server's version with its manifest's",
        UPGRADE,
        "if wanted and runs and wanted != runs:",
        "if False:",
        f"{TEST_UPGRADE}::test_no_rotation_begins_while_a_manifest_names_another_version_than_runs",
    ),
    Mutant(
        "R8",
        "the warning of an upgrade to whoever goes on",
        SESSION,
        "        warn_of_upgrade(self._world, self._reporter)\n",
        "",
        f"{TEST_UPGRADE}::test_one_that_is_under_way_goes_on_for_that_may_be_what_makes_it_safe_and_says_so",
    ),
)

JOINED = (
    Mutant(
        "R11",
        "the demand that a joined server has a file of the rotation",
        JOINING,
        "        if stage is not None:\n",
        "        stage = stage or Stage.BASE\n        if True:\n",
        f"{TEST_JOINING}::test_listed_with_its_old_file_it_is_still_refused_and_the_file_to_give_it_is_named",
    ),
    Mutant(
        "R11",
        "the record of a server that was taken in",
        SESSION,
        '            self._write("joined", plan.rotation, one.to_record())\n',
        "            pass\n",
        f"{TEST_JOINING}::test_it_is_known_in_the_journal_and_in_every_later_run",
    ),
    Mutant(
        "R11",
        "reading that record again",
        JOINING,
        'if record.get("kind") == "joined")',
        'if record.get("kind") is None)',
        f"{TEST_JOINING}::test_it_is_known_in_the_journal_and_in_every_later_run",
    ),
)

AGREEMENTS = (
    Mutant(
        "R8",
        "the comparison of what is there now with what an agreed plan was made from",
        SESSION,
        "            agreed.require_the_same(plan_agreed, agreed.observed(self._world, facts))\n",
        "            pass\n",
        f"{TEST_AGREED}::test_what_changed_since_is_named_and_nothing_is_touched[file]",
    ),
    Mutant(
        "R8",
        "the manifests among what an agreed plan was made from",
        AGREED,
        'found[f"{server.manifest_path} on {server.name}"] = manifest.sha256 if manifest else _NOTHING',
        "pass",
        f"{TEST_AGREED}::test_what_changed_since_is_named_and_nothing_is_touched[manifest]",
    ),
    Mutant(
        "R8",
        "what is there now and was not when a plan was agreed to",
        AGREED,
        "names = sorted({*plan.observed, *now})",
        "names = sorted(plan.observed)",
        f"{TEST_AGREED}::test_each_difference_counts",
    ),
    Mutant(
        "R8",
        "the digest of an agreed plan",
        AGREED,
        "if digest != _digest(fields):",
        "if False:",
        f"{TEST_AGREED}::test_a_plan_that_was_edited_is_refused",
    ),
    Mutant(
        "R8",
        "the kind of document that an agreed plan is",
        AGREED,
        'if (fields["apiVersion"], fields["kind"]) != (_VERSION, _KIND):',
        "if False:",
        f"{TEST_AGREED}::test_what_is_no_plan_is_refused_by_name",
    ),
)

CLOCKS = (
    Mutant(
        "R2",
        "the age of a process, beside its start by a clock that may have been set",
        LOADED,
        "and probe.begun <= changed:",
        "and False:",
        f"{TEST_FOUND}::"
        "test_r2_a_clock_that_is_set_between_two_runs_does_not_make_an_old_process_look_newer_than_its_file",
    ),
    Mutant(
        "R3",
        "the time that the evidence says it settled, by a clock that nobody sets",
        "keyctl/rotation/evidence_claims.py",
        "        waited = settled\n",
        "        pass\n",
        f"{TEST_FOUND}::test_the_evidence_of_a_rotation_holds_when_our_clock_was_set_meanwhile"
        "[journal outcome rewrite--3600.0]",
    ),
    Mutant(
        "R17",
        "the intent before the canary of a server that does not say what it has loaded",
        EFFECTS,
        '        self._write("intent", fields)\n        prove_write(',
        "        prove_write(",
        f"{TEST_FOUND}::test_r17_the_canary_of_a_server_that_does_not_say_what_it_has_loaded_has_its_intent",
    ),
)

MUTANTS = (*RESTING, *STATES, *LEASES, *UPGRADES, *JOINED, *AGREEMENTS, *CLOCKS)
