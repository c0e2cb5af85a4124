# Daybreak and its Airflow: one image for every service of docker-compose.yaml.
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS install
# Where packages come from, when not from PyPI: --build-arg PIP_INDEX_URL=… --build-arg UV_DEFAULT_INDEX=…
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
WORKDIR /build
COPY requirements.txt ./
# The locked uv by its hashes, then all the rest by theirs. Byte code now: nobody may write it later.
RUN sed -n '/^uv==/,/[^\\]$/p' requirements.txt > uv.txt \
 && python -m venv /opt/uv \
 && /opt/uv/bin/pip install --no-cache-dir --no-deps --require-hashes --requirement uv.txt \
 && python -m venv --without-pip /opt/venv \
 && /opt/uv/bin/uv pip sync --no-cache --require-hashes --compile-bytecode --python /opt/venv/bin/python requirements.txt
# Last, because it changes most: a layer of seconds on a layer of minutes.
COPY pyproject.toml requirements.in README.md ./
COPY include/daybreak include/daybreak
RUN /opt/uv/bin/uv pip install --no-cache --no-deps --no-build-isolation --compile-bytecode --python /opt/venv/bin/python .

FROM ${PYTHON_IMAGE}
# git and ssh fetch the monorepo; nothing else is needed at run time.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git openssh-client \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 daybreak \
 && useradd --uid 10001 --gid daybreak --home-dir /var/lib/daybreak --no-create-home --shell /usr/sbin/nologin daybreak \
 # What is mounted on these begins with their owner.
 && install --directory --owner=daybreak --group=daybreak --mode=0700 /var/lib/daybreak \
 && install --directory --owner=daybreak --group=daybreak /opt/airflow /opt/airflow/logs
COPY --from=install /opt/venv /opt/venv
WORKDIR /opt/daybreak
COPY include/config/daybreak.yaml /etc/daybreak/daybreak.yaml
COPY stack/init.sh stack/init.sh
COPY plugins plugins
COPY dags dags
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/daybreak/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/daybreak/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    DAYBREAK_CONFIG=/etc/daybreak/daybreak.yaml \
    DAYBREAK_HOME=/var/lib/daybreak
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
CMD ["airflow", "version"]
