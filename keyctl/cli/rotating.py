"""What `keyctl rotate` is asked for, which of its flags go together, and who does it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import click

from keyctl.cli import changing, report_files, scheduled
from keyctl.cli.key_names import parse_key
from keyctl.encryption_config.kms_rules import is_positive_duration
from keyctl.encryption_config.plugin import Plugin
from keyctl.errors import WrongUsageError
from keyctl.keys.key import Provider
from keyctl.kms.endpoint import parse
from keyctl.rotation.plan import Goal


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of `rotate` alone. At most one of `resume`, `abort`, `evidence` and `if_due` is given."""

    provider: str | None
    plugin: Plugin | None
    resources: tuple[str, ...]
    rename_to: str | None
    remove_identity: bool
    compromised: str | None
    resume: bool
    abort: bool
    evidence: Path | None
    if_due: bool
    ignore_window: bool
    reports: tuple[str, ...] = ()

    @classmethod
    def from_options(cls, given: Mapping[str, object]) -> Asked:
        """From what click hands over. Raises `WrongUsageError`."""
        resources = given["resources"]
        asked = cls(
            provider=_text(given["provider"]),
            plugin=_plugin(given),
            resources=tuple(map(str, resources)) if isinstance(resources, tuple) else (),
            rename_to=_text(given["rename_to"]),
            remove_identity=bool(given["remove_identity"]),
            compromised=_text(given["compromised"]),
            resume=bool(given["resume"]),
            abort=bool(given["abort"]),
            evidence=path if isinstance(path := given["evidence"], Path) else None,
            if_due=bool(given["if_due"]),
            ignore_window=bool(given["ignore_window"]),
            reports=tuple(map(str, reports)) if isinstance(reports := given["reports"], tuple) else (),
        )
        if sum((asked.resume, asked.abort, asked.evidence is not None, asked.if_due)) > 1:
            raise WrongUsageError("--resume, --abort, --if-due and --verify-evidence exclude each other")
        if asked.reports and asked.evidence is None:
            raise WrongUsageError(
                "a rotation that is made writes its own evidence, and no report",
                hint="give --report to --verify-evidence, once the rotation has ended",
            )
        if asked.ignore_window and not asked.if_due:
            raise WrongUsageError(
                "only --if-due keeps to the maintenance window", hint="leave --ignore-window out, or add --if-due"
            )
        return asked

    def wishes(self, change: changing.Change) -> bool:
        """Whether it is said what a new rotation is to be like."""
        return bool(
            self.provider
            or self.resources
            or self.rename_to
            or self.remove_identity
            or self.compromised
            or change.allow_downtime
            or change.template_updated
            or change.second_pass
        )


def rotate(cluster: Path | None, asked: Asked, change: changing.Change) -> None:
    """Do what is asked for. Raises `WrongUsageError` for flags that do not go together."""
    if asked.evidence is not None:
        _verify(asked.evidence, asked, change)
    elif asked.resume:
        _resume(cluster, asked, change)
    elif asked.abort:
        _abort(cluster, asked, change)
    elif asked.if_due:
        _if_due(cluster, asked, change)
    else:
        _begin(cluster, asked, change)


def _resume(cluster: Path | None, asked: Asked, change: changing.Change) -> None:
    if asked.wishes(change) or _planned(change) or change.dry_run:
        raise WrongUsageError(
            "--resume goes on with the plan that was agreed to",
            hint="of the other flags it takes --cluster, --pause-after, --history, --engine, -o, -q and --yes",
        )
    changing.resume(cluster, change)


def _abort(cluster: Path | None, asked: Asked, change: changing.Change) -> None:
    if asked.wishes(change) or _planned(change) or change.pause_after or change.history or change.rehearsed:
        raise WrongUsageError(
            "--abort goes all the way back",
            hint="of the other flags it takes --cluster, --dry-run=client, --engine, -o, -q and --yes",
        )
    changing.abort(cluster, change)


