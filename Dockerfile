# CPU:  docker build -t supcon_tf .
# GPU:  docker build -t supcon_tf:gpu --build-arg KIND=gpu .
# The image is pinned by its tag; docs/install.md says how to pin it by digest. All packages are pinned with hashes.
FROM python:3.13-slim-bookworm
ARG KIND=cpu
COPY locks/${KIND}-python3.13.txt /tmp/lock.txt
RUN pip install --no-cache-dir --require-hashes -r /tmp/lock.txt
COPY pyproject.toml README.md LICENSE /src/
COPY supcon_tf /src/supcon_tf
RUN pip install --no-cache-dir --no-deps --no-build-isolation /src
RUN useradd --create-home --uid 1000 supcon && mkdir /data /runs && chown supcon /data /runs
ENV TFDS_DATA_DIR=/data
VOLUME ["/data", "/runs"]
WORKDIR /
USER supcon
ENTRYPOINT ["supcon"]
