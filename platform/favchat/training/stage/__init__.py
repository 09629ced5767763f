"""One stage of the curriculum: initial model, optimiser steps, checkpoints and logging."""
