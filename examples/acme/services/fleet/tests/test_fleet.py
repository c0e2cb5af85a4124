from acme_fleet.app import create_app
from sqlalchemy import create_engine, text
from sqlalchemy.pool import StaticPool


def client():
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE vehicles (vin TEXT, model TEXT, odometer_km INTEGER)"))
        connection.execute(text("INSERT INTO vehicles VALUES ('V1', 'roadster', 7)"))
    return create_app(engine).test_client()


def test_a_vehicle_is_found_by_its_vin():
    assert client().get("/vehicles/V1").json == {"vin": "V1", "model": "roadster", "odometer_km": 7}


def test_an_unknown_vehicle_is_404():
    assert client().get("/vehicles/V2").status_code == 404
