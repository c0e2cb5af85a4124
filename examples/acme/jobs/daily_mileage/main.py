"""The Spark application: positions (JSON lines) in, kilometres of each vehicle and day (JSON lines) out."""

import sys

from mileage import daily_mileage
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession


def main(source: str, target: str) -> None:
    """Read ``source``, write ``target``; both are URLs that Spark knows.

    A source that is not there is no error.
    """
    spark = SparkSession.builder.appName("daily_mileage").getOrCreate()
    try:
        frame = spark.read.schema("vin string, at string, lat double, lon double").json(source)
    except AnalysisException as error:
        # A deploy runs the application before the environment is seeded: there is nothing to add up yet.
        if error.getErrorClass() != "PATH_NOT_FOUND":
            raise
        return
    by_vehicle = frame.rdd.map(tuple).groupBy(lambda position: position[0])
    days = by_vehicle.flatMap(lambda group: daily_mileage(group[1]).items())
    totals = days.map(lambda day: (*day[0], day[1])).toDF("vin string, day string, kilometres double")
    totals.write.mode("overwrite").json(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
