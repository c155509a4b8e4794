"""`keyctl verify-secrets`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from keyctl.cli import report_files, terminal
from keyctl.cli.options import (
    Connection,
    cluster_option,
    etcd_options,
    output_option,
    report_option,
    server_of,
    server_options,
)
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import ExitCode, UnreachableError, WrongUsageError
from keyctl.findings import Report, Status
from keyctl.keys.key import KeyRef, Provider
from keyctl.stored import rules

if TYPE_CHECKING:
    from keyctl.cli.verification import Target
    from keyctl.stored.source import FileSource
    from keyctl.verify.values import VerifyResult


@click.command("verify-secrets")
@cluster_option
@etcd_options
@click.option(
    "--snapshot",
    type=click.Path(path_type=Path),
    help="Read this snapshot (or a copy of member/snap/db) instead of a live etcd.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Read this data directory of a member (or a copy) instead of a live etcd.",
)
@click.option(
    "--encryption-config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Judge by this file. Default: what the API servers' hosts have.",
)
@click.option("--resource", "extra", multiple=True, metavar="R", help="Also require R to be encrypted. Repeatable.")
@click.option("--only", multiple=True, metavar="R", help="Judge R only. Repeatable.")
@click.option("--require", metavar="PROVIDER[:KEY]", help="Values must be under this provider, or this key.")
@click.option("--revision", type=click.IntRange(min=1), help="Read etcd at this revision instead of now.")
@click.option(
    "--residue",
    is_flag=True,
    help="With --snapshot or --data-dir: what history, freed pages, WAL and old files hold decides too.",
)
@server_options
@output_option
@report_option
@click.option("-q", "--quiet", is_flag=True, help="Print nothing when all is right; the exit code stays the same.")
@click.pass_context
def verify_secrets(
    ctx: click.Context,
    /,
    snapshot: Path | None,
    data_dir: Path | None,
    encryption_config: Path | None,
    extra: tuple[str, ...],
    only: tuple[str, ...],
    require: str | None,
    revision: int | None,
    residue: bool,
    output: str,
    reports: tuple[str, ...],
    quiet: bool,
    **given: object,
) -> None:
    """Read every value in etcd and say whether it is really encrypted: live over mutual TLS, or from its files.

    Values are counted by resource, provider and key, and each one is opened with the
    key that it names: a Kubernetes object must come out. Exits 0 only when something
    was looked at and all of it is right; 13 plaintext, 12 unreadable, 11 under another
    key than the one that writes, 14 and 15 what --residue adds, 10 nothing there, 4 when
    the configuration of a server that the cluster file lists could not be read. Flags
    that are not given come from ETCDCTL_* variables, the cluster file, or this machine's
    API server manifest.

    \b
    Examples:
      keyctl verify-secrets
      keyctl verify-secrets --encryption-config enc.yaml --report junit=keyctl.xml
      keyctl verify-secrets --snapshot backup.db --residue
      keyctl verify-secrets --data-dir /var/lib/etcd --residue
      keyctl verify-secrets --require aescbc -o json | jq .summary
      keyctl verify-secrets --endpoints https://10.0.0.1:2379 --cacert ca.crt --cert c.crt --key c.key
    """  # noqa: D301 — click reads the \b
    wanted = _parse_require(require)
    connection = Connection.from_options(given)
    targets = report_files.checked(reports, (snapshot, data_dir, encryption_config), connection)
    _check_source(ctx, snapshot, data_dir, residue=residue)
    from keyctl.cli import verification
    from keyctl.stored.judgement import precedence
    from keyctl.verify.report import to_report

    file = _file_source(snapshot, data_dir, revision or 0)
    with verification.target(
        connection, encryption_config, revision=revision or 0, file=file, server=server_of(given)
    ) as found:
        _require_configuration(found)
        results = [_judge(found, config, extra, only, wanted, residue=residue) for config in found.configs]
    worst = min(results, key=lambda result: precedence(result.exit_code))
    report = _with_context(to_report(worst), found, disagree=len(results) > 1)
    ctx.exit(report_files.deliver(report, targets, lambda: terminal.show(report, output), quiet=quiet))


def _check_source(ctx: click.Context, snapshot: Path | None, data_dir: Path | None, *, residue: bool) -> None:
    """Refuse what does not go together, or would be ignored."""
    if snapshot is not None and data_dir is not None:
        raise WrongUsageError("--snapshot and --data-dir exclude each other", hint="give the one to look at")
    if snapshot is None and data_dir is None:
        if residue:
            raise WrongUsageError(
                "--residue looks into files, and a live etcd shows none",
                hint="give --snapshot or --data-dir; keyctl snapshot save takes a snapshot",
            )
        return
    for name in ("endpoints", "cacert", "cert", "key"):
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise WrongUsageError(f"--{name} is for a live etcd", hint="leave it out: the values come from the file")


def _require_configuration(found: Target) -> None:
    """Raise `UnreachableError` where servers are listed, and the configuration of none of them could be read.

    Without any list, too, heads alone tell; but then nobody expects that values were opened.
    """
    if found.unread and all(config is None for config in found.configs):
        raise UnreachableError(
            "no API server's encryption configuration could be read, so nothing is proven",
            cause="\n".join(found.unread),
            hint=("run keyctl where the files can be read", "or: keyctl verify-secrets --encryption-config FILE"),
        )


def _file_source(snapshot: Path | None, data_dir: Path | None, revision: int) -> FileSource | None:
    if snapshot is not None:
        from keyctl.etcd_files.source import SnapshotSource

        return SnapshotSource(snapshot, revision)
    if data_dir is not None:
        from keyctl.etcd_files.data_dir import DataDirSource

        return DataDirSource(data_dir, revision)
    return None


def _judge(
    found: Target,
    config: EncryptionConfig | None,
    extra: tuple[str, ...],
    only: tuple[str, ...],
    require: KeyRef | Provider | None,
    *,
    residue: bool,
) -> VerifyResult:
    """Read and judge; once more beside what the API knows when something that must be encrypted is not there."""
    from keyctl.verify.values import verify

    # What a live etcd shows is under keys that a file has; which of them are retired matters behind it only.
    deactivated = found.register()[1] if found.file is not None else frozenset()

    def judge(expected: dict[str, int]) -> VerifyResult:
        return verify(
            found.source(),
            prefix=found.prefix,
            config=config,
            required=extra,
            only=only,
            require=require,
            expected_counts=expected,
            neighbours=found.neighbours,
            residue=residue,
            deactivated=deactivated,
        )

    result = judge({})
    # NOTE: where nothing at all is stored the prefix is wrong, and there is nothing to compare with the API.
    empty = tuple(one.resource for one in result.required if not one.values) if result.source.count else ()
    expected = found.counts(empty)
    return judge(expected) if expected else result


def _parse_require(value: str | None) -> KeyRef | Provider | None:
    if value is None:
        return None
    name, colon, key = value.partition(":")
    providers = [provider.value for provider in Provider if provider is not Provider.IDENTITY]
    if name not in providers or (colon and not key):
        raise WrongUsageError(
            f"--require takes PROVIDER or PROVIDER:KEY, not {value!r}", hint=f"providers: {', '.join(providers)}"
        )
    return KeyRef(Provider(name), key) if key else Provider(name)


def _with_context(report: Report, found: Target, *, disagree: bool) -> Report:
    """`report` with what it says nothing of: servers that were not looked at, or that do not agree."""
    findings = [rules.SERVER_UNREAD.finding(sentence, status=Status.UNKNOWN) for sentence in found.unread]
    if disagree:
        message = "the API servers have different encryption configurations; the worst result is shown"
        findings.append(rules.SERVERS_DIFFER.finding(message))
    missed = len(found.unread)
    of = "1 API server" if missed == 1 else f"{missed} API servers"
    unread = f"; the configuration of {of} was NOT read"
    return replace(
        report,
        # NOTE: what was read may be right; what another server writes, or cannot open, nobody looked at.
        exit_code=report.exit_code or (ExitCode.UNREACHABLE if missed else ExitCode.OK),
        verdict=report.verdict + (unread if missed else ""),
        findings=(*findings, *report.findings),
        notes=(*report.notes, *found.notes),
    )
