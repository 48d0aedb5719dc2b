# The image of clusters/kuberay-rayjob.yaml: Ray, the pinned packages and the code.
#
#     docker build -t REGISTRY/vae-sweep:1 . && docker push REGISTRY/vae-sweep:1
FROM python:3.11-slim

# KubeRay's probes call wget, Ray's start-up needs procps. The user owns the folder: a data set is downloaded into it.
RUN apt-get update && apt-get install -y --no-install-recommends wget procps && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 ray \
    && install -d -o ray -g ray /home/ray/vae-sweep

# The packages change less often than the code: a layer of their own. torch brings CUDA's libraries.
COPY requirements.txt /home/ray/vae-sweep/requirements.txt
RUN pip install --no-cache-dir -r /home/ray/vae-sweep/requirements.txt 'ray[default]'

USER ray
WORKDIR /home/ray/vae-sweep
COPY --chown=ray sweep.py ./
COPY --chown=ray vae ./vae
COPY --chown=ray tuning ./tuning
COPY --chown=ray report ./report
COPY --chown=ray search_spaces ./search_spaces
