import json


def test_the_scorer_runs_the_deployed_code(aws, environment):
    payload = json.dumps({"track": [[0, 0], [0, 1], [0, 2]]})
    answer = aws("lambda").invoke(FunctionName=f"{environment}-trip-scorer", Payload=payload)
    assert json.loads(answer["Payload"].read()) == {"score": 100.0}


def test_positions_were_generated(aws, environment):
    assert aws("dynamodb").scan(TableName=f"{environment}-positions", Select="COUNT")["Count"] == 202


def test_nothing_of_yesterday_is_in_the_reference_table(aws, environment):
    assert aws("dynamodb").scan(TableName=f"{environment}-reference", Select="COUNT")["Count"] == 0


def test_the_spark_application_ran_and_is_remembered(aws, environment):
    account = aws("sts").get_caller_identity()["Account"]
    key = "apps/daily_mileage/current.json"
    stored = aws("s3").get_object(Bucket=f"{environment}-lake-{account}", Key=key)
    current = json.loads(stored["Body"].read())
    step = aws("emr").describe_step(ClusterId=current["cluster"], StepId=current["step"])["Step"]
    assert step["Status"]["State"] == "COMPLETED"


def test_the_lake_has_a_catalog(aws, environment):
    name = f"{environment}-lake"
    assert aws("glue").get_database(Name=name)["Database"]["Name"] == name


def test_the_schedule_is_on(aws, environment):
    assert aws("events").describe_rule(Name=f"{environment}-hourly-mileage")["State"] == "ENABLED"


def test_the_queue_is_there_and_yesterdays_is_not(aws, environment):
    urls = aws("sqs").list_queues(QueueNamePrefix=f"{environment}-").get("QueueUrls", [])
    assert [url.rsplit("/", 1)[1] for url in urls] == [f"{environment}-ingest"]
