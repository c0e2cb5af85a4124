"""Resources for the probe's templates."""

from __future__ import annotations

from typing import Any

_ASSUME = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
FUNCTION = (
    "import os\ndef handler(event, context):\n"
    "    return {'echo': event, 'account': os.environ['AWS_ACCESS_KEY_ID']}\n"
)


def one(type_: str, **properties: Any) -> dict[str, Any]:
    return {"Type": type_, "Properties": properties}


def table(name: str = "trips") -> dict[str, Any]:
    return one(
        "AWS::DynamoDB::Table", TableName=name, BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )  # fmt: skip


def bucket(account: str, name: str = "lake") -> dict[str, Any]:
    return one("AWS::S3::Bucket", BucketName=f"{name}-{account}")


def queue(name: str = "events") -> dict[str, Any]:
    return one("AWS::SQS::Queue", QueueName=name)


def instance(**more: Any) -> dict[str, Any]:
    return one("AWS::EC2::Instance", ImageId="ami-12345678", InstanceType="t3.micro", **more)


def cluster(**more: Any) -> dict[str, Any]:
    groups = {
        "MasterInstanceGroup": {"InstanceCount": 1, "InstanceType": "m5.xlarge"},
        "CoreInstanceGroup": {"InstanceCount": 2, "InstanceType": "m5.xlarge"},
    }
    return one("AWS::EMR::Cluster", Name="spark", ReleaseLabel="emr-7.1.0", Instances=groups,
               JobFlowRole="EMR_EC2_DefaultRole", ServiceRole="EMR_DefaultRole", **more)  # fmt: skip


def everything(account: str) -> dict[str, Any]:
    """All types that Daybreak's environments are made of, one of each."""
    role = {"Fn::GetAtt": ["Role", "Arn"]}
    target = {"Fn::GetAtt": ["Queue", "Arn"]}
    own = {"Ref": "AWS::AccountId"}
    return {
        "Table": table(),
        "Bucket": bucket(account),
        "Queue": queue(),
        "Database": one("AWS::Glue::Database", CatalogId=own, DatabaseInput={"Name": "lake"}),
        "GlueTable": one("AWS::Glue::Table", CatalogId=own, DatabaseName={"Ref": "Database"},
                         TableInput={"Name": "trips"}),
        "Role": one("AWS::IAM::Role", RoleName="worker", AssumeRolePolicyDocument=_ASSUME),
        "Function": one("AWS::Lambda::Function", FunctionName="scorer", Runtime="python3.12",
                        Handler="index.handler", Role=role, Code={"ZipFile": FUNCTION}),
        "Logs": one("AWS::Logs::LogGroup", LogGroupName="/daybreak/scorer", RetentionInDays=7),
        "Vpc": one("AWS::EC2::VPC", CidrBlock="10.0.0.0/16"),
        "Subnet": one("AWS::EC2::Subnet", VpcId={"Ref": "Vpc"}, CidrBlock="10.0.1.0/24"),
        "Instance": instance(SubnetId={"Ref": "Subnet"}),
        "Cluster": cluster(),
        "Search": one("AWS::Elasticsearch::Domain", DomainName="search", ElasticsearchVersion="7.10"),
        "Rule": one("AWS::Events::Rule", Name="hourly", ScheduleExpression="rate(1 hour)", State="ENABLED",
                    Targets=[{"Id": "queue", "Arn": target}]),
        "Group": one("AWS::Scheduler::ScheduleGroup", Name="dev-01"),
        "Schedule": one("AWS::Scheduler::Schedule", Name="nightly", GroupName={"Ref": "Group"},
                        ScheduleExpression="rate(1 day)", FlexibleTimeWindow={"Mode": "OFF"},
                        Target={"Arn": target, "RoleArn": role}),
    }  # fmt: skip
