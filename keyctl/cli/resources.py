"""Resources that a user names on the command line, taken as kube-apiserver takes them in a configuration."""

from __future__ import annotations

from keyctl.encryption_config.checks.served_resources import unknown_resource
from keyctl.encryption_config.effective import GroupResource
from keyctl.encryption_config.resource_names import problem_of
from keyctl.errors import WrongUsageError


def checked(text: str) -> str:
    """`text` as a configuration would name it, without a trailing dot.

    Raises `WrongUsageError` for what kube-apiserver does not take, and for what is no name at all.
    """
    parsed = GroupResource.parse(text)
    if not parsed.resource or not text.isprintable() or " " in text or "," in text or "/" in text:
        hint = "one plural in lower case each time, as kubectl api-resources prints it; repeat the option for more"
        raise WrongUsageError(f"{text!r} is no resource", hint=hint)
    problem = problem_of(text)
    if problem is not None:
        raise WrongUsageError(f"kube-apiserver takes no {text!r}: {problem.message}", hint=problem.hint)
    return str(parsed)


def existing(text: str) -> str:
    """The same, and it is a resource that can exist. Raises `WrongUsageError` for a typo too."""
    name = checked(text)
    suggestion = unknown_resource(name)
    if suggestion is not None:
        raise WrongUsageError(f"{text!r} is no resource: {suggestion.reason}", hint=suggestion.fix)
    return name
