# The same service, installed by uv; FROM names a Python with uv in it, as ghcr.io/astral-sh/uv:python3.11-bookworm-slim.
ARG PYTHON=ghcr.io/astral-sh/uv:python3.11-bookworm-slim
FROM ${PYTHON}
# uv reads its settings from the environment.
ARG UV_COMPILE_BYTECODE=1
ARG UV_NO_CACHE
WORKDIR /app
COPY requirements.txt .
RUN uv pip install --python /usr/local/bin/python -r requirements.txt
COPY app.py model.joblib ./
EXPOSE 8080
CMD ["uvicorn", "app:app", "--host", "0.0.0.0", "--port", "8080"]
