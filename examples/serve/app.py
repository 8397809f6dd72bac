"""A service that classifies images: uvicorn app:app --port 8000.

The environment variable MODEL names a file of joblib, from a source that you trust.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import joblib
import torch
from fastapi import FastAPI, HTTPException, Request

MAX_BYTES = 10_000_000
torch.set_num_threads(1)  # requests share the cores, not the threads of one
model = joblib.load(os.environ["MODEL"])
workers = ThreadPoolExecutor(os.cpu_count())
app = FastAPI()


@app.post("/predict")
async def predict(request: Request):
    """Return the probability of each class for the encoded image in the body."""
    image = await request.body()
    if len(image) > MAX_BYTES:
        raise HTTPException(413, f"The image has more than {MAX_BYTES} bytes.")
    loop = asyncio.get_running_loop()
    try:
        (row,) = await loop.run_in_executor(workers, model.predict_proba, [image])
    except (ValueError, TypeError, OSError) as error:
        raise HTTPException(422, str(error)) from error
    return dict(zip(map(str, model.classes_), row.tolist(), strict=True))
