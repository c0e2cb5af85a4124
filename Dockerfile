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

# Apart from what it stands on: a change of code is a small layer on a large one that stays.
FROM install AS own
COPY pyproject.toml requirements.in README.md ./
COPY include/daybreak include/daybreak
RUN /opt/uv/bin/uv pip install --no-cache --no-deps --no-build-isolation --compile-bytecode --python /opt/venv/bin/python --prefix /own .

FROM ${PYTHON_IMAGE} AS daybreak
# git and ssh fetch the monorepo; nothing else is needed at run time.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git openssh-client \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 daybreak \
 && useradd --uid 10001 --gid daybreak --home-dir /var/lib/daybreak --no-create-home --shell /usr/sbin/nologin daybreak \
 # Health checks that need a secret, and the official Helm chart's probes, start with this path.
 && ln --symbolic /opt/daybreak/stack/entrypoint.sh /entrypoint \
 # What is mounted on these begins with their owner.
 && install --directory --owner=daybreak --group=daybreak --mode=0700 /var/lib/daybreak \
 && install --directory --owner=daybreak --group=daybreak /opt/airflow /opt/airflow/logs /var/lib/store /var/lib/world
COPY --from=install /opt/venv /opt/venv
COPY --from=own /own /opt/venv
WORKDIR /opt/daybreak
COPY include/config/daybreak.yaml /etc/daybreak/daybreak.yaml
COPY stack/init.sh stack/entrypoint.sh stack/alive.py stack/
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
# NAME_FILE for NAME, where a secret is a file.
ENTRYPOINT ["/opt/daybreak/stack/entrypoint.sh"]
CMD ["airflow", "version"]

# The world of the profile `demo`: AWS, Slack, GitHub and acme, on the same image; never part of it.
FROM daybreak AS demo
ARG UV_DEFAULT_INDEX
USER root
COPY examples/__init__.py examples/acme_history.py examples/
COPY examples/standins/aws examples/standins/aws
COPY examples/standins/__init__.py examples/standins/
RUN python -c "from examples.standins.aws import venv; venv.ensure()"
COPY examples examples
USER 10001:10001

# The last one is what `docker build .` makes. Labels are apart: a new commit is no change of what the demo adds.
FROM daybreak
ARG REVISION
ARG SOURCE
LABEL org.opencontainers.image.title="Daybreak" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
