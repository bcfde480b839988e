#!/bin/sh
# One page: base and sharpened model, four tasks, two levels each. See README.md beside this file.
# usage: run.sh RUN OUT     RUN: a finished run of `whet sharpen smollm2-135m` on addition level 2
set -eu
exec whet scale smollm2-135m "$1" --out "$2" \
    --task addition@2,3 --task multiplication@2,3 --task letters@1,2 --task countdown@1,2 \
    --n "${PROBLEMS:-140}" --seed 41 --budgets 1,4,16 --temperature 0.4 \
    --methods greedy,consistency,agree,think,best:by=certainty,weighted:by=certainty
