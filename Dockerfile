# A machine for beam-refinery where the host cannot be one (its glibc is older than 2.39, or it is
# no Linux on x86_64):
#   docker build --platform linux/amd64 -t beam-refinery .
#   docker run --rm -v "$PWD/data:/data" beam-refinery materialize digits --output /data
# The same image serves Beam workers (--sdk_container_image) and Kubeflow Pipelines.
FROM apache/beam_python3.12_sdk:2.77.0 AS beam

FROM python:3.12-slim-trixie
ENV PYTHONUNBUFFERED=1 PYTHONNOUSERSITE=1
# Beam's boot program runs the worker in this environment instead of making one of its own.
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
WORKDIR /opt/beam-refinery

# The dependencies change seldom: a layer of their own.
COPY requirements.lock ./
RUN pip install --no-cache-dir --no-deps "$(grep '^uv==' requirements.lock)" \
    && uv pip sync --system --no-cache --compile-bytecode \
        --build-constraints requirements.lock requirements.lock

COPY . .
RUN uv pip install --system --no-cache --no-deps --no-build-isolation --editable . \
    --config-setting editable_mode=compat \
    && (python scripts/corpora.py || true)

# Beam's worker starts through this program; it needs the same Beam version as the lock file.
COPY --from=beam /opt/apache/beam /opt/apache/beam

COPY scripts/container.sh /usr/local/bin/container
ENTRYPOINT ["container"]
CMD ["--help"]
