"""What kube-apiservers of different versions make of one and the same file. A table; judges nothing."""

from __future__ import annotations

from dataclasses import dataclass

OLDEST = 27
NEWEST = 37


@dataclass(frozen=True, slots=True)
class Server:
    """A kube-apiserver 1.`minor`. `kms_v1_gate` is its feature gate KMSv1; None leaves the version's default.

    Raises `ValueError` for a version whose reading is not known here.
    """

    minor: int = NEWEST
    kms_v1_gate: bool | None = None

    def __post_init__(self) -> None:
        if not OLDEST <= self.minor <= NEWEST:
            raise ValueError(f"kube-apiserver 1.{self.minor} is not known")

    @property
    def strict(self) -> bool:
        """Whether unknown fields and fields that stand twice are refused; before, they were ignored."""
        return self.minor >= 31

    @property
    def kms_v1(self) -> bool:
        """Whether a KMS v1 provider is loaded: deprecated in 1.28, behind the gate since 1.29."""
        return self.minor < 29 if self.kms_v1_gate is None else self.kms_v1_gate

    def __str__(self) -> str:
        return f"1.{self.minor}"


NEWEST_SERVER = Server()
