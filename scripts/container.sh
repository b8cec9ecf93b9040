#!/bin/sh
# Entry point of the image. Beam starts its workers with flags such as --id and
# --provision_endpoint; a Kubeflow step names its program; all else is for the command line.
case "${1:-}" in
    --id=* | --logging_endpoint=* | --provision_endpoint=* | --worker_pool*) exec /opt/apache/beam/boot "$@" ;;
    python | python3 | sh | bash | make) exec "$@" ;;
    *) exec beam-refinery "$@" ;;
esac
