# ssd_nb in a container. The base is plain Python, or an image with MindSpore's Ascend software:
#   docker build -t ssd_nb . --build-arg FROM_IMAGE_NAME=python:3.11-slim
#   docker build -t ssd_nb . --build-arg FROM_IMAGE_NAME=ascend-mindspore-arm:TAG
ARG FROM_IMAGE_NAME=python:3.11-slim
FROM ${FROM_IMAGE_NAME}

WORKDIR /opt/ssd_nb

# Libraries that OpenCV and MindSpore load, where the base lacks them (bases with yum have them already), and the compiler that training on a CPU is faster with.
# hadolint ignore=DL3008
RUN if command -v apt-get > /dev/null; then \
        apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 libgomp1 g++ \
        && rm -rf /var/lib/apt/lists/*; \
    fi

COPY settings.ini setup.py README.md LICENSE ./
COPY ssd_nb ssd_nb
COPY recipes recipes
RUN python3 -m pip install --no-cache-dir ".[onnx]"

COPY scripts scripts
COPY data_samples data_samples
COPY mindspore_hub_conf.py ./

# Whoever it runs as may write runs/ and what MindSpore compiles here, but nothing that others wrote. The number is one that hosts do not use for people.
RUN useradd --uid 10001 --create-home ssd_nb && chmod 1777 .
USER 10001

ENV PYTHON=python3
CMD ["bash"]
