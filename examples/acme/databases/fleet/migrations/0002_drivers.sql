CREATE TABLE drivers (
  id INTEGER NOT NULL PRIMARY KEY,
  name VARCHAR(120) NOT NULL,
  vin VARCHAR(17) NOT NULL
);
CREATE INDEX drivers_by_vehicle ON drivers (vin);
