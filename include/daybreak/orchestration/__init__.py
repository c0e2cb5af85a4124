"""The only room below the DAG files that knows Airflow."""
