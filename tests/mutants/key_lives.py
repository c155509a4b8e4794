"""Guards around the end of a key, around Vault, and around a key store that needs what it protects (R4, R8, R10)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

DEACTIVATION = "keyctl/rotation/deactivation.py"
DESTRUCTION = "keyctl/rotation/destruction.py"
OBSTACLES = "keyctl/rotation/obstacles.py"
KEY_USE = "keyctl/rotation/key_use.py"
NODES = "keyctl/rotation/node_files.py"
CIRCULAR = "keyctl/rotation/circular.py"
NETWORK = "keyctl/kube/own_network.py"
POLICIES = "keyctl/keys/vault/policies.py"
SHARED = "keyctl/keys/vault/distribution.py"
ESCROW = "keyctl/keys/escrow.py"

_UNIT = "tests/unit/rotation"
TEST_DEACTIVATION = f"{_UNIT}/test_deactivation.py"
TEST_DESTRUCTION = f"{_UNIT}/test_destruction.py"
TEST_NODES = f"{_UNIT}/test_node_files.py"
TEST_CIRCULAR = f"{_UNIT}/test_circular.py"
TEST_NETWORK = "tests/unit/kube/test_own_network.py"
TEST_POLICIES = "tests/unit/keys/vault/test_policies.py"
TEST_ESCROW = "tests/unit/keys/test_escrow.py"

MUTANTS = (
    Mutant(
        "R4",
        "every use and every doubt before a key is called out of use",
        DEACTIVATION,
        "        require_unused(facts)\n",
        "",
        f"{TEST_DEACTIVATION}::test_one_live_value_is_a_use",
    ),
    Mutant(
        "R4",
        "the states that lead no way back to deactivated",
        DEACTIVATION,
        "if record.state in _OVER:",
        "if False:",
        f"{TEST_DEACTIVATION}::test_there_is_no_way_back_from_worse_states",
    ),
    Mutant(
        "R4",
        "what etcd's history has of a key that somebody took out of the files",
        DEACTIVATION,
        "            note_history(self._world, revisions_of(self._world), (self._ref,))\n",
        "",
        f"{TEST_DEACTIVATION}"
        "::test_r4_a_write_that_lands_late_under_a_key_that_was_just_taken_out_by_hand_finds_the_key",
    ),
    Mutant(
        "R8",
        "the look at the Lease after everything was read, before a key is called out of use",
        DEACTIVATION,
        "            self._world.lease.check()\n",
        "",
        f"{TEST_DEACTIVATION}::test_r8_a_lease_that_was_lost_while_everything_was_read_ends_it",
    ),
    Mutant(
        "R4",
        "the register as it is at the moment of the destruction",
        "keyctl/keys/backups.py",
        "if backup not in judged:",
        "if False:",
        "tests/contract/test_key_store.py::test_a_backup_that_nobody_judged_keeps_its_key_from_being_destroyed[file]",
    ),
    Mutant(
        "R4",
        "that the key store is told which backups were judged, and no more",
        DESTRUCTION,
        "judged=needing)",
        "judged=self._needing())",
        f"{TEST_DESTRUCTION}::test_a_snapshot_that_is_registered_while_everything_is_read_keeps_the_key",
    ),
    Mutant(
        "R4",
        "files that nodes are to load, or have reported",
        OBSTACLES,
        "    yield from facts.nodes\n",
        "",
        f"{TEST_NODES}::test_what_a_server_is_to_load_names_it_and_the_entry",
    ),
    Mutant(
        "R4",
        "reports of servers that the cluster file does not list any more",
        SHARED,
        "for server in self._vault.names(self._place.reports):",
        "for server in self._servers:",
        f"{TEST_NODES}::test_what_the_agent_of_a_server_that_left_has_reported_names_it_and_the_entry",
    ),
    Mutant(
        "R4",
        "the bytes of a key in a file that no server would load",
        NODES,
        "return key is not None and base64.b64encode(key.material) in trace.content",
        "return False",
        f"{TEST_NODES}::test_what_no_server_would_load_counts_when_the_key_is_in_it",
    ),
    Mutant(
        "R4",
        "a rotation that was begun elsewhere, by its key in a file",
        KEY_USE,
        "    return tuple(sorted(made & in_files - {ref}))",
        "    return ()",
        f"{TEST_DESTRUCTION}::test_a_rotation_that_was_begun_elsewhere_keeps_the_leaked_key_that_it_takes_away",
    ),
    Mutant(
        "R4",
        "the backups of an escrow before its keys",
        ESCROW,
        "        if backup.location not in known:\n            store.note_backup(backup)\n",
        "        pass\n",
        f"{TEST_ESCROW}::test_a_restore_that_is_cut_off_leaves_no_key_that_its_backups_do_not_hold_back",
    ),
    Mutant(
        "R4",
        "what is registered by now, which is newer than an escrow",
        ESCROW,
        "        if backup.location not in known:\n",
        "        if True:\n",
        f"{TEST_ESCROW}::test_what_is_registered_by_now_is_newer_than_the_escrow",
    ),
    Mutant(
        "R4",
        "of what nodes load, the newest version alone",
        "keyctl/keys/vault/client.py",
        '{"max_versions": "1"}',
        "{}",
        "tests/unit/keys/vault/test_client.py"
        "::test_of_what_is_to_keep_its_newest_version_exactly_that_is_asked_and_as_text",
    ),
    Mutant(
        "R4",
        "that of what is published, too",
        SHARED,
        "        for one in (path, self._place.applied(server)):\n            self._keep_short(one)\n",
        "",
        "tests/unit/keys/vault/test_distribution.py::test_a_file_of_a_server_that_has_no_agent_any_more_is_left_out",
    ),
    Mutant(
        "R4",
        "older versions of what nodes load, denied to nodes",
        POLICIES,
        '  denied_parameters = {{\n    "version" = []\n  }}\n',
        "",
        f"{TEST_POLICIES}::test_a_node_reads_the_newest_rendition_alone_and_nothing_else",
    ),
    Mutant(
        "R4",
        "the parameters by which a rotator may annotate a key, and not shorten its life",
        POLICIES,
        '  allowed_parameters = {{\n    "custom_metadata" = []\n    "cas_required" = [true]\n  }}\n',
        "",
        f"{TEST_POLICIES}::test_a_rotator_writes_a_key_once_and_has_no_side_door_to_destroy_it",
    ),
    Mutant(
        "R10",
        "the name of a Service as that of a key store",
        CIRCULAR,
        "    if _is_service(place.host):\n",
        "    if False:\n",
        f"{TEST_CIRCULAR}::test_the_name_of_a_service_is_enough",
    ),
    Mutant(
        "R10",
        "the refusal of a key store behind an address of the cluster",
        CIRCULAR,
        "        if found:\n",
        "        if False:\n",
        f"{TEST_CIRCULAR}::test_a_store_behind_an_address_of_the_cluster_is_refused",
    ),
    Mutant(
        "R10",
        "what is not known of where the key store runs",
        CIRCULAR,
        '    doubts = "; ".join(_doubts(place, network))\n',
        '    doubts = ""\n',
        f"{TEST_CIRCULAR}::test_what_may_not_be_listed_is_said_and_not_taken_for_nothing",
    ),
    Mutant(
        "R10",
        "the doubt about a key store that is reached on this very machine",
        CIRCULAR,
        "    if any(ip_address(one).is_loopback for one in place.addresses):\n",
        "    if False:\n",
        f"{TEST_CIRCULAR}::test_a_port_of_this_machine_may_lead_into_the_cluster",
    ),
    Mutant(
        "R10",
        "the own addresses of Services",
        NETWORK,
        "        for address in sorted(own):\n",
        "        for address in sorted(own)[:0]:\n",
        f"{TEST_NETWORK}::test_the_own_addresses_of_a_service_are_its_at_every_port",
    ),
    Mutant(
        "R10",
        "the ports of Services on every Node",
        NETWORK,
        "for address in on_nodes)",
        "for address in on_nodes[:0])",
        f"{TEST_NETWORK}::test_a_node_port_is_open_on_every_node_and_the_other_ports_of_a_node_are_not_the_services",
    ),
    Mutant(
        "R10",
        "what balances the load of a Service",
        NETWORK,
        '(*_texts(service, "spec", "externalIPs"), *_balanced(service))',
        '_texts(service, "spec", "externalIPs")',
        f"{TEST_NETWORK}::test_what_a_service_is_reachable_by_from_outside_is_its_at_its_port",
    ),
    Mutant(
        "R10",
        "endpoints that somebody wrote by hand, which may be anywhere",
        NETWORK,
        'if fields.text(endpoint, "targetRef", "kind") == "Pod":',
        "if True:",
        f"{TEST_NETWORK}::test_the_address_of_a_pod_is_its_and_one_written_by_hand_is_nobodys",
    ),
    Mutant(
        "R10",
        "the hosts of Ingresses",
        NETWORK,
        "            if host:\n",
        "            if False:\n",
        f"{TEST_NETWORK}::test_the_hosts_of_an_ingress_are_its",
    ),
    Mutant(
        "R10",
        "the addresses of Nodes",
        NETWORK,
        'yield fields.text(address, "address").lower(), ',
        'yield "", ',
        f"{TEST_NETWORK}::test_nodes_are_known_by_each_of_their_addresses",
    ),
    Mutant(
        "R10",
        "kinds that we may not list",
        "keyctl/kube/servers.py",
        "                    unseen.append(resource)\n",
        "                    pass\n",
        f"{TEST_NETWORK}::test_what_we_may_not_list_is_named_and_the_rest_is_used",
    ),
)
