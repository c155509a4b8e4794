"""Guards that stand before and after a key leaves, on either way: R3, R6, R7, R10, R11."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MACHINE = "keyctl/rotation/machine.py"
LEAVING = "keyctl/rotation/leaving.py"
RUN = "keyctl/rotation/run.py"
READINGS = "keyctl/rotation/readings.py"
SECURE = "keyctl/rotation/secure.py"
SESSION = "keyctl/rotation/session.py"
REVIVAL = "keyctl/rotation/revival.py"

TEST_MACHINE = "tests/unit/rotation/test_machine.py"
TEST_BACK = "tests/unit/rotation/test_machine_back.py"
TEST_VALUES = "tests/unit/rotation/test_values.py"
TEST_ABORT = "tests/unit/rotation/test_abort.py"
TEST_GUARDS = "tests/unit/rotation/test_guards.py"
TEST_RETIRING = "tests/unit/rotation/test_retiring.py"
TEST_HISTORY = "tests/unit/rotation/test_history.py"
TEST_RESUME = "tests/unit/rotation/test_resume_checks.py"
TEST_MEANWHILE = "tests/unit/rotation/test_meanwhile.py"
TEST_REVIVAL = "tests/unit/rotation/test_revival.py"

MUTANTS = (
    Mutant(
        "R3",
        "the time to settle before the proof",
        MACHINE,
        "    if not proofs.settled:\n        return Settle()\n",
        "",
        f"{TEST_MACHINE}::test_the_next_step[settle]",
    ),
    Mutant(
        "R3",
        "waiting while it settles",
        LEAVING,
        "        while (left := until - clock.monotonic()) > 0:\n",
        "        while (left := until - clock.monotonic()) > job.plan.settle:\n",
        f"{TEST_VALUES}::test_verified_is_no_earlier_than_the_settle_time_after_the_last_server_was_proven_to_write",
    ),
    Mutant(
        "R3",
        "beginning to settle anew when a server is not ready meanwhile",
        LEAVING,
        "                until = clock.monotonic() + job.plan.settle\n",
        "                pass\n",
        f"{TEST_RETIRING}::"
        "test_r3_a_server_that_is_not_ready_while_it_settles_starts_the_settle_time_anew[before it leaves]",
    ),
    Mutant(
        "R3",
        "the proof that every server writes with the new key",
        MACHINE,
        "    if proofs.switched is None:\n        return Switch()\n",
        "",
        f"{TEST_MACHINE}::test_the_next_step[all write]",
    ),
    Mutant(
        "R3",
        "rewriting until nothing is left before the proof",
        MACHINE,
        "if proofs.left is None or proofs.left > 0:\n        return Rewrite()\n    if",
        "if proofs.left is None:\n        return Rewrite()\n    if",
        f"{TEST_MACHINE}::test_the_next_step[more is left]",
    ),
    Mutant(
        "R3",
        "the scan that proves that nothing is left",
        MACHINE,
        "return ProveVerified() if proofs.verified is None else None",
        "return None",
        f"{TEST_MACHINE}::test_the_next_step[scan again]",
    ),
    Mutant(
        "R3",
        "the number that this scan finds",
        LEAVING,
        "if left or not job.observer.unchanged():",
        "if not job.observer.unchanged():",
        f"{TEST_VALUES}::test_what_lands_after_the_first_empty_scan_is_rewritten_and_settled_for_once_more",
    ),
    Mutant(
        "R3",
        "the look whether the servers are the same after that scan",
        LEAVING,
        "if left or not job.observer.unchanged():",
        "if left:",
        f"{TEST_VALUES}::test_a_server_that_restarts_during_the_verifying_scan_leaves_no_proof_in_the_journal",
    ),
    Mutant(
        "R3",
        "the count of values in plaintext or under any other key",
        LEAVING,
        "left = max(job.readings.elsewhere(found), ",
        "left = max(0, ",
        f"{TEST_GUARDS}::test_r3_plaintext_that_lands_while_enable_settles_is_rewritten",
    ),
    Mutant(
        "R3",
        "the demand that something stands under the new key",
        LEAVING,
        "if not under and job.plan.old and job.way is Way.FORWARD:",
        "if False:",
        f"{TEST_VALUES}::test_a_rotation_of_a_resource_without_values_proves_nothing_and_says_so",
    ),
    Mutant(
        "R3",
        "the archive before a key leaves",
        MACHINE,
        "        if not seen.resecured:\n            return Resecure()\n",
        "",
        f"{TEST_MACHINE}::test_the_next_step[the archive]",
    ),
    Mutant(
        "R3",
        "opening the first snapshot with the key store's copy of the old key",
        SECURE,
        "if group.failed or group.not_decrypted:",
        "if False:",
        f"{TEST_HISTORY}::test_a_first_snapshot_that_the_stores_copy_does_not_open_stops_before_any_file_loses_the_key",
    ),
    Mutant(
        "R3",
        "the demand that the first snapshot is still there",
        SECURE,
        "        if not path.exists():\n",
        "        if not path.exists() and (paths := ()) == ():\n            continue\n        if False:\n",
        f"{TEST_HISTORY}::test_without_the_first_snapshot_nothing_proves_the_archive_and_no_file_loses_the_key",
    ),
    Mutant(
        "R3",
        "new proofs when some servers had let go of the key before this run",
        MACHINE,
        "not all(server.disk is server.loaded is goal for server in seen.servers)",
        "not any(server.disk is server.loaded is goal for server in seen.servers)",
        f"{TEST_MACHINE}::test_the_next_step[half retired and nothing proven in this run: all is proven again]",
    ),
    Mutant(
        "R3",
        "the time to settle after the last server let go of the key",
        MACHINE,
        "    if not proofs.settled_again:\n        return SettleAgain()\n",
        "",
        f"{TEST_MACHINE}::test_the_next_step[settle after the last]",
    ),
    Mutant(
        "R3",
        "the second scan, with the old key in hand",
        MACHINE,
        "return ProveGone() if proofs.gone is None else Done()",
        "return Done()",
        f"{TEST_MACHINE}::test_the_next_step[scan with the keys in hand]",
    ),
    Mutant(
        "R3",
        "what the second scan finds",
        LEAVING,
        "        if count:\n            self.found_late(count)\n",
        "        if False:\n            self.found_late(count)\n",
        f"{TEST_RETIRING}::test_r18_a_late_value_that_no_list_shows_is_found_by_the_last_scan",
    ),
    Mutant(
        "R3",
        "the look whether the servers are the same after the second scan",
        LEAVING,
        "        if job.observer.unchanged():\n",
        "        if True:\n",
        f"{TEST_GUARDS}::test_r3_a_server_that_restarts_during_the_second_scan_leaves_no_proof",
    ),
    Mutant(
        "R3",
        "the LIST through every server after the second scan",
        LEAVING,
        "        for server in job.world.servers:\n            prove_server(server.name)\n",
        "",
        f"{TEST_GUARDS}::test_r3_retirement_ends_with_a_list_through_every_server",
    ),
    Mutant(
        "R3",
        "putting a key back under which values turned up",
        MACHINE,
        "    if seen.late:\n",
        "    if False:\n",
        f"{TEST_MACHINE}::test_what_turns_up_late_puts_the_old_keys_back[put back]",
    ),
    Mutant(
        "R3",
        "rewriting what turned up late",
        MACHINE,
        "return Rewrite() if seen.proofs.left is None or seen.proofs.left > 0 else TurnedUp()",
        "return TurnedUp()",
        f"{TEST_MACHINE}::test_what_turns_up_late_puts_the_old_keys_back[then what turned up is rewritten]",
    ),
    Mutant(
        "R3",
        "stopping after a key was put back",
        MACHINE,
        "seen.proofs.left > 0 else TurnedUp()",
        "seen.proofs.left > 0 else Done()",
        f"{TEST_MACHINE}::test_what_turns_up_late_puts_the_old_keys_back[then stop and say so]",
    ),
    Mutant(
        "R3",
        "the look, at the beginning of a run, for values under a key that a server let go of",
        RUN,
        "if count and seen.leaves and self._somebody_let_go(seen):",
        "if False:",
        f"{TEST_RETIRING}::test_r3_another_process_puts_the_old_key_back_before_it_settles_or_moves_anything",
    ),
    Mutant(
        "R3",
        "the look for late values when a server cannot let go of the key, or did and does not serve",
        RUN,
        "                if not self._landed_late(step, seen):\n",
        "                if True:\n",
        f"{TEST_RETIRING}::"
        "test_r3_what_lands_when_a_server_let_go_brings_the_old_key_back_everywhere[restart: when one let go]",
    ),
    Mutant(
        "R6",
        "dealing with history before a key leaves",
        MACHINE,
        "        if not proofs.history:\n            return ClearHistory()\n",
        "",
        f"{TEST_MACHINE}::test_the_next_step[history]",
    ),
    Mutant(
        "R6",
        "waiting until the revisions cannot be read any more",
        LEAVING,
        "        if mode is not History.IGNORE:\n            self._await_compaction(",
        "        if False:\n            self._await_compaction(",
        f"{TEST_HISTORY}::test_r6_wait_waits_until_the_api_servers_have_compacted_every_etcd",
    ),
    Mutant(
        "R6",
        "the revision up to which they may not be read",
        LEAVING,
        "if not compacted(revision - 1)]:",
        "if not compacted(1)]:",
        f"{TEST_HISTORY}::test_r6_a_compaction_below_the_proof_is_not_enough",
    ),
    Mutant(
        "R6",
        "compacting every etcd",
        LEAVING,
        "                place.etcd.compact(revision)\n",
        "                pass\n",
        f"{TEST_HISTORY}::"
        "test_r6_compact_compacts_every_etcd_at_the_revision_of_the_proof_before_any_file_loses_the_key",
    ),
    Mutant(
        "R6",
        "noting, for the destruction of the key, up to which revision history needs it",
        LEAVING,
        "        if ever_written:\n            job.write",
        "        if False:\n            job.write",
        f"{TEST_HISTORY}::test_r6_ignore_leaves_history_alone_and_the_register_knows_who_needs_the_old_key",
    ),
    Mutant(
        "R7",
        "putting the old keys back everywhere before any server writes with one again",
        MACHINE,
        "return _move(seen, Stage.PROMOTED, Way.BACK) or _move(seen, Stage.ADDED, Way.BACK)",
        "return _move(seen, Stage.ADDED, Way.BACK)",
        f"{TEST_BACK}::test_the_next_step_on_the_way_back[put the old keys back]",
    ),
    Mutant(
        "R7",
        "writing with the old key everywhere before the new one leaves",
        MACHINE,
        "_move(seen, Stage.PROMOTED, Way.BACK) or _move(seen, Stage.ADDED, Way.BACK)",
        "_move(seen, Stage.PROMOTED, Way.BACK)",
        f"{TEST_BACK}::test_the_next_step_on_the_way_back[demote]",
    ),
    Mutant(
        "R7",
        "the same proofs on the way back",
        MACHINE,
        "    if not seen.leaves or not all(",
        '    if not seen.leaves or seen.way.value == "forward" and not all(',
        f"{TEST_BACK}::test_the_next_step_on_the_way_back[nothing under the new key]",
    ),
    Mutant(
        "R7",
        "counting what is under the new key on the way back",
        "keyctl/rotation/plan.py",
        "return () if self.goal is Goal.REMOVE_IDENTITY else (self.new,)",
        "return ()",
        f"{TEST_ABORT}::test_what_lands_under_the_new_key_after_a_server_let_go_of_it_brings_the_key_back"
        "[when the last server has let go]",
    ),
    Mutant(
        "R7",
        "giving a server its manifest back before its file goes",
        MACHINE,
        "if way is Way.BACK and stage is Stage.BASE and not server.had_flag:",
        "if False:",
        f"{TEST_BACK}::test_a_server_that_had_no_flag_gets_its_manifest_back_before_its_file_goes[first the flag]",
    ),
    Mutant(
        "R7",
        "the memory that the way is back",
        "keyctl/rotation/background.py",
        'way = Way.BACK if record["kind"] == "abort" else way',
        "pass",
        "tests/unit/rotation/test_background.py::test_once_aborted_the_way_is_back_for_ever",
    ),
    Mutant(
        "R3",
        "the look, before a run goes on, whether the cluster file lists every etcd",
        SESSION,
        "            check_etcd_flags(self._world, server.name, flags)\n",
        "",
        f"{TEST_RESUME}::test_r3_resuming_without_an_etcd_that_the_servers_use_is_refused[switched-restart]",
    ),
    Mutant(
        "R3",
        "the same look once more, before a key leaves",
        LEAVING,
        "            check_etcd_flags(job.world, server.name, flags_of(server))\n",
        "            pass\n",
        f"{TEST_RESUME}::"
        "test_r3_an_etcd_that_a_server_is_given_in_mid_rotation_stops_it_before_any_file_loses_the_key"
        "[journal proof verified-restart]",
    ),
    Mutant(
        "R3",
        "putting the key back, and not just rewriting, when the proofs were lost after a server let go of it",
        RUN,
        "                if not self._turned_up_meanwhile(seen):\n",
        "                if True:\n",
        f"{TEST_MEANWHILE}::test_r3_what_lands_after_the_proofs_were_lost_in_mid_retiring"
        "_brings_the_old_key_back_before_it_is_rewritten",
    ),
    Mutant(
        "R3",
        "no pause before values have got their key back",
        RUN,
        "self._pause_after.position or seen.late:",
        "self._pause_after.position:",
        f"{TEST_RESUME}::test_r3_no_pause_keeps_a_value_from_getting_its_key_back[retiring-restart]",
    ),
    Mutant(
        "R3",
        "saying, where a run stops, that a server has let go of a key and the last proof is missing",
        RUN,
        "        elif self.between_proofs:\n",
        "        elif False:\n",
        f"{TEST_RESUME}::test_interrupted_between_the_first_file_without_the_old_key_and_the_last_proof"
        "_it_does_not_call_that_safe[while the second settle time runs-restart]",
    ),
    Mutant(
        "R7",
        "counting, before the proof, what is under the new key on the way back of enable",
        LEAVING,
        "takes_away = job.plan.retires or job.way is Way.BACK",
        "takes_away = job.plan.retires",
        f"{TEST_MEANWHILE}::test_r7_the_way_back_of_enable_counts_what_is_under_the_new_key"
        "_before_any_server_lets_go_of_it",
    ),
    Mutant(
        "R10",
        "giving a server that cannot read everything its key back before it is started, with no server up",
        REVIVAL,
        "        if stage is None or not job.effects.unreadable_at_start(name):\n",
        "        if True:\n",
        f"{TEST_REVIVAL}::test_r10_with_no_server_up_over_a_late_value_all_get_the_old_key_back_and_come_up"
        "[three restarted]",
    ),
    Mutant(
        "R11",
        "asking the etcd, with no server up, whether it is that of the cluster",
        REVIVAL,
        "        if not isinstance(opened, Opened) or opened.object.uid != self._job.plan.cluster_uid:\n",
        "        if False:\n",
        f"{TEST_REVIVAL}::test_with_no_server_up_an_etcd_of_another_cluster_is_told_before_anything_is_touched",
    ),
)
