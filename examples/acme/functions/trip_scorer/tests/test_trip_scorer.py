from trip_scorer import handler, score


def test_even_steps_score_100():
    assert handler({"track": [[0, 0], [0, 1], [0, 2]]}, None) == {"score": 100.0}


def test_uneven_steps_score_less():
    assert score([[0, 0], [0, 1], [0, 5]]) < 80


def test_a_trip_too_short_has_no_score():
    assert score([[0, 0], [0, 1]]) is None
