"""LG's three clouds: which one serves a country, and the hosts of each.

Owns: LG's regions and phases, the table of countries, and the addresses that follow from them.
Must not: know an account or a setting.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType


class Region(StrEnum):
    """LG's three clouds: Asia and Pacific, Europe with the Middle East and Africa, the Americas."""

    KIC = "kic"
    EIC = "eic"
    AIC = "aic"


class Phase(StrEnum):
    """LG's platform for operation, and the one for trials."""

    OP = "op"
    QA = "qa"


# Which cloud serves which country: as LG's own client has it (thinqconnect 1.0.14 on PyPI, country.py).
_COUNTRIES = {
    Region.KIC: "AU BD CN HK ID IN JP KH KR LA LK MM MY NP NZ PH SG TH TW VN",
    Region.AIC: """
        AG AR AW BB BO BR BS BZ CA CL CO CR CU DM DO EC GD GT GY HN HT JM KN LC MX NI PA PE PR PY SR SV TT US UY VC VE
    """,
    Region.EIC: """
        AE AF AL AM AO AT AZ BA BE BF BG BH BJ BY CD CF CG CH CI CM CV CY CZ DE DJ DK DZ EE EG ES ET FI FR GA GB GE GH
        GM GN GQ GR HR HU IE IL IQ IR IS IT JO KE KG KW KZ LB LR LT LU LV LY MA MD ME MK ML MR MT MU MW NE NG NL NO OM
        PK PL PS PT QA RO RS RU RW SA SD SE SI SK SL SN SO ST SY TD TG TN TR TZ UA UG UZ XK YE ZA ZM
    """,
}
_REGIONS = MappingProxyType(
    {country: region for region, names in _COUNTRIES.items() for country in names.split()}
)


def region_of(country: str) -> Region | None:
    """Return the cloud that serves a country, or None where LG's own client does not know it."""
    return _REGIONS.get(country)


def service_url(region: Region, phase: Phase) -> str:
    """Return the host of LG's partner API in one region."""
    return f"https://{region}{'-qa' if phase is Phase.QA else ''}-ext.lgthinq.com"


_SERVICE_URLS = MappingProxyType(
    {service_url(region, phase): (region, phase) for region in Region for phase in Phase}
)


def cloud_of(url: str) -> tuple[Region, Phase] | None:
    """Return which of LG's clouds an address leads to, or None where it is none of them."""
    return _SERVICE_URLS.get(url.lower())


def token_url(country: str, phase: Phase) -> str:
    """Return where LG renews the access tokens of one country's users."""
    return f"https://{'qt-' if phase is Phase.QA else ''}{country.lower()}.m.lgaccount.com/emp/v2/token"
