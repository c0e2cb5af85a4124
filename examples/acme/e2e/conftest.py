import os

import boto3
import httpx
import pytest

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
