"""Guards of what a change is about: what was spoken of and no more, all names of a key, the servers' own etcds."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

LOADED = "keyctl/rotation/loaded.py"
STAGES = "keyctl/rotation/stages.py"
REACH = "keyctl/rotation/reach.py"
PREFLIGHT = "keyctl/rotation/preflight.py"
FACTS = "keyctl/rotation/server_facts.py"
EFFECTS = "keyctl/rotation/effects.py"
SESSION = "keyctl/rotation/session.py"
RENAMING = "keyctl/rotation/renaming.py"
SAME = "keyctl/rotation/same_bytes.py"
AGREED = "keyctl/rotation/agreed.py"
NOOP_PASS = "keyctl/rotation/noop_pass.py"

_UNIT = "tests/unit/rotation"
SCOPE = f"{_UNIT}/test_adding_and_removing.py"
TEST_LOADED = f"{_UNIT}/test_loaded.py"
TEST_AGREED = f"{_UNIT}/test_agreed.py"
TEST_NOOP = f"{_UNIT}/test_noop_pass.py"
TEST_LEAK = f"{_UNIT}/test_compromised.py"
TEST_BINDING = f"{_UNIT}/test_override_binding.py"

MUTANTS = (
    Mutant(
        "R2",
        "the doubt about a process that may have had its clock set",
        LOADED,
        "if any(before is not None and process.may_be(before) for before in (memory.process, memory.seen_after)):",
        "if False:",
        f"{TEST_LOADED}::test_a_process_whose_clock_is_set_is_not_taken_for_one_that_has_started_since[3600.0]",
    ),
    Mutant(
        "R2",
        "the demand that a later start is later by a clock that nobody sets",
        LOADED,
        "return self.start != other.start and after is not None and after > _SAME_START",
        "return self.start != other.start",
        f"{TEST_LOADED}::test_without_the_time_in_its_answers_another_start_may_be_another_clock",
    ),
    Mutant(
        "R2",
        "the refusal of reloads that nobody is told of beside restarts",
        FACTS,
        "reloads = facts.server.reloads or facts.flags.automatic_reload",
        "reloads = facts.server.reloads",
        f"{_UNIT}/test_convergence.py::test_nor_do_they_go_on_beside_the_restarts",
    ),
    Mutant(
        "R3",
        "the proof that an override's etcd is the servers' own, at the beginning",
        PREFLIGHT,
        "    check_overrides(world, config, api, served)\n",
        "",
        f"{TEST_BINDING}::test_another_etcd_than_that_of_the_override_is_refused_before_anything_is_touched[empty]",
    ),
    Mutant(
        "R3",
        "the same proof when a rotation is gone on with",
        "keyctl/rotation/run.py",
        "        check_overrides(self._world, self._readings.configs.promoted, api, api.discover())\n",
        "",
        f"{TEST_BINDING}::test_nor_is_a_rotation_gone_on_with_in_one",
    ),
    Mutant(
        "R3",
        "the uid of the object that binds an override's etcd",
        "keyctl/rotation/override_binding.py",
        "return opened.object.uid == ref.uid if isinstance(opened, Opened) else stored[1] == one.resource_version",
        "return True",
        f"{TEST_BINDING}::test_another_etcd_than_that_of_the_override_is_refused_before_anything_is_touched"
        "[of_another_cluster]",
    ),
    Mutant(
        "R3",
        "the refusal to turn a whole entry off for one of its resources",
        STAGES,
        "if goal is Goal.DISABLE and resources:",
        "if False:",
        f"{SCOPE}::test_no_resource_becomes_plaintext_because_another_one_of_its_entry_does[configmaps]",
    ),
    Mutant(
        "R5",
        "the look into the files whether a new name for a key is taken",
        RENAMING,
        "if found.ref in in_files",
        "if False",
        f"{_UNIT}/test_remove_identity.py::test_r5_nor_one_that_a_file_has_which_the_key_store_has_not_seen[key0]",
    ),
    Mutant(
        "R5",
        "the other names of a leaked key in the files and in the key store",
        SAME,
        "same = {key.ref for key in keys if key.material in bytes_of}",
        "same: set[KeyRef] = set()",
        f"{TEST_LEAK}::test_the_same_bytes_under_another_name_have_leaked_with_it[another provider]",
    ),
    Mutant(
        "R8",
        "the look at the Lease after everything was read and before a file or a process is touched",
        EFFECTS,
        "whoever lost it changes nothing more (R8).\n        self._pause()\n",
        "whoever lost it changes nothing more (R8).\n",
        f"{_UNIT}/test_long_scan.py::test_r8_what_was_about_to_be_done_when_the_lease_was_lost_is_not_done[file]",
    ),
    Mutant(
        "R8",
        "the refusal to plan a rotation while another one is under way",
        SESSION,
        "        self._require_none_under_way()\n        facts = self._check(wish)\n",
        "        facts = self._check(wish)\n",
        f"{TEST_AGREED}::test_while_a_rotation_is_under_way_no_plan_of_another_one_is_made",
    ),
    Mutant(
        "R8",
        "the identity of the etcds in a plan",
        AGREED,
        '{f"{member.cluster_id}/{member.member_id}" for member in members}',
        "{member.endpoint for member in members}",
        f"{TEST_AGREED}::test_a_plan_is_for_these_servers_these_etcds_and_this_place_of_snapshots"
        "[a_restored_etcd-members of the etcds was c1/m1, and is c2/m1]",
    ),
    Mutant(
        "R13",
        "trying every edit of every file before anything is touched",
        SESSION,
        "        check_files(facts, now=self._world.clock.now())\n",
        "",
        f"{TEST_AGREED}"
        "::test_a_file_that_does_not_let_itself_be_changed_is_told_by_the_plan_and_before_anything_is_touched",
    ),
    Mutant(
        "R15",
        "asking again about an object whose patch met a conflict in the second pass",
        NOOP_PASS,
        "version = patched.resource_version if patched.outcome is Outcome.SENT else None",
        "version = patched.resource_version or versions[patched.ref]",
        f"{TEST_NOOP}::test_one_that_meets_nothing_but_conflicts_leaves_no_proof",
    ),
    Mutant(
        "R18",
        "what a new wildcard stands for",
        REACH,
        "return not lookup.isdisjoint(map(GroupResource.parse, resources))",
        "return resource in resources",
        f"{SCOPE}::test_rights_to_all_that_a_new_wildcard_stands_for_are_needed[no flag]",
    ),
)
