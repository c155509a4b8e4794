"""Guards around a host's files: how they are written, by whom they can be read, who else wrote them (R8, R13)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

EFFECTS = "keyctl/rotation/effects.py"
LOCAL = "keyctl/hosts/local.py"

TEST_FILES = "tests/unit/rotation/test_files.py"
TEST_LOCAL = "tests/unit/hosts/test_local.py"
TEST_CRASH = "tests/unit/hosts/test_local_crash.py"

MUTANTS = (
    Mutant(
        "R8",
        "the second look at a file after its neighbour was written",
        LOCAL,
        "                self._require(target, expected)\n                if old is None:\n",
        "                if old is None:\n",
        f"{TEST_LOCAL}::test_a_change_while_the_temporary_is_written_is_noticed",
    ),
    Mutant(
        "R13",
        "writing in place where a pod mounts the single file",
        EFFECTS,
        "            in_place=self._mounts_single_file(server),\n",
        "            in_place=False,\n",
        f"{TEST_FILES}::test_r13_a_single_mounted_file_is_written_in_place_and_all_others_beside_and_renamed",
    ),
    Mutant(
        "R13",
        "the refusal of a file that others may read",
        "keyctl/rotation/server_facts.py",
        "if facts.file.mode is not None and facts.file.mode & 0o077:",
        "if False:",
        "tests/unit/rotation/test_preflight.py::test_r13_a_file_that_others_may_read_gets_no_new_key",
    ),
    Mutant(
        "R13",
        "the refusal of symbolic links",
        LOCAL,
        "os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK",
        "os.O_RDONLY | os.O_NONBLOCK",
        f"{TEST_LOCAL}::test_a_link_that_leads_nowhere_is_refused_and_not_taken_for_a_missing_file",
    ),
    Mutant(
        "R13",
        "keeping the owner and the group of a file",
        LOCAL,
        "    os.fchown(descriptor, wanted.st_uid, wanted.st_gid)\n",
        "",
        f"{TEST_LOCAL}::test_a_file_whose_owner_cannot_be_kept_is_not_written",
    ),
    Mutant(
        "R13",
        "keeping the label of a file",
        LOCAL,
        "            os.setxattr(descriptor, attribute, value)\n",
        "            pass\n",
        f"{TEST_LOCAL}::test_the_label_of_a_file_is_kept",
    ),
    Mutant(
        "R13",
        "keeping the mode of a file",
        LOCAL,
        "    os.fchmod(descriptor, stat.S_IMODE(wanted.st_mode) & 0o777)\n",
        "",
        f"{TEST_LOCAL}::test_the_mode_of_a_file_is_kept_without_a_umask",
    ),
    Mutant(
        "R13",
        "the private mode of temporaries",
        LOCAL,
        "os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)",
        "os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)",
        f"{TEST_LOCAL}::test_a_temporary_is_private_exclusive_and_dotted",
    ),
    Mutant(
        "R13",
        "the synced copy that is kept while a file is written in place",
        LOCAL,
        "                if not _is_redo(temporary, target):\n",
        "                if True:\n",
        f"{TEST_CRASH}::test_a_rewrite_in_place_that_fails_keeps_the_copy_for_sweeping",
    ),
    Mutant(
        "R13",
        "syncing before a file is put in place",
        LOCAL,
        "        _write_all(descriptor, content)\n        os.fsync(descriptor)\n    except",
        "        _write_all(descriptor, content)\n    except",
        f"{TEST_LOCAL}::test_everything_is_synced_before_it_is_put_in_place_and_the_directory_after",
    ),
    Mutant(
        "R13",
        "reading a file back after writing it",
        LOCAL,
        "if found is None or found.content != content:",
        "if found is None:",
        f"{TEST_LOCAL}::test_what_does_not_read_back_is_not_called_written",
    ),
    Mutant(
        "R13",
        "sweeping leftovers on resume",
        LOCAL,
        "                leftover.unlink()\n            return tuple",
        "                pass\n            return tuple",
        "tests/contract/test_host.py::test_leftovers_are_swept_once_and_the_file_stays",
    ),
)
