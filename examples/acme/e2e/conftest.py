import os

import boto3
import httpx
import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

VIN = "1M8GDM9AXKP042788"


@pytest.fixture
def vin():
    return VIN


@pytest.fixture
def environment():
    return os.environ["DAYBREAK_ENVIRONMENT"]


@pytest.fixture
def service():
    def client(name):
        return httpx.Client(base_url=os.environ[f"{name.upper()}_URL"], timeout=20)

    return client


@pytest.fixture
def aws():
    return boto3.client


@pytest.fixture
def fleet_db():
    """Ask the fleet's database itself; the contract gives a plain URL, the driver is ours to choose."""
    url = make_url(os.environ["FLEET_DB_DATABASE_URL"])
    driver = {"postgresql": "postgresql+psycopg2", "mysql": "mysql+pymysql"}[url.drivername]
    engine = create_engine(url.set(drivername=driver), poolclass=NullPool)

    def ask(query):
        with engine.connect() as connection:
            return connection.execute(text(query)).all()

    return ask
