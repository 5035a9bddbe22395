# One file for every image: docker build --build-arg SERVICE=moderation .
# SERVICE is ingest, moderation, routing, metrics, or standalone (the `klankbord` command:
# provisioning, and everything else an operator does).
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
ARG SERVICE
WORKDIR /src
RUN pip install --no-cache-dir uv==0.13.9 && uv venv /opt/klankbord
COPY requirements.lock ./
COPY libs ./libs
COPY services ./services
# Only what the service needs, each at the version and with the hash that the lock names.
RUN case "$SERVICE" in \
      ingest|moderation|routing|metrics) set -- "services/$SERVICE" ;; \
      standalone) set -- services/* libs/standalone ;; \
      *) echo "SERVICE must be ingest, moderation, routing, metrics or standalone" >&2; exit 1 ;; \
    esac \
 && uv pip install --no-cache --python /opt/klankbord/bin/python --constraint requirements.lock \
      ./libs/schemas ./libs/runtime $(printf './%s ' "$@")

FROM python:${PYTHON}
ARG SERVICE
RUN useradd --system --uid 10001 --no-create-home klankbord
COPY --from=build /opt/klankbord /opt/klankbord
ENV PATH=/opt/klankbord/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    KLANKBORD_HTTP__HOST=0.0.0.0 \
    KLANKBORD_HTTP__PORT=8080 \
    KLANKBORD_SERVICE=${SERVICE}
USER 10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/livez', timeout=2)"]
ENTRYPOINT ["/bin/sh", "-c", "exec klankbord${KLANKBORD_SERVICE:+$(test $KLANKBORD_SERVICE = standalone || echo -$KLANKBORD_SERVICE)} \"$@\"", "klankbord"]
CMD ["run"]
