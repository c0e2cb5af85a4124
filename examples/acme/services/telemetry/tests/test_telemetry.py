from decimal import Decimal

from acme_telemetry.app import create_app


class Table:
    def load(self):
        """The table is there."""

    def query(self, KeyConditionExpression):
        assert KeyConditionExpression.get_expression()["values"][1] == "V1"
        return {"Items": [{"lat": Decimal("1.5"), "lon": Decimal(2)}]}


def test_positions_are_pairs_of_numbers():
    assert create_app(Table()).test_client().get("/positions/V1").json == [[1.5, 2.0]]
