"""Guards for servers that do not report what they have loaded, and for servers that join: R2, R11."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

LOADED = "keyctl/rotation/loaded.py"
EFFECTS = "keyctl/rotation/effects.py"
FACTS = "keyctl/rotation/server_facts.py"
OBSERVE = "keyctl/rotation/observe.py"
MEMBERSHIP = "keyctl/rotation/membership.py"
JOINING = "keyctl/rotation/joining.py"
MACHINE = "keyctl/rotation/machine.py"

TEST_LOADED = "tests/unit/rotation/test_loaded.py"
TEST_UNSURE = "tests/unit/rotation/test_machine_unsure.py"
TEST_CONVERGENCE = "tests/unit/rotation/test_convergence.py"
TEST_MEMBERSHIP = "tests/unit/rotation/test_membership.py"
TEST_JOINING = "tests/unit/rotation/test_joining.py"

_ONE_LOOK = f"{TEST_LOADED}::test_one_look_shows_what_was_loaded_where_the_clocks_leave_no_doubt"

MUTANTS = (
    Mutant(
        "R2",
        "the comparison of a server's clock with its host's",
        LOADED,
        "if abs(probe.ahead - disk.ahead) > SKEW:",
        "if False:",
        f"{_ONE_LOOK}[its clock is ahead of its host's]",
    ),
    Mutant(
        "R2",
        "the margin after a change before a start counts",
        LOADED,
        "if probe.start_time > max(file_changed + MARGIN, disk.manifest_changed):",
        "if probe.start_time > max(file_changed, disk.manifest_changed):",
        f"{_ONE_LOOK}[within the margin]",
    ),
    Mutant(
        "R2",
        "the margin after a change before a reload counts",
        LOADED,
        "probe.reloaded_at > file_changed + MARGIN:",
        "probe.reloaded_at > file_changed:",
        f"{_ONE_LOOK}[reloaded within the margin]",
    ),
    Mutant(
        "R2",
        "the time of the manifest, whose flags decide what is loaded",
        LOADED,
        "if probe.start_time > max(file_changed + MARGIN, disk.manifest_changed):",
        "if probe.start_time > file_changed + MARGIN:",
        f"{_ONE_LOOK}[its manifest, too, is changed]",
    ),
    Mutant(
        "R2",
        "the demand that a file is unchanged since it was read before the start",
        LOADED,
        "    if disk != memory.disk:\n        return None\n",
        "",
        f"{TEST_LOADED}::test_a_file_that_was_changed_again_after_the_look_in_between_is_not_taken_for_loaded",
    ),
    Mutant(
        "R2",
        "the demand that a server had loaded what our write took the place of",
        LOADED,
        "memory.ours = memory.process if memory.loaded.is_file(old) else None",
        "memory.ours = memory.process",
        f"{TEST_LOADED}::test_a_reload_after_our_write_may_be_of_the_file_before_where_that_was_not_loaded_yet",
    ),
    Mutant(
        "R2",
        "the demand that it is still the process whose file we replaced",
        LOADED,
        "process.start == ours.start and process.reloads > ours.reloads",
        "process.reloads > ours.reloads",
        f"{TEST_LOADED}::test_a_restart_before_it_reloaded_our_file_is_judged_as_a_start",
    ),
    Mutant(
        "R2",
        "the refusal to begin where nothing shows what a server has loaded",
        FACTS,
        "    if loaded.by is None:\n",
        "    if False:\n",
        f"{TEST_CONVERGENCE}::test_what_a_server_has_loaded_is_not_guessed_at",
    ),
    Mutant(
        "R2",
        "the refusal to wait for reloads that are never told",
        FACTS,
        "if reloads and probe.loaded_hash is None and not reports(probe, REPORTS_RELOADS):",
        "if False:",
        f"{TEST_CONVERGENCE}::test_reloads_that_are_never_told_are_not_waited_for",
    ),
    Mutant(
        "R2",
        "the canary of a server that does not say what it has loaded",
        EFFECTS,
        "self._write_canary(server, loaded) if inferred else None",
        "None",
        f"{TEST_CONVERGENCE}::test_a_canary_finds_a_server_that_started_without_reading_its_file",
    ),
    Mutant(
        "R9",
        "the wait before a restart that lets the clocks tell it from the write",
        EFFECTS,
        "            self._world.clock.sleep(MARGIN + 2)\n",
        "            pass\n",
        f"{TEST_CONVERGENCE}::"
        "test_after_one_rotation_by_restart_the_next_one_knows_what_is_loaded_from_any_machine[elsewhere]",
    ),
    Mutant(
        "R9",
        "giving up on a server that goes on refusing its file",
        EFFECTS,
        " or refusals.last(probe, clock.monotonic()):",
        ":",
        f"{TEST_CONVERGENCE}::test_a_file_that_a_server_refuses_to_reload_is_told_at_once_and_not_waited_out[hash]",
    ),
    Mutant(
        "R2",
        "a restart, where nothing shows what a server has loaded, before it is proven",
        MACHINE,
        "return Restart(server.name, _expected(server)) if server.unsure else ProveServer(server.name)",
        "return ProveServer(server.name)",
        f"{TEST_UNSURE}::test_on_the_way_back_one_without_its_flag_is_restarted_rather_than_proven_for_ever",
    ),
    Mutant(
        "R11",
        "the look for processes that answer turn by turn",
        OBSERVE,
        "        if several is not None or not all(probe.ready for probe in probes):\n            return several\n",
        "        if not all(probe.ready for probe in probes):\n            return None\n",
        f"{TEST_MEMBERSHIP}::test_a_rotation_through_a_load_balancer_with_two_servers_behind_it_stops",
    ),
    Mutant(
        "R11",
        "the look for a listed server whose identity Lease nobody renews",
        MEMBERSHIP,
        "    if silent is not None:\n        return Disagreement(f",
        "    if False:\n        return Disagreement(f",
        f"{TEST_MEMBERSHIP}::test_without_hostnames_the_ids_tie_servers_to_their_leases",
    ),
    Mutant(
        "R11",
        "the refusal of a joined server that is not ready",
        JOINING,
        "    if not facts.probe.ready:\n",
        "    if False:\n",
        f"{TEST_JOINING}::test_one_that_is_down_is_not_taken_in",
    ),
    Mutant(
        "R11",
        "the demand that a joined server has loaded its file",
        JOINING,
        "            check_file(facts)\n",
        "",
        f"{TEST_JOINING}::test_one_whose_process_has_not_loaded_that_file_yet_is_not_taken_in",
    ),
    Mutant(
        "R11",
        "the look at the flags of a joined server",
        JOINING,
        "    check_flags(world, facts)\n",
        "",
        f"{TEST_JOINING}::test_one_whose_flags_say_other_than_the_cluster_file_is_not_taken_in",
    ),
)
