"""Fit the principal components by which the shape of a face's mesh is told to the model.

    python tools/fit_mesh_basis.py CORPUS platform/favchat/weights

Of each training clip of the corpus the mean shape is measured (`favchat.video.mesh_features`); each of its 1,708
numbers less its median over its standard deviation, cut off at 6, goes into the analysis. No labels do. A corpus
prepared before holds measures by the components of then and has to be prepared again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from sklearn.decomposition import PCA

from favchat.data.corpus.parquet_files import parquet_files, read_table
from favchat.data.corpus.schema import SHARDS
from favchat.io.paths import path_of
from favchat.video.images import decode_images
from favchat.video.mesh_features import BASIS, LIMIT, SHAPE_FEATURES, measure


def shapes(corpus: str) -> np.ndarray:
    """(N, 1708) of the clips of `train` in which a face is visible."""
    found = []
    for file in parquet_files(path_of(corpus) / SHARDS):
        for row in read_table(file, ["split", "faces", "visible"]).to_pylist():
            visible = np.asarray(row["visible"], bool)
            if row["split"] == "train" and visible.any():
                found.append(measure(decode_images(row["faces"]), visible)[0])
    return np.stack(found)


def main() -> None:
    """Measure, fit and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    measured = shapes(arguments.corpus)
    middle, deviation = np.median(measured, axis=0), np.maximum(measured.std(axis=0), 1e-6)
    found = PCA(SHAPE_FEATURES, random_state=0).fit(np.clip((measured - middle) / deviation, -LIMIT, LIMIT))
    components = found.components_.T / np.sqrt(found.explained_variance_)
    tensors = {
        "middle": middle.astype(np.float32),
        "deviation": deviation.astype(np.float32),
        "mean": found.mean_.astype(np.float32),
        "components": components.astype(np.float16),
    }
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, arguments.out / BASIS.name)
    share = found.explained_variance_ratio_.sum()
    print(f"{arguments.out / BASIS.name}: {len(measured)} clips, {share:.4f} of the variance")


if __name__ == "__main__":
    main()
