# ctrobust beside the PyTorch of its base image. The commands are in docs/howto/container.md.
# Any base with Python ≥ 3.11 and venv will do; where it has no PyTorch, the one of constraints.txt is installed.
ARG BASE=pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime

FROM ${BASE} AS wheel
COPY . /source
RUN python3 -m venv /build && /build/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheel /source

FROM ${BASE}
# Of a registry beside PyPI, for PyTorch without CUDA.
ARG PIP_EXTRA_INDEX_URL=
ENV PATH=/opt/ctrobust/bin:$PATH

# The base's torch is seen from the new environment, and kept: then no constraint names it. ASTRA looks for CUDA's
# libraries beside itself, so that its own are installed even where the base has the same.
COPY setup.cfg constraints.txt /opt/ctrobust/
RUN cd /opt/ctrobust \
    && python3 -m venv --system-site-packages . \
    && if pip show --quiet torch; then sed -i '/^torch==/d' constraints.txt; fi \
    && python -c "from configparser import ConfigParser as C; c = C(); c.read('setup.cfg'); print(c['options']['install_requires'])" > requirements.txt \
    && if [ "$(uname -m)" = x86_64 ]; then pip install --no-cache-dir --constraint constraints.txt --ignore-installed astra-toolbox; fi \
    && pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt

COPY --from=wheel /wheel /opt/ctrobust/wheel
RUN pip install --no-cache-dir --no-deps /opt/ctrobust/wheel/*.whl \
    && mkdir -p /data /runs && chmod 1777 /runs

# Any --user may run it, so that nothing is written beside the code, and no name is looked up. runs/NAME and data/NAME are
# in the volumes.
ENV HOME=/tmp USER=ctrobust
WORKDIR /
VOLUME ["/data", "/runs"]
USER 1000:1000
# It tries every back-end, half a minute of computing: not often.
HEALTHCHECK --interval=1h --timeout=5m --retries=1 CMD ["ctrobust", "doctor"]
CMD ["ctrobust", "doctor"]
