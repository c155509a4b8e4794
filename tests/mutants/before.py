"""Guards that stand before the first effect: census, names, owners, what is stored, what is asked for."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PREFLIGHT = "keyctl/rotation/preflight.py"
MEMBERSHIP = "keyctl/rotation/membership.py"
OWNER = "keyctl/rotation/owner.py"
FACTS = "keyctl/rotation/server_facts.py"

TEST_PREFLIGHT = "tests/unit/rotation/test_preflight.py"
TEST_SAME = "tests/unit/rotation/test_same_keys.py"
TEST_MEMBERSHIP = "tests/unit/rotation/test_membership.py"
TEST_STORE = "tests/contract/test_key_store.py"

MUTANTS = (
    Mutant(
        "R1",
        "the comparison of the servers' configurations",
        PREFLIGHT,
        "if other.config != first.config:",
        "if False:",
        f"{TEST_SAME}::test_r1_servers_whose_files_differ_in_more_than_comments_are_refused",
    ),
    Mutant(
        "R3",
        "the refusal to take a key from one resource that another one still has",
        PREFLIGHT,
        "if config is not None and others:",
        "if config is None:",
        f"{TEST_SAME}::test_r3_a_key_that_other_resources_share_leaves_all_of_them_or_none",
    ),
    Mutant(
        "R3",
        "the demand that settling takes as long as a request may",
        FACTS,
        "if timeout is None or world.settle < timeout:",
        "if timeout is None:",
        f"{TEST_PREFLIGHT}::test_a_settle_time_shorter_than_a_request_is_refused",
    ),
    Mutant(
        "R3",
        "the demand that every etcd of an override is in the cluster file",
        FACTS,
        "if resource not in ours:",
        "if resource not in ours:\n            continue\n        if False:",
        f"{TEST_PREFLIGHT}::test_a_cluster_that_could_not_be_carried_through_is_refused",
    ),
    Mutant(
        "R5",
        "the comparison of the files' keys with the key store's",
        PREFLIGHT,
        "if known is not None and known.fingerprint != key.fingerprint:",
        "if False:",
        f"{TEST_PREFLIGHT}::test_r5_a_name_with_other_bytes_in_the_key_store_is_refused",
    ),
    Mutant(
        "R5",
        "the refusal of one name for two keys in a file",
        "keyctl/encryption_config/effective.py",
        "if found.setdefault(key.ref, key) != key:",
        "if found.setdefault(key.ref, key) is None:",
        f"{TEST_PREFLIGHT}::test_r5_a_name_that_stands_for_two_keys_in_one_file_is_refused",
    ),
    Mutant(
        "R5",
        "the refusal of other bytes under a known name",
        "keyctl/keys/ledger.py",
        "if known.fingerprint != key.fingerprint:",
        "if False:",
        "tests/unit/keys/test_ledger.py::test_other_bytes_under_a_known_name_are_refused",
    ),
    Mutant(
        "R5",
        "the memory of a destroyed key's name",
        "keyctl/keys/ledger.py",
        "if known.state is KeyState.DESTROYED:",
        "if False:",
        f"{TEST_STORE}::test_the_name_of_a_destroyed_key_is_never_used_again",
    ),
    Mutant(
        "R5",
        "the import of every key of the files into the key store",
        "keyctl/rotation/secure.py",
        '        record = world.store.put(key, origin="imported")\n',
        '        continue\n        record = world.store.put(key, origin="imported")\n',
        "tests/unit/rotation/test_values.py::test_r5_every_key_of_the_files_is_in_the_store_before_a_new_one_is",
    ),
    Mutant(
        "R5",
        "reading a key back from the store before a file has it",
        "keyctl/rotation/secure.py",
        "if stored is None or stored.fingerprint != key.fingerprint:",
        "if False:",
        "tests/unit/rotation/test_values.py::test_a_store_that_does_not_give_the_key_back_stops_before_any_file_has_it",
    ),
    Mutant(
        "R5",
        "the comparison of the stored keys with the plan's fingerprints",
        "keyctl/rotation/known_keys.py",
        "if key is None or key.fingerprint != fingerprint:",
        "if key is None:",
        "tests/unit/rotation/test_guards.py::"
        "test_r5_a_new_key_with_other_bytes_than_the_plan_knows_is_not_gone_on_with",
    ),
    Mutant(
        "R9",
        "the question whether the only server may be restarted",
        PREFLIGHT,
        "if len(world.servers) == 1 and not world.servers[0].reloads and not wish.allow_downtime:",
        "if False:",
        f"{TEST_PREFLIGHT}::test_r9_the_only_server_is_restarted_only_when_downtime_is_allowed",
    ),
    Mutant(
        "R10",
        "opening every value, whatever its resource, before the first effect",
        PREFLIGHT,
        "    check_readable(found)\n    _check_kms",
        "    _check_kms",
        f"{TEST_PREFLIGHT}::"
        "test_r10_an_undecryptable_value_of_any_resource_stops_before_anything_is_touched[configmaps]",
    ),
    Mutant(
        "R10",
        "reading the etcds that overrides name",
        "keyctl/rotation/world.py",
        "JoinedSource(tuple(place.etcd.source() for place in self.etcds))",
        "JoinedSource((self.etcds[0].etcd.source(),))",
        f"{TEST_PREFLIGHT}::test_every_etcd_is_read_whatever_override_names_it",
    ),
    Mutant(
        "R10",
        "the first snapshot's values that have to open",
        "keyctl/rotation/secure.py",
        "    if found.unreadable:\n",
        "    if False:\n",
        "tests/unit/rotation/test_values.py::"
        "test_a_snapshot_that_does_not_open_is_no_way_back_and_stops_before_any_file_has_the_key",
    ),
    Mutant(
        "R10",
        "the count of what a scan delivered",
        "keyctl/rotation/scan.py",
        "if info.count != delivered:",
        "if False:",
        "tests/unit/rotation/test_scan.py::test_a_source_that_delivers_fewer_values_than_it_holds_is_refused",
    ),
    Mutant(
        "R10",
        "the proof that this etcd is the one behind these servers",
        PREFLIGHT,
        "if not isinstance(opened, Opened) or opened.object.uid != told:",
        "if False:",
        f"{TEST_PREFLIGHT}::test_an_etcd_that_is_not_the_one_behind_the_servers_is_unreachable[another_cluster]",
    ),
    Mutant(
        "R11",
        "the demand that every server is ready",
        PREFLIGHT,
        "        if not probe.ready:\n",
        "        if False:\n",
        f"{TEST_PREFLIGHT}::test_r11_a_census_that_does_not_agree_blocks_the_beginning[down]",
    ),
    Mutant(
        "R11",
        "the look for one process behind two addresses",
        MEMBERSHIP,
        "if process in seen:",
        "if False:",
        f"{TEST_MEMBERSHIP}::test_one_process_behind_two_addresses_is_seen",
    ),
    Mutant(
        "R11",
        "the identity Leases",
        MEMBERSHIP,
        "        or _leases(census, servers, probes)\n",
        "",
        f"{TEST_MEMBERSHIP}::test_a_source_that_knows_more_or_less_is_named_with_what_to_do",
    ),
    Mutant(
        "R11",
        "the Endpoints",
        MEMBERSHIP,
        "        or _endpoints(census, servers)\n",
        "",
        f"{TEST_MEMBERSHIP}::test_a_source_that_knows_more_or_less_is_named_with_what_to_do",
    ),
    Mutant(
        "R11",
        "the control-plane Nodes",
        MEMBERSHIP,
        "        or _nodes(census, servers, probes)\n",
        "",
        f"{TEST_MEMBERSHIP}::test_a_source_that_knows_more_or_less_is_named_with_what_to_do",
    ),
    Mutant(
        "R11",
        "the comparison of the listed servers with those of the plan, when going on",
        "keyctl/rotation/joining.py",
        "    if planned - listed:\n",
        "    if False:\n",
        "tests/unit/rotation/test_stopping.py::"
        "test_resuming_with_another_world_than_it_began_with_is_refused[other_servers-RefusedError-other API servers]",
    ),
    Mutant(
        "R12",
        "the distributions that own the file",
        OWNER,
        "if owner in _OWNERS:",
        "if False:",
        f"{TEST_PREFLIGHT}::test_r12_where_a_distribution_owns_the_file_its_own_way_is_named",
    ),
    Mutant(
        "R12",
        "knowing a distribution by the version that its servers say",
        OWNER,
        "else _owner_by_version(version)",
        'else ""',
        "tests/unit/rotation/test_guards.py::test_r12_a_distribution_that_nobody_named_is_known_by_its_version",
    ),
    Mutant(
        "R12",
        "the distributions that render the file from a template",
        OWNER,
        "if world.distribution in _TEMPLATED:",
        "if False:",
        f"{TEST_PREFLIGHT}::test_r12_where_a_distribution_owns_the_file_its_own_way_is_named",
    ),
    Mutant(
        "R12",
        "the look for kubeadm, whose next upgrade drops the flag",
        OWNER,
        'if enabling and world.etcd_of("configmaps").get(kubeadm) is not None:',
        "if False:",
        f"{TEST_PREFLIGHT}::test_r12_enable_is_refused_where_the_next_kubeadm_upgrade_drops_the_flag",
    ),
    Mutant(
        "R16",
        "the refusal to change a resource that has values of a KMS plugin",
        PREFLIGHT,
        "if set(covering) & set(entries):",
        "if False:",
        "tests/unit/rotation/test_kms.py::"
        "test_r16_where_an_entry_that_changes_has_values_under_a_kms_plugin_it_is_refused",
    ),
    Mutant(
        "R18",
        "the refusal of resources that an aggregated API server serves",
        PREFLIGHT,
        "if group in aggregated:",
        "if False:",
        "tests/unit/rotation/test_guards.py::test_r18_a_wildcard_over_a_group_of_an_aggregated_api_server_is_refused",
    ),
    Mutant(
        "R18",
        "the refusal of resources that no API serves",
        PREFLIGHT,
        'if "*" not in resource and str(effective.GroupResource.parse(resource)) not in served:',
        "if False:",
        f"{TEST_PREFLIGHT}::test_r18_a_resource_that_no_api_serves_is_refused",
    ),
)
