"""What acme is made of. Daybreak reads this file of the commit that it builds."""

from daybreak.catalog import Resource, at, rt

COMMON = Resource(name="common", type=rt.PACKAGE, dependent_paths=["packages/common"])
GEO = Resource(name="geo", type=rt.PACKAGE, packages_dependency=[COMMON], dependent_paths=["packages/geo"])
BILLING = Resource(
    name="billing", type=rt.PACKAGE, packages_dependency=[COMMON], dependent_paths=["packages/billing"]
)
MOBILITY = Resource(
    name="mobility",
    type=rt.PACKAGE,
    packages_dependency=[GEO, BILLING],
    dependent_paths=["packages/mobility"],
)

INFRA_BASE = Resource(
    name="infra_base", type=rt.INFRA, dependent_paths=["infra/base"],
    options={"template": "template.yaml", "stack": "base"},
)  # fmt: skip
INFRA_EPHEMERAL = Resource(
    name="infra_ephemeral", type=rt.INFRA, depends_on=[INFRA_BASE], dependent_paths=["infra/ephemeral"],
    options={"template": "template.yaml", "stack": "ephemeral"}, seeds="infra/ephemeral/seeds/seeds.yaml",
)  # fmt: skip
FLEET_DB = Resource(
    name="fleet_db", type=rt.DATABASE, dependent_paths=["databases/fleet"],
    options={"migrations": "migrations"}, seeds="databases/fleet/seeds/seeds.yaml",
)  # fmt: skip

FLEET = Resource(
    name="fleet", type=rt.SERVICE, packages_dependency=[COMMON], depends_on=[FLEET_DB],
    dependent_paths=["services/fleet"], options={"command": ["python", "-m", "acme_fleet"]},
)  # fmt: skip
TELEMETRY = Resource(
    name="telemetry", type=rt.SERVICE, packages_dependency=[COMMON], depends_on=[INFRA_EPHEMERAL],
    dependent_paths=["services/telemetry"], options={"command": ["python", "-m", "acme_telemetry"]},
)  # fmt: skip
TRIPS = Resource(
    name="trips", type=rt.SERVICE, packages_dependency=[COMMON, MOBILITY], depends_on=[FLEET, TELEMETRY],
    dependent_paths=["services/trips"], options={"command": ["python", "-m", "acme_trips"]},
)  # fmt: skip
TRIP_SCORER = Resource(
    name="trip_scorer", type=rt.LAMBDA, packages_dependency=[GEO], depends_on=[INFRA_EPHEMERAL],
    dependent_paths=["functions/trip_scorer"],
    options={"handler": "trip_scorer.handler", "logical_id": "TripScorerFunction"},
)  # fmt: skip
DAILY_MILEAGE = Resource(
    name="daily_mileage", type=rt.SPARK, packages_dependency=[GEO], depends_on=[INFRA_BASE, INFRA_EPHEMERAL],
    dependent_paths=["jobs/daily_mileage"],
    options={
        "main": "main.py", "bucket": "LakeBucket", "cluster": "SparkCluster",
        "arguments": ["s3://{bucket}/positions/", "s3://{bucket}/mileage/"],
    },
)  # fmt: skip
GEOFENCES = Resource(
    name="geofences", type=rt.COMMAND, depends_on=[INFRA_BASE], dependent_paths=["geofences"],
    actions={at.TEST: True, at.CREATE: True},
    options={
        "build": ["uv", "run", "--no-project", "python", "build.py"],
        "create": ["python", "publish.py", "create"],
        "deploy": ["python", "publish.py", "deploy"],
        "observe": ["python", "publish.py", "observe"],
        "destroy": ["python", "publish.py", "destroy"],
    },
)  # fmt: skip
