# rmc-rl on the CPU: what constraints.txt pins, torch without CUDA, a user without rights.
#
#   docker build -t rmc-rl .
#   mkdir -p runs && docker run --rm -it --init --shm-size=1g -v "$PWD/runs:/rmc/runs" rmc-rl train total_steps=2e6
#   docker run --rm -v "$PWD/runs:/rmc/runs" rmc-rl evaluate run=latest
#
# The folder of runs must be writable by user 1000, or `docker build --build-arg UID=$(id -u)` makes it yours. Ray wants
# the shared memory; engine=inline does without.

FROM python:3.11-slim-bookworm AS wheels
WORKDIR /source
COPY constraints.txt ./
RUN python -m venv /opt/build && /opt/build/bin/pip install --no-cache-dir -c constraints.txt hatchling
COPY . ./
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation -w /wheels . ./envs

FROM python:3.11-slim-bookworm
ARG UID=1000
RUN useradd --create-home --uid "$UID" rmc && install -d -o rmc -g rmc /rmc /rmc/runs
COPY --from=wheels /source/constraints.txt /opt/
RUN --mount=from=wheels,source=/wheels,target=/wheels \
    python -m venv /opt/rmc-rl && set -- /wheels/rmc_rl-*.whl && \
    /opt/rmc-rl/bin/pip install --no-cache-dir -c /opt/constraints.txt \
        --extra-index-url https://download.pytorch.org/whl/cpu /wheels/rmc_envs-*.whl "$1[plot,export]"
ENV PATH="/opt/rmc-rl/bin:$PATH" PYTHONUNBUFFERED=1
USER $UID
WORKDIR /rmc
ENTRYPOINT ["python", "-m", "rmc_rl"]
CMD ["--help"]
