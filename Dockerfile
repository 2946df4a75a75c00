# The service as an image, weights inside: nothing is fetched when it starts.
#
#   docker build -t translatotron-v .
#   docker run --rm -p 127.0.0.1:8000:8000 -e TRANSLATOTRON_TOKEN=... --read-only --cap-drop ALL translatotron-v
#
# --build-arg TORCH_INDEX=URL takes torch from there: PyTorch's own index of CPU wheels (its installation page names it)
# makes the image several GB smaller than what pip finds by default, which brings libraries for GPUs along.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim AS build
ARG TORCH_INDEX=
COPY . /source
RUN /source/docker/install.sh /source /opt/translatotron "${TORCH_INDEX}"

FROM python:${PYTHON}-slim
COPY --from=build /opt/translatotron /opt/translatotron
RUN useradd --system --no-create-home --uid 10001 translatotron
USER translatotron
ENV PATH=/opt/translatotron/bin:$PATH PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 \
    XDG_CACHE_HOME=/nonexistent MPLCONFIGDIR=/nonexistent
EXPOSE 8000
HEALTHCHECK --interval=30s --start-period=60s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz')"]
# beyond this machine a token is a must: TRANSLATOTRON_TOKEN, or --token-file
ENTRYPOINT ["translatotron-v", "serve", "--host", "0.0.0.0", "--port", "8000"]
