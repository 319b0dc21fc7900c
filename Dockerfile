# Two targets:
#   docker build --target cpu -t curation:cpu .
#   docker build --target gpu -t curation:gpu .     (NVIDIA GPUs: workstations, DGX, cloud; needs the container toolkit)
# Run either on a folder of yours:
#   docker run --rm -v "$PWD/data:/work/data" curation:cpu --config configs/sample.yaml --synth-gen-rounds 2
#   docker run --rm --gpus all -v "$PWD/data:/work/data" -e NVIDIA_API_KEY curation:gpu --device gpu

FROM python:3.11-slim-bookworm AS base
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
# fasttext, which NeMo Curator needs, is compiled from source.
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ git \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /work
COPY constraints.txt pyproject.toml README.md LICENSE ./

FROM base AS cpu
# PyTorch's index of CPU builds (see its installation page) makes the image gigabytes smaller:
#   docker build --target cpu --build-arg TORCH_INDEX=URL .
ARG TORCH_INDEX
RUN pip install torch==2.13.0 ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
COPY curation ./curation
RUN pip install -c constraints.txt .
COPY configs ./configs
RUN useradd --create-home curation && mkdir data && chown curation data
USER curation
ENTRYPOINT ["python", "-m", "curation.main"]
CMD ["--help"]

# The wheels of torch and RAPIDS bring CUDA with them: the host needs only its driver.
FROM base AS gpu
RUN pip install -c constraints.txt torch==2.13.0
COPY curation ./curation
RUN pip install -c constraints.txt '.[gpu]'
COPY configs ./configs
RUN useradd --create-home curation && mkdir data && chown curation data
USER curation
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENTRYPOINT ["python", "-m", "curation.main"]
CMD ["--help"]
