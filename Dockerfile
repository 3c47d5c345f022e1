# Built in two stages: wheels are made and the request path is compiled where compilers are; only the result travels.
FROM python:3.12 AS build
WORKDIR /build
COPY requirements/runtime.txt requirements/runtime.txt
RUN python -m venv /opt/spork && /opt/spork/bin/pip install --no-cache-dir --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src src
RUN /opt/spork/bin/pip install --no-cache-dir --no-deps --no-build-isolation .
COPY requirements/native.txt requirements/native.txt
COPY native native
RUN cp -r /opt/spork /opt/compile && \
    /opt/compile/bin/python -m pip install --no-cache-dir --require-hashes -r requirements/native.txt && \
    /opt/compile/bin/python -m native.build --out /build/compiled && \
    cp -r /build/compiled/. "$(/opt/spork/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

FROM python:3.12-slim
RUN useradd --uid 10001 --shell /usr/sbin/nologin --home-dir /var/lib/spork --create-home spork
COPY --from=build /opt/spork /opt/spork
ENV PATH=/opt/spork/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    SPORK_STATE_DIR=/var/lib/spork SPORK_CONFIG=/etc/spork/spork.yaml SPORK_LISTEN=0.0.0.0:8000
# Asks the data listener for /health, over TLS where it speaks that; exempt from `hosts`, so the address is enough.
COPY deploy/healthcheck.py /opt/spork/healthcheck.py
USER 10001
WORKDIR /var/lib/spork
EXPOSE 8000 9000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "/opt/spork/healthcheck.py"]
ENTRYPOINT ["spork"]
CMD ["serve"]
