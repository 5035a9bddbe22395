# One file for every image: docker build --build-arg SERVICE=moderation .
# SERVICE is ingest, moderation, routing, metrics, or standalone (the operator's command).
ARG PYTHON=3.11.14-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /src
# Everything that the lock names, each file checked against its hash: one layer for all images.
COPY requirements.lock ./
RUN pip wheel --no-cache-dir --require-hashes --wheel-dir /wheels --requirement requirements.lock
COPY requirements-sbom.lock ./
RUN pip install --no-cache-dir --require-hashes --requirement requirements-sbom.lock
COPY libs ./libs
COPY services ./services
RUN pip wheel --no-cache-dir --no-index --find-links /wheels --no-deps --wheel-dir /wheels \
      ./libs/* ./services/*
# Of these, only what this service needs. Its command is `klankbord` in every image.
ARG SERVICE
# hadolint ignore=DL3013 # there is one version of each in /wheels
RUN python -m venv --without-pip /opt/klankbord \
 && pip --python /opt/klankbord/bin/python install --no-cache-dir --no-index --find-links /wheels \
      "klankbord-${SERVICE:?is missing: give --build-arg SERVICE=ingest, or another service}" \
 && if [ "$SERVICE" != standalone ]; then \
      ln -s "klankbord-$SERVICE" /opt/klankbord/bin/klankbord; \
    fi
# What was installed there, said by what was installed there (CycloneDX).
RUN cyclonedx-py environment --output-reproducible --pyproject "$(echo ./*/"$SERVICE"/pyproject.toml)" \
      --output-file /opt/klankbord/sbom.cdx.json /opt/klankbord

FROM python:${PYTHON}
# An empty volume takes owner and mode of the folder that it is first mounted on: with these, no
# container of docker-compose.yml has to begin as root.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin klankbord \
 && install --directory --mode=0750 --owner=klankbord --group=klankbord \
      /credentials /data /secrets /given /given/nats /given/nats-data /given/postgres /given/grafana \
      /given/ingest /given/moderation /given/routing /given/metrics
COPY --from=build /opt/klankbord /opt/klankbord
ENV PATH=/opt/klankbord/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    KLANKBORD_HTTP__HOST=0.0.0.0 \
    KLANKBORD_HTTP__PORT=8080
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/readyz', timeout=4)"]
ENTRYPOINT ["klankbord"]
CMD ["run"]
# docker build --build-arg REVISION="$(git rev-parse HEAD)" --build-arg SOURCE=https://…
ARG SERVICE
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="klankbord-${SERVICE}" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0"
