# Two stages: the wheels are built where compilers may be, the image has only what runs.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
RUN python -m venv /opt/fhir-server && /opt/fhir-server/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY fhir_server fhir_server
COPY mappings mappings
COPY terminology terminology
COPY translations translations
RUN /opt/fhir-server/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends libcurl4 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --create-home --home-dir /var/lib/fhir-server fhir
COPY --from=build /opt/fhir-server /opt/fhir-server
USER fhir
WORKDIR /var/lib/fhir-server
ENV PATH=/opt/fhir-server/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    FHIR_SERVER_HOST=0.0.0.0 \
    FHIR_SERVER_DATA_DIR=/var/lib/fhir-server/data \
    FHIR_SERVER_LOG_FORMAT=json
VOLUME /var/lib/fhir-server/data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/health/ready', timeout=2)"]
ENTRYPOINT ["fhir-server"]
CMD ["serve"]
