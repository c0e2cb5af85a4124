"""Build, create, deploy: an engineer brings a revision into one environment, without Airflow."""
