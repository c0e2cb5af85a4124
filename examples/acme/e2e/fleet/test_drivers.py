def test_the_generated_drivers_are_there_and_nobody_else(fleet_db):
    drivers = fleet_db("SELECT id, name FROM drivers ORDER BY id")
    assert [number for number, _ in drivers] == list(range(1, 301))
    # Generated names: hardly anybody is there twice.
    assert len({name for _, name in drivers}) > 250


def test_every_driver_has_a_vehicle_of_the_fleet(fleet_db):
    used = {vin for (vin,) in fleet_db("SELECT DISTINCT vin FROM drivers")}
    assert used == {vin for (vin,) in fleet_db("SELECT vin FROM vehicles")}
