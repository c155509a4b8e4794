"""Guards of a move to a KMS plugin, or away from one."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MOVES = "keyctl/rotation/plugin_moves.py"
VALUES = "keyctl/rotation/kms_values.py"
TESTS = "tests/unit/rotation/test_plugin_moves.py"

MUTANTS = (
    Mutant(
        "R16",
        "plugins of one key before the first of them writes",
        VALUES,
        "if len(set(seen.values())) > 1:",
        "if False:",
        f"{TESTS}::test_r16_plugins_with_different_keys_never_write",
    ),
    Mutant(
        "R16",
        "every server names the key of its plugin",
        VALUES,
        "if silent is not None:",
        "if False:",
        f"{TESTS}::test_r16_a_plugin_whose_key_nobody_names_does_not_write",
    ),
    Mutant(
        "R16",
        "the head of a canary that a plugin seals",
        "keyctl/rotation/switch.py",
        "isinstance(head, Sealed) and head.ref == new and kms_v2_key_id(value[head.body_at :]) is not None",
        "True",
        f"{TESTS}::test_r16_a_server_that_writes_with_another_key_than_the_plugin_is_found_by_its_canary",
    ),
    Mutant(
        "R16",
        "one entry at a time goes to a plugin",
        MOVES,
        "if len(entries) != 1:",
        "if False:",
        f"{TESTS}::test_r16_what_no_file_could_say_is_refused[two entries]",
    ),
    Mutant(
        "R5",
        "a plugin's name that the file has already",
        MOVES,
        "if plugin.name in here:",
        "if False:",
        f"{TESTS}::test_r16_what_no_file_could_say_is_refused[a name that is taken]",
    ),
    Mutant(
        "R16",
        "from one plugin to another over a static key only",
        MOVES,
        "if any(index in entries for index, _ in _plugins(config)):",
        "if False:",
        f"{TESTS}::test_r16_what_no_file_could_say_is_refused[a second plugin in the entry]",
    ),
    Mutant(
        "R16",
        "one entry at a time leaves a plugin",
        MOVES,
        'if len(entries) > 1 or reader.version != "v2":',
        "if False:",
        f"{TESTS}::test_r16_what_no_file_could_say_is_refused[two entries away from plugins]",
    ),
    Mutant(
        "R16",
        "files that reach a plugin at different places",
        MOVES,
        "if len(found) > 1:",
        "if False:",
        f"{TESTS}::test_r16_files_that_reach_the_plugin_at_different_places_are_refused",
    ),
    Mutant(
        "R16",
        "servers from before KMS v2",
        MOVES,
        "if found is None or (int(found[1]), int(found[2])) < _OLDEST:",
        "if False:",
        f"{TESTS}::test_r16_a_server_from_before_kms_v2_is_refused",
    ),
    Mutant(
        "R16",
        "more values under a plugin than can be asked for",
        MOVES,
        "if total > KMS_LIMIT:",
        "if False:",
        f"{TESTS}::test_r16_more_values_than_can_be_asked_for_one_by_one_stay_where_they_are",
    ),
    Mutant(
        "R7",
        "the file without a plugin that never wrote, where it keeps a server down",
        "keyctl/rotation/machine.py",
        "if kept is not None:",
        "if False:",
        f"{TESTS}::test_r16_a_host_without_the_plugin_stops_it_and_both_ways_are_open",
    ),
    Mutant(
        "R7",
        "that way for a plugin only as long as nothing was written with it",
        "keyctl/rotation/observe.py",
        "way is Way.BACK and plan.new.provider is Provider.KMS and not promoted",
        "way is Way.BACK and plan.new.provider is Provider.KMS",
        f"{TESTS}::test_r7_a_plugin_that_has_written_is_waited_for_on_the_way_back",
    ),
)
