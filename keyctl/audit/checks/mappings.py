"""What the requirements of frameworks are called that several checks meet. CIS ids stand in the profiles, by version.

The ids of DISA STIG, NIST 800-53 r5, PCI DSS 4.0.1, ISO 27001:2022, SOC 2 and HIPAA (45 CFR).
"""

from __future__ import annotations

REST = (
    "stig/V-274882",
    "nsa/etcd-encryption",
    "nist-800-53/SC-28(1)",
    "pci-4.0.1/3.5.1",
    "iso-27001/A.8.24",
    "soc2/CC6.1",
    "hipaa/164.312(a)(2)(iv)",
)
KEY = (
    "nist-800-53/SC-12",
    "nist-800-53/SC-28(3)",
    "pci-4.0.1/3.6.1",
    "pci-4.0.1/3.7",
    "iso-27001/A.8.24",
    "soc2/CC6.1",
)
TLS = (
    "nist-800-53/SC-8(1)",
    "nist-800-53/IA-5(2)",
    "pci-4.0.1/4.2.1",
    "iso-27001/A.8.24",
    "soc2/CC6.7",
    "hipaa/164.312(e)",
)
NET = ("nist-800-53/SC-7", "nist-800-53/CM-7", "pci-4.0.1/1.3", "iso-27001/A.8.20", "soc2/CC6.6")
FS = ("nist-800-53/AC-3", "nist-800-53/AC-6", "nist-800-53/CM-6", "pci-4.0.1/7.2", "iso-27001/A.8.3")
BKP = ("nist-800-53/CP-9", "iso-27001/A.8.13", "soc2/A1.2", "hipaa/164.308(a)(7)")
LOG = ("nist-800-53/AU-2", "nist-800-53/AU-12", "pci-4.0.1/10", "iso-27001/A.8.15", "soc2/CC7.2", "hipaa/164.312(b)")
VER = ("stig/V-242443", "nist-800-53/SI-2", "nist-800-53/RA-5", "pci-4.0.1/6.3.3", "iso-27001/A.8.8", "soc2/CC7.1")
AUTH = ("nist-800-53/AC-3", "nist-800-53/AC-6", "pci-4.0.1/7.2", "iso-27001/A.8.2")
