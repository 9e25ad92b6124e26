# One image for a GPU workstation and for a Hugging Face Space with a GPU.
# The torch wheel brings its own CUDA libraries; the host brings the driver.
FROM python:3.11-slim-bookworm

# Triton compiles kernels with a C compiler when a GPU is used.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

# Spaces run as user 1000 and mount what lasts at /data.
RUN useradd --create-home --uid 1000 lapidary \
    && mkdir -p /data && chown lapidary:lapidary /data
WORKDIR /app
COPY --chown=lapidary:lapidary requirements.txt ./
RUN pip install --no-cache-dir -r requirements.txt
COPY --chown=lapidary:lapidary . .
RUN pip install --no-cache-dir --no-deps -e .

USER lapidary
ENV LAPIDARY_HOME=/data HF_HOME=/data/huggingface
VOLUME /data
EXPOSE 7860
CMD ["python", "app.py", "--host", "0.0.0.0", "--port", "7860"]
