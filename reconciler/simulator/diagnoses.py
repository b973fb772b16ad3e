"""The diagnoses that the simulated platform makes, and the sample of LG's PCC Logic Table that explains them.

Owns: the made-up diagnosis types of each appliance type. LG's own are not public: partners get them in the table.
Must not: be taken for LG's words; every type begins with ``SIM_``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One row of the sample table. ``category`` is one of LG's five, in lower case with underscores."""

    type: str
    category: str
    device_type: str
    short: str
    full: str
    short_ko: str
    full_ko: str


TABLE: Final[tuple[Diagnosis, ...]] = (
    Diagnosis(
        "SIM_WASHER_DRAIN_SLOW",
        "malfunction",
        "DEVICE_WASHER",
        "The washer drains slowly",
        "Clean the drain filter. If the water still stays in the drum, call the service.",
        "세탁기 배수가 느립니다",
        "배수 필터를 청소하세요. 물이 계속 남아 있으면 서비스에 연락하세요.",
    ),
    Diagnosis(
        "SIM_WASHER_TUB_CLEAN_DUE",
        "maintenance",
        "DEVICE_WASHER",
        "The drum needs cleaning",
        "Run the tub clean course with an empty drum.",
        "통세척이 필요합니다",
        "세탁물 없이 통세척 코스를 실행하세요.",
    ),
    Diagnosis(
        "SIM_WASHER_NOT_LEVEL",
        "installation",
        "DEVICE_WASHER",
        "The washer is not level",
        "Turn the feet until the washer no longer rocks.",
        "세탁기 수평이 맞지 않습니다",
        "제품이 흔들리지 않을 때까지 수평 다리를 조절하세요.",
    ),
    Diagnosis(
        "SIM_FRIDGE_WARM",
        "malfunction",
        "DEVICE_REFRIGERATOR",
        "The refrigerator is too warm",
        "Check that nothing blocks the air outlets. If it stays warm for a day, call the service.",
        "냉장고 온도가 높습니다",
        "냉기 토출구가 막혀 있는지 확인하세요. 하루가 지나도 그대로면 서비스에 연락하세요.",
    ),
    Diagnosis(
        "SIM_FRIDGE_DOOR_OPEN_OFTEN",
        "misuse",
        "DEVICE_REFRIGERATOR",
        "The door is open too often",
        "Close the door fully, and keep hot food out until it has cooled.",
        "문이 자주 열려 있습니다",
        "문을 완전히 닫고 뜨거운 음식은 식힌 뒤에 넣으세요.",
    ),
    Diagnosis(
        "SIM_FRIDGE_WATER_FILTER_DUE",
        "part_inquiry",
        "DEVICE_REFRIGERATOR",
        "The water filter is used up",
        "Order a new filter and replace it.",
        "정수 필터 교체 시기입니다",
        "새 필터를 주문해 교체하세요.",
    ),
    Diagnosis(
        "SIM_DISH_WASHER_NO_WATER",
        "installation",
        "DEVICE_DISH_WASHER",
        "No water reaches the dish washer",
        "Open the tap and straighten the hose.",
        "식기세척기에 물이 공급되지 않습니다",
        "수도꼭지를 열고 호스가 꺾이지 않았는지 확인하세요.",
    ),
    Diagnosis(
        "SIM_DISH_WASHER_RINSE_AID_LOW",
        "maintenance",
        "DEVICE_DISH_WASHER",
        "Rinse aid is low",
        "Fill up the rinse aid.",
        "린스가 부족합니다",
        "린스를 보충하세요.",
    ),
    Diagnosis(
        "SIM_OVEN_HEATS_SLOWLY",
        "malfunction",
        "DEVICE_OVEN",
        "The oven heats slowly",
        "Call the service: a heater may be broken.",
        "오븐 예열이 느립니다",
        "히터 고장일 수 있습니다. 서비스에 연락하세요.",
    ),
    Diagnosis(
        "SIM_OVEN_DOOR_SEAL_WORN",
        "part_inquiry",
        "DEVICE_OVEN",
        "The door seal is worn",
        "Order a new door seal.",
        "도어 패킹이 낡았습니다",
        "새 도어 패킹을 주문하세요.",
    ),
)
"""All diagnoses, as the partner would get them."""

GENERAL: Final = "SIM_CHECK_DUE"
"""What is diagnosed for an appliance type that has no row. It is in no table, as a new type of LG's would be."""


def diagnosis_types(device_type: str | None) -> tuple[str, ...]:
    """Return what can be diagnosed for an appliance type, ``DEVICE_WASHER`` for example."""
    found = tuple(row.type for row in TABLE if row.device_type == device_type)
    return found or (GENERAL,)
