#!/usr/bin/env bash
# Builds kubeflow/image/Dockerfile without a registry, as root on Debian, and runs one component in it as the cluster would.
# Where python:3.13-slim-trixie cannot be pulled, its place is taken by the same Debian, made with debootstrap, and that
# Debian's own CPython 3.13:
#   apt-get install debootstrap buildah && tools/try_image.sh
# GPU=1 builds that variant, MIRROR names a Debian mirror. 20 GB in $TMPDIR (/var/tmp), removed at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/atelier-image.XXXXXX")
readonly WORK
readonly BASE=localhost/python:3.13-slim-trixie IMAGE=localhost/atelier:tried
readonly COMPONENT=StyleCatalog
# What the official image has beside Debian's minimum.
readonly PACKAGES=(ca-certificates netbase tzdata python3 python3-venv)

main() {
    trap clean_up EXIT
    in_store images --quiet "$BASE" | grep -q . || make_base
    in_store build --isolation chroot --layers --format docker --build-arg "BASE=$BASE" \
        --build-arg "GPU=${GPU:-0}" --file kubeflow/image/Dockerfile --tag "$IMAGE" .
    try_component
    in_store images
}

make_base() {
    local root=$WORK/root container
    debootstrap --variant=minbase --include="$(IFS=, && echo "${PACKAGES[*]}")" trixie "$root" ${MIRROR:+"$MIRROR"}
    ln -s /usr/bin/python3 "$root/usr/local/bin/python"
    # This machine's own authorities: a proxy's may be among them.
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
    container=$(in_store from scratch)
    in_store add --quiet "$container" "$root" /
    in_store config --env PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        --env PIP_CERT=/etc/ssl/certs/ca-certificates.crt --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
        "$container"
    in_store commit --rm "$container" "$BASE"
    rm -rf "$root"
}

# The very command of the compiled specification, with the ExecutorInput that a cluster would put in.
try_component() {
    local container
    .venv/bin/atelier kubeflow compile --config configs/vertex.yaml --output "$WORK/job.json" \
        --set "beam={}"
    .venv/bin/python - "$WORK/job.json" "$COMPONENT" >"$WORK/command.sh" <<'PYTHON'
import json, shlex, sys
spec = json.load(open(sys.argv[1]))["pipelineSpec"]
container = spec["deploymentSpec"]["executors"][sys.argv[2] + "_executor"]["container"]
published = {"name": "1", "uri": "out/published", "type": {"instanceSchema": "title: tfx.Dataset\ntype: object\n"}}
given = {"catalog": "builtin", "styles": "[]", "code": "", "fingerprint": ""}
outputs = {"artifacts": {"published": {"artifacts": [published]}}, "outputFile": "out/executor_output.json"}
executor_input = json.dumps({"inputs": {"parameterValues": given}, "outputs": outputs})
words = container["command"] + [word.replace("{{$}}", executor_input) for word in container["args"]]
print("mkdir out", shlex.join(words), "cat out/executor_output.json; find out", sep=" && ")
PYTHON
    container=$(in_store from "$IMAGE")
    in_store copy --quiet "$container" "$WORK/command.sh" /tmp/command.sh
    in_store run --isolation chroot "$container" -- sh /tmp/command.sh
    in_store rm "$container"
}

in_store() { buildah --root "$WORK/store" --runroot "$WORK/run" --storage-driver overlay "$@"; }

clean_up() {
    in_store rm --all >/dev/null || true
    in_store rmi --all --force >/dev/null || true
    rm -rf "$WORK"
}

main "$@"