def _if_due(cluster: Path | None, asked: Asked, change: changing.Change) -> None:
    if asked.rename_to or asked.remove_identity or asked.compromised or _planned(change):
        raise WrongUsageError(
            "--if-due begins a rotation to a new key, by the policy, and no other change",
            hint="leave out --rename-to, --remove-identity, --compromised, --plan-file and --apply",
        )
    if asked.plugin is not None:
        raise WrongUsageError(
            "a move to a KMS plugin is made once, and watched", hint="begin it without --if-due: keyctl rotate"
        )
    wish = change.wish(Goal.ROTATE, asked.provider, asked.resources)
    scheduled.rotate_if_due(cluster, change, wish, ignore_window=asked.ignore_window)


def _begin(cluster: Path | None, asked: Asked, change: changing.Change) -> None:
    if asked.compromised:
        if asked.resources or asked.rename_to or asked.remove_identity:
            raise WrongUsageError(
                "a key that has leaked is changed wherever it is, for other bytes",
                hint="beside it give --provider only",
            )
        wish = change.wish(Goal.ROTATE, asked.provider, (), asked.plugin)
        changing.start(cluster, change, replace(wish, compromised=parse_key(asked.compromised)))
    elif asked.remove_identity:
        if asked.provider or asked.rename_to:
            raise WrongUsageError(
                "--remove-identity leaves the key that writes as it is", hint="do one after the other"
            )
        changing.start(cluster, change, change.wish(Goal.REMOVE_IDENTITY, None, asked.resources))
    else:
        if asked.provider and asked.rename_to:
            raise WrongUsageError(
                "another provider needs a new key, with a name of its own", hint="leave one of them out"
            )
        wish = change.wish(Goal.ROTATE, asked.provider, asked.resources, asked.plugin)
        changing.start(cluster, change, replace(wish, new_name=asked.rename_to))


def _verify(directory: Path, asked: Asked, change: changing.Change) -> None:
    said = change.dry_run or change.pause_after or change.history or change.engine or change.yes
    if asked.wishes(change) or _planned(change) or said:
        raise WrongUsageError("--verify-evidence takes no other flag than -o, -q and --report")
    from keyctl.rotation.evidence_check import check
    from keyctl.rotation.evidence_report import to_report

    targets = report_files.checked(asked.reports, (directory,))
    checked = check(directory)

    def show() -> None:
        if change.output == "json":
            click.echo(json.dumps(checked.to_record()))
            return
        lines = checked.lines()
        click.echo("\n".join((lines[0], lines[-1]) if change.quiet else lines))

    click.get_current_context().exit(report_files.deliver(to_report(checked), targets, show))


def _planned(change: changing.Change) -> bool:
    return bool(change.plan_file or change.apply)


def _plugin(given: Mapping[str, object]) -> Plugin | None:
    """The plugin that --provider kms goes to. Raises `WrongUsageError` for one that kube-apiserver would not take."""
    name, endpoint, timeout = (_text(given.get(f"kms_{field}")) for field in ("name", "endpoint", "timeout"))
    if given["provider"] != Provider.KMS.value:
        if name or endpoint or timeout:
            raise WrongUsageError("--kms-name, --kms-endpoint and --kms-timeout go with --provider kms")
        return None
    if not name or not endpoint:
        raise WrongUsageError(
            "--provider kms needs --kms-name and --kms-endpoint",
            hint="for example: keyctl rotate --provider kms --kms-name vault --kms-endpoint unix:///run/kms/kms.sock",
        )
    if ":" in name:
        raise WrongUsageError("a colon in the name of a KMS v2 plugin", hint="kube-apiserver takes none; leave it out")
    if timeout is not None and not is_positive_duration(timeout):
        raise WrongUsageError(f"{timeout!r} is no timeout", hint="write a duration such as 3s")
    return Plugin(name, parse(endpoint).text, timeout)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
