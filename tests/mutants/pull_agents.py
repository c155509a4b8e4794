"""Guards around files that agents fetch: what is waited for, what an agent takes, what is taken back (R3, R8)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

HOST = "keyctl/hosts/agent.py"
AGENT = "keyctl/hosts/node_agent.py"
MEMORY = "keyctl/hosts/node_memory.py"
SHARED = "keyctl/keys/vault/distribution.py"
FILE = "keyctl/cluster_file/read.py"

TEST_HOST = "tests/unit/hosts/test_agent.py"
TEST_AGENT = "tests/unit/hosts/test_node_agent.py"
TEST_SHARED = "tests/unit/keys/vault/test_distribution.py"
TEST_FILE = "tests/unit/cluster_file/test_read.py"

MUTANTS = (
    Mutant(
        "R3",
        "an agent's refusal of a file that lacks a key which no rotation let go of",
        AGENT,
        "        if lost:\n",
        "        if False:\n",
        f"{TEST_AGENT}::test_a_file_that_lacks_a_key_which_no_rotation_let_go_of_is_refused",
    ),
    Mutant(
        "R8",
        "an agent's refusal to replace any file but the one that is to be replaced",
        AGENT,
        "        elif present.sha256 != wanted.replaces:\n",
        "        elif False:\n",
        f"{TEST_AGENT}::test_a_file_that_somebody_else_changed_is_left_and_named",
    ),
    Mutant(
        "R8",
        "an agent's refusal of an older rendition than its node has seen",
        AGENT,
        "        if seq <= seen.seq and not self._allow_rollback:\n",
        "        if False:\n",
        f"{TEST_AGENT}::test_an_older_rendition_than_was_seen_is_refused_until_it_is_allowed",
    ),
    Mutant(
        "R8",
        "an agent's refusal of what is wanted of another cluster",
        MEMORY,
        "        if cluster != self._cluster:\n",
        "        if False:\n",
        f"{TEST_AGENT}::test_a_node_of_another_cluster_follows_nothing",
    ),
    Mutant(
        "R8",
        "the number of a report, which tells an agent that has seen the change from one that has not",
        HOST,
        "report.seq >= seq and is_done(report)",
        "is_done(report)",
        f"{TEST_HOST}::test_a_report_of_an_earlier_rendition_proves_nothing",
    ),
    Mutant(
        "R8",
        "taking back what was published and never applied",
        HOST,
        "        if found is None or found.sha256 != wanted.sha256:\n",
        "        if False:\n",
        f"{TEST_HOST}::test_what_was_published_and_never_applied_is_taken_back_before_a_rotation_goes_on",
    ),
    Mutant(
        "R8",
        "waiting for an agent that may be about to apply what is taken back",
        HOST,
        "            self._until(path, self._distribution.want(self._name, None), lambda _: True)\n",
        "            self._distribution.want(self._name, None)\n",
        f"{TEST_HOST}::test_what_was_published_and_never_applied_is_taken_back_before_a_rotation_goes_on",
    ),
    Mutant(
        "R8",
        "the refusal of one of two who say at once what nodes are to load",
        SHARED,
        "            raise faults.conflict(path) from None\n",
        "            pass\n",
        f"{TEST_SHARED}::test_of_two_who_publish_at_once_one_is_refused_and_nothing_of_it_is_there",
    ),
    Mutant(
        "R8",
        "an agent's refusal to put anything in place of a file that is gone but the one that was there",
        AGENT,
        "        if not first and had != wanted.sha256 and not self._allow_rollback:\n",
        "        if False:\n",
        f"{TEST_AGENT}::test_a_file_that_is_gone_is_not_replaced_by_another_until_that_is_allowed",
    ),
    Mutant(
        "R8",
        "the refusal to publish while a node has seen more than stands in Vault",
        SHARED,
        "        self._require_newest(before.seq)\n",
        "",
        f"{TEST_SHARED}::test_nothing_is_published_while_any_node_has_seen_more_than_stands_there",
    ),
    Mutant(
        "R4",
        "leaving out what was wanted of a server that has no agent any more",
        SHARED,
        "if name != server and name in self._servers}",
        "if name != server}",
        f"{TEST_SHARED}::test_a_file_of_a_server_that_has_no_agent_any_more_is_left_out",
    ),
    Mutant(
        "R4",
        "an agent's keeping of its newest report only",
        SHARED,
        "        self._keep_short(path)\n        # NOTE: no check",
        "        # NOTE: no check",
        f"{TEST_SHARED}::test_of_reports_that_were_written_before_any_publication_the_last_one_alone_is_kept",
    ),
    Mutant(
        "R11",
        "the refusal to take an old report for the file as it is",
        HOST,
        "        if abs(now - datetime.fromisoformat(report.at)) > _OLD:\n",
        "        if False:\n",
        f"{TEST_HOST}::test_a_report_that_is_not_of_now_is_no_report_of_the_file_as_it_is",
    ),
    Mutant(
        "R8",
        "the bound of the wait for an agent, during which no Lease is renewed",
        FILE,
        "            if wait > _LONGEST_AGENT_WAIT:\n",
        "            if False:\n",
        f"{TEST_FILE}::test_an_agent_is_not_waited_for_longer_than_the_lease_of_a_rotation_stands",
    ),
)
