"""The Triton kernels. `triton_operations` launches them; tests compare each with its counterpart in plain torch.

Shapes in names: N rows of the step, H query heads, G key-value heads, E head size, C blocks in a table, T tiles,
M queries of a tile (its rows times the query heads that share a key head), S tokens of a span of the vocabulary.
Sums, norms and softmax are fp32; products have the dtype of their inputs and fp32 sums.
"""

import triton
import triton.language as tl


@triton.jit
def attend_kernel(
    q_NHE,
    keys,
    values,
    positions_N,
    branch_N,
    tables_RC,
    first_T,
    count_T,
    out_NHE,
    partial,
    largest_NHX,
    total_NHX,
    table_stride,
    split_tokens,
    window,
    scale,
    G: tl.constexpr,
    GROUP: tl.constexpr,
    E: tl.constexpr,
    E_PADDED: tl.constexpr,
    M: tl.constexpr,
    TILE_ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCK: tl.constexpr,
    WINDOWED: tl.constexpr,
    SPLIT: tl.constexpr,
):
    """One program: one tile (at most TILE_ROWS rows of one branch), one key-value head, one share of the columns.

    Online softmax (Milakov and Gimelshein 2018) in base 2. `scale` holds E**-0.5 * log2(e).
    """
    tile, head, share = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    first, count = tl.load(first_T + tile), tl.load(count_T + tile)
    m = tl.arange(0, M)
    e = tl.arange(0, E_PADDED)
    real = (m // GROUP < count) & (m // GROUP < TILE_ROWS)
    n = first + m // GROUP
    position = tl.load(positions_N + n, mask=real, other=-1)
    query = (n * G + head) * GROUP + m % GROUP  # row of q seen as [N * H, E]
    q = tl.load(q_NHE + query[:, None] * E + e[None, :], mask=real[:, None] & (e < E)[None, :], other=0.0)

    begin = share * split_tokens
    end = tl.minimum(begin + split_tokens, tl.max(position, 0) + 1)
    if WINDOWED:
        lowest = tl.min(tl.where(real, position, 2147483647), 0) - window + 1
        begin = tl.maximum(begin, tl.maximum(lowest, 0) // COLUMNS * COLUMNS)
    table = tables_RC + tl.load(branch_N + first) * table_stride
    largest = tl.full((M,), float("-inf"), tl.float32)
    total = tl.zeros((M,), tl.float32)
    sums = tl.zeros((M, E_PADDED), tl.float32)
    for start in range(begin, end, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        inside = column < end
        block = tl.load(table + column // BLOCK, mask=inside, other=0).to(tl.int64)
        vector = ((block * BLOCK + column % BLOCK) * G + head) * E
        k = tl.load(keys + vector[None, :] + e[:, None], mask=inside[None, :] & (e < E)[:, None], other=0.0)
        seen = inside[None, :] & (column[None, :] <= position[:, None])
        if WINDOWED:
            seen = seen & (position[:, None] - column[None, :] < window)
        scores = tl.where(seen, tl.dot(q, k, input_precision="ieee") * scale, float("-inf"))
        new = tl.maximum(largest, tl.max(scores, 1))
        safe = tl.where(new == float("-inf"), 0.0, new)  # a query that sees nothing here
        weights = tl.exp2(scores - safe[:, None])
        shrink = tl.exp2(largest - safe)
        v = tl.load(values + vector[:, None] + e[None, :], mask=inside[:, None] & (e < E)[None, :], other=0.0)
        sums = sums * shrink[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        total = total * shrink + tl.sum(weights, 1)
        largest = new
    if SPLIT:
        place = query * tl.num_programs(2) + share
        tl.store(partial + place[:, None] * E + e[None, :], sums, mask=real[:, None] & (e < E)[None, :])
        tl.store(largest_NHX + place, largest, mask=real)
        tl.store(total_NHX + place, total, mask=real)
    else:
        mean = sums / tl.where(total > 0, total, 1.0)[:, None]
        mask = real[:, None] & (e < E)[None, :]
        tl.store(out_NHE + query[:, None] * E + e[None, :], mean.to(out_NHE.dtype.element_ty), mask=mask)


@triton.jit
def combine_kernel(
    partial, largest_NHX, total_NHX, out_NHE, shares, E: tl.constexpr, E_PADDED: tl.constexpr, AT_ONCE: tl.constexpr
):
    """The second reduction: one program joins the shares of one query."""
    query = tl.program_id(0)
    e = tl.arange(0, E_PADDED)
    largest = tl.full((1,), float("-inf"), tl.float32)
    total = tl.zeros((1,), tl.float32)
    sums = tl.zeros((E_PADDED,), tl.float32)
    for start in range(0, shares, AT_ONCE):
        share = start + tl.arange(0, AT_ONCE)
        place = query * shares + share
        here = tl.load(largest_NHX + place, mask=share < shares, other=float("-inf"))
        new = tl.maximum(largest, tl.max(here, 0))
        safe = tl.where(new == float("-inf"), 0.0, new)
        weights = tl.exp2(here - safe)
        shrink = tl.exp2(largest - safe)
        mask = (share < shares)[:, None] & (e < E)[None, :]
        part = tl.load(partial + place[:, None] * E + e[None, :], mask=mask, other=0.0)
        sums = sums * shrink + tl.sum(part * weights[:, None], 0)
        total = total * shrink + tl.sum(tl.load(total_NHX + place, mask=share < shares, other=0.0) * weights, 0)
        largest = new
    tl.store(out_NHE + query * E + e, (sums / total).to(out_NHE.dtype.element_ty), mask=e < E)


@triton.jit
def rotate_kernel(
    qkv_NF,
    cos_NE,
    sin_NE,
    q_weight_E,
    k_weight_E,
    positions_N,
    branch_N,
    tables_RC,
    q_NHE,
    keys,
    values,
    table_stride,
    eps,
    H: tl.constexpr,
    G: tl.constexpr,
    E: tl.constexpr,
    HALF_PADDED: tl.constexpr,
    BLOCK: tl.constexpr,
    NORMED: tl.constexpr,
):
    """One program: one head of one row. Norms and turns queries and keys; keys and values go to their cache slots."""
    n, head = tl.program_id(0), tl.program_id(1)
    half: tl.constexpr = E // 2
    i = tl.arange(0, HALF_PADDED)
    mask = i < half
    here = qkv_NF + (n * (H + 2 * G) + head) * E
    dtype = q_NHE.dtype.element_ty
    low = tl.load(here + i, mask=mask, other=0.0).to(tl.float32)
    high = tl.load(here + half + i, mask=mask, other=0.0).to(tl.float32)
    position = tl.load(positions_N + n)
    block = tl.load(tables_RC + tl.load(branch_N + n) * table_stride + position // BLOCK).to(tl.int64)
    slot = (block * BLOCK + position % BLOCK) * G
    if head < H + G:
        if NORMED:
            scale = tl.rsqrt((tl.sum(low * low, 0) + tl.sum(high * high, 0)) / E + eps)
            if head < H:
                weight_low = tl.load(q_weight_E + i, mask=mask, other=0.0).to(tl.float32)
                weight_high = tl.load(q_weight_E + half + i, mask=mask, other=0.0).to(tl.float32)
            else:
                weight_low = tl.load(k_weight_E + i, mask=mask, other=0.0).to(tl.float32)
                weight_high = tl.load(k_weight_E + half + i, mask=mask, other=0.0).to(tl.float32)
            low = (low * scale * weight_low).to(dtype).to(tl.float32)
            high = (high * scale * weight_high).to(dtype).to(tl.float32)
        cos = tl.load(cos_NE + n * E + i, mask=mask, other=0.0).to(tl.float32)
        sin = tl.load(sin_NE + n * E + i, mask=mask, other=0.0).to(tl.float32)
        turned_low = (low * cos - high * sin).to(dtype)
        turned_high = (high * cos + low * sin).to(dtype)
        if head < H:
            there = q_NHE + (n * H + head) * E
            tl.store(there + i, turned_low, mask=mask)
            tl.store(there + half + i, turned_high, mask=mask)
        else:
            key = keys + (slot + head - H) * E
            tl.store(key + i, turned_low, mask=mask)
            tl.store(key + half + i, turned_high, mask=mask)
    else:
        value = values + (slot + head - H - G) * E
        tl.store(value + i, low.to(dtype), mask=mask)
        tl.store(value + half + i, high.to(dtype), mask=mask)


@triton.jit
def norm_kernel(
    x_ND, delta_ND, weight_D, sum_ND, out_ND, eps, D: tl.constexpr, D_PADDED: tl.constexpr, ADDS: tl.constexpr
):
    """One program: one row. out = rms_norm(x + delta) * weight; the sum is stored too."""
    n = tl.program_id(0)
    d = tl.arange(0, D_PADDED)
    mask = d < D
    x = tl.load(x_ND + n * D + d, mask=mask, other=0.0).to(tl.float32)
    if ADDS:
        narrow = (x + tl.load(delta_ND + n * D + d, mask=mask, other=0.0).to(tl.float32)).to(sum_ND.dtype.element_ty)
        tl.store(sum_ND + n * D + d, narrow, mask=mask)
        x = narrow.to(tl.float32)
    scale = tl.rsqrt(tl.sum(x * x, 0) / D + eps)
    weight = tl.load(weight_D + d, mask=mask, other=0.0).to(tl.float32)
    tl.store(out_ND + n * D + d, (x * scale * weight).to(out_ND.dtype.element_ty), mask=mask)


@triton.jit
def glu_kernel(gate_up, out_NC, C, AT_ONCE: tl.constexpr):
    """silu(gate) * up of one row's piece; gate and up lie side by side."""
    n = tl.program_id(0)
    c = tl.program_id(1) * AT_ONCE + tl.arange(0, AT_ONCE)
    mask = c < C
    dtype = out_NC.dtype.element_ty
    gate = tl.load(gate_up + n * 2 * C + c, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(gate_up + n * 2 * C + C + c, mask=mask, other=0.0).to(tl.float32)
    opened = (gate / (1.0 + tl.exp(-gate))).to(dtype).to(tl.float32)
    tl.store(out_NC + n * C + c, (opened * up).to(dtype), mask=mask)


@triton.jit
def vector_kernel(
    x_D, weight_OD, bias_O, out_O, width, outputs, BIASED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """y = W x + b for a single x: each program streams a few rows of W, sums in fp32."""
    o = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    row = weight_OD + o.to(tl.int64)[:, None] * width
    sums = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, width, COLUMNS):
        d = start + tl.arange(0, COLUMNS)
        x = tl.load(x_D + d, mask=d < width, other=0.0).to(tl.float32)
        w = tl.load(row + d[None, :], mask=(o < outputs)[:, None] & (d < width)[None, :], other=0.0).to(tl.float32)
        sums += w * x[None, :]
    y = tl.sum(sums, 1)
    if BIASED:
        y += tl.load(bias_O + o, mask=o < outputs, other=0.0).to(tl.float32)
    tl.store(out_O + o, y.to(out_O.dtype.element_ty), mask=o < outputs)


@triton.jit
def wide_product_kernel(
    x_MD, weight_VD, out_MV, rows, D, V, ROWS: tl.constexpr, WORDS: tl.constexpr, DEPTH: tl.constexpr
):
    """x W^T of fp32 matrices by three TF32 products (each number split in two), fp32 sums: close to fp32."""
    v = tl.program_id(0) * WORDS + tl.arange(0, WORDS)
    m = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    sums = tl.zeros((ROWS, WORDS), tl.float32)
    for start in range(0, D, DEPTH):
        d = start + tl.arange(0, DEPTH)
        x = tl.load(x_MD + m[:, None] * D + d[None, :], mask=(m < rows)[:, None] & (d < D)[None, :], other=0.0)
        w = tl.load(
            weight_VD + v.to(tl.int64)[None, :] * D + d[:, None], mask=(v < V)[None, :] & (d < D)[:, None], other=0.0
        )
        sums += tl.dot(x, w, input_precision="tf32x3")
    mask = (m < rows)[:, None] & (v < V)[None, :]
    tl.store(out_MV + m.to(tl.int64)[:, None] * V + v[None, :], sums, mask=mask)


@triton.jit
def sums_kernel(logits_MV, top_M, scale_M, out_MK, V, K, SPAN: tl.constexpr, AT_ONCE: tl.constexpr):
    """Sums of exp((logit - top) * scale) over spans of the vocabulary; one program makes AT_ONCE of them."""
    m = tl.program_id(0)
    k = tl.program_id(1) * AT_ONCE + tl.arange(0, AT_ONCE)
    v = k[:, None] * SPAN + tl.arange(0, SPAN)[None, :]
    logits = tl.load(logits_MV + m.to(tl.int64) * V + v, mask=v < V, other=float("-inf"))
    weights = tl.exp((logits - tl.load(top_M + m)) * tl.load(scale_M + m))
    # where the largest logit is minus infinity too, padding must not turn into a number's absence
    sums = tl.sum(tl.where(v < V, weights, 0.0), 1)
    tl.store(out_MK + m * K + k, sums.to(tl.float64), mask=k < K)
