"""The numbers of tiles, blocks and thresholds, by name; see toolchain/tuning."""

from toolchain.tuning.number import Number

V8, FMA, SCALAR = "relaxed-simd-v8", "relaxed-simd", "mvp"
TABLE: dict[str, Number] = {
    # Matrix products (spec/panels.py, spec/product.py), in BLIS's words: a block is
    # kc deep and nc wide, a tile of registers `rows` high and a panel wide.
    "gemm.rows": Number(
        *(4, 1, 8, "rows of a float32 tile"),
        "4 x 8 sums and what a step loads fill 16 registers; V8 loads an element into "
        "all lanes at no cost, so that 6 x 8 fit: 512^3 at 58 of 59 GFLOP/s, which "
        "has 25 in wasmtime",
        {SCALAR: 2, V8: 6},
    ),
    "gemm.i32_rows": Number(
        *(4, 1, 8, "rows of an int32 tile"),
        "as gemm.rows; there is no fused multiply-add of integers to tell V8 apart",
        {SCALAR: 2},
    ),
    "gemm.row_columns": Number(
        *(24, 8, 64, "columns of the tile of one row"),
        "24: sums and loads fit the registers; 16 in two phases, 8 in four: 5 to 30 % "
        "slower; 32: 9 % faster in V8 with FMA, but cranelift, which loads first what "
        "a step needs, spills two sums",
        {V8: 32},
        multiple=8,
    ),
    "gemm.small_m": Number(
        *(8, 0, 64, "rows up to which the right factor is read as it lies"),
        "packing costs more than it gives: 8x3072x768 from 18 to 31-36 GFLOP/s",
    ),
    "gemm.small_m_rows": Number(
        *(4, 4, 8, "rows of the tile for up to gemm.small_m rows"),
        "8 rows are two whole tiles: 20 -> 27 to 37 GFLOP/s in V8, whose tile has 6",
        multiple=4,
    ),
    "gemm.small_n": Number(
        *(16, 0, 512, "columns up to which left panels are shuffled, not broadcast"),
        "a left panel that is used a few times is not worth broadcasting: 28x28x64, "
        "3x3 -> 8: 25 -> 37 GFLOP/s, -> 32: 38 -> 45; with mul+add, where a shuffle "
        "takes the place of a multiplication, only up to 16",
        {FMA: 48},
    ),
    "gemm.kc": Number(
        *(512, 16, 8192, "K of a block of both factors"),
        "a left panel, at most 4 x 512 vectors (32 KiB), stays in L1; 256: twice the "
        "passes over the result, 1 to 2 % slower (V8 512^3: 52.5 and 54.2)",
    ),
    "gemm.nc": Number(
        *(512, 8, 8192, "columns of a block of the right factor"),
        "the block, 1 MiB, stays about in L2: half of it is 1 % slower",
        multiple=8,
    ),
    "gemm.panel_k": Number(
        *(640, 16, 8192, "most elements of K of a product by panels"),
        "a panel of both factors stays in L1: 3x3x256 in V8 50 -> 52 GFLOP/s",
    ),
    "gemm.direct_k": Number(
        *(32, 4, 1024, "K of a step through a right factor that is read as it lies"),
        "memory is read along the rows: 1x1024x1024 from 3.5 to 15-19 GFLOP/s",
    ),
    "gemm.l2": Number(
        *(1 << 17, 1 << 10, 1 << 22, "elements of a factor that are packed at a time"),
        "512 KiB, of an L2 of 1 MiB or more",
    ),
    "gemm.row_k": Number(
        *(768, 0, 8192, "K below which one row takes panels one after the other"),
        "panels of 12 KB from memory: side by side 16 GB/s, one after the other 25; "
        "of 32 KB 26 and 23; in L3 it is the other way round: 73 and 58",
    ),
    "gemm.last_rows": Number(
        *(3, 1, 8, "last rows one by one, if this many times them fit a tile"),
        "a third of a tile: one by one they take less time than the tile",
    ),
    "gemm.unroll": Number(
        *(4, 1, 16, "steps of k between two updates of the pointers"),
        "2: 64^3 as fast, 1 KB less of code; 8: as fast, 2 KB more",
        {SCALAR: 1},
    ),
    "gemm.splat_unroll": Number(
        *(8, 1, 16, "the same, of float32 panels that are splat"),
        "4: 64^3 takes 1.1 to 1.3 of the time; 16: as fast, 1.3 KB more of code",
        {SCALAR: 1},
    ),
    "gemm.barrier_unroll": Number(
        *(3, 1, 16, "the same, where a scheduling barrier divides a step"),
        "from 4 to 8 on cranelift spills sums in most forms of the tile",
    ),
    "gemm.barrier": Number(
        *(2, 2, 8, "parts of a step, of which the first is ahead of the barrier"),
        "FMA beside shuffles, with a barrier after half of the products: 3 % faster",
    ),
    # Convolutions as products (kernels/conv.py, conv_packed.py, spec/images.py).
    "conv.small_m": Number(
        *(3, 1, 8, "output channels of a group from which it is a matrix product"),
        "with fewer a tile of 4 rows is mostly padding",
    ),
    "conv.kc": Number(
        *(640, 16, 8192, "K of a block of packed windows"),
        "64 channels by 3 x 3 taps are 576, beside 512 KiB of windows",
    ),
    "conv.mc": Number(
        *(128, 1, 8192, "output channels up to which weights are packed once"),
        "more of them, or deeper ones, are packed tile by tile beside each block of "
        "windows, as writing them all out and back costs more: 28x28, 128 channels 2 "
        "%, 7x7, 512 to 2048, 1x1 5 %",
    ),
    "conv.sparse": Number(
        *(64, 2, 1 << 16, "elements of a padded copy for one of image and result"),
        "with more, taps are read from the image one by one, so that large pads and "
        "dilations cost no time",
    ),
    "conv_packed.kc": Number(
        *(320, 16, 8192, "K of a part of a row of taps, of weights beyond L2"),
        "20 KB of a broadcast panel and 10 KB of weights; 200 and 400: 1 to 3 % slower",
    ),
    "winograd.block": Number(
        *(1 << 19, 1 << 12, 1 << 26, "elements of a group of tiles, before and after"),
        "2 MiB, of an L2 of 1 MiB and an L3 of more; other sizes were not compared",
    ),
    "winograd.step": Number(
        *(12, 1, 64, "what the tiles of a group are a multiple of"),
        "whole tiles of the products, of 4 and of 6 rows",
    ),
    # Depthwise convolutions (toolchain/spec/depthwise.py, regions.py; slide, touch).
    "depthwise.rows": Number(
        *(4, 1, 4, "rows of a tile of the result"),
        "4 x 8 sums, weights and loads fill 16 registers",
    ),
    "depthwise.block": Number(
        *(6144, 256, 1 << 20, "elements of a block of a padded plane"),
        "24 KiB of a 32 KiB L1, with room for rows of the result",
    ),
    "depthwise.taken": Number(
        *(4096, 256, 1 << 20, "elements of an NHWC image that a block of pixels takes"),
        "16 KiB of a 32 KiB L1; whole rows of 56 x 64, 43 KB, were loaded from L2: "
        "3.5 instead of 2.1 ns a register in Node",
    ),
    "depthwise.fewest": Number(
        *(8, 1, 256, "least pixels of a block of an NHWC image"),
        "with fewer, loading weights is much of the time",
    ),
    "depthwise.reach": Number(
        *(
            64,
            2,
            1024,
            "elements that a window may reach over, of planes that are copied",
        ),
        "larger windows are not worth a copy",
    ),
    "depthwise.stride": Number(
        *(4, 1, 16, "largest stride of planes that are copied"),
        "with larger ones most of a copy is not read",
    ),
    "depthwise.padded": Number(
        *(8192, 64, 1 << 16, "longest padded row of planes that are copied"),
        "bounds the copy's memory",
    ),
    "regions.narrow": Number(
        *(12, 8, 256, "columns below which a plane is one region"),
        "the edges of a narrow plane are most of it",
    ),
    "regions.largest": Number(
        *(8192, 64, 1 << 16, "rows and columns of a plane that is done by regions"),
        "bounds the buffer's memory",
    ),
    "regions.l2": Number(
        *(
            1 << 20,
            1 << 10,
            1 << 26,
            "bytes of images from which planes are read ahead",
        ),
        "of a usual L2; 112 x 112 x 32 at stride 2: 108 to 95 us",
    ),
    "slide.rows": Number(
        *(2, 1, 4, "rows of the result in a step, at stride 2"),
        "with exits between them 2.15 ns a register instead of 3.04 (wasmtime; Node "
        "2.1 instead of 2.4); at stride 1 that gains nothing",
    ),
    "touch.step": Number(
        *(256, 64, 4096, "bytes that a step reads ahead"),
        "four lines; other sizes were not compared",
        multiple=64,
    ),
    # Copies and transposes (toolchain/spec/movement.py).
    "view.short_row": Number(
        *(16, 1, 1024, "elements below which a row is not copied by itself"),
        "a memory.copy for each takes longer than tiles (wasmtime)",
    ),
    "view.tile": Number(
        *(32, 4, 1024, "elements on the side of a tile, without SIMD"),
        "32 lines of 64 bytes stay in L1 while a transpose crosses them",
    ),
    "view.line": Number(
        *(64, 64, 128, "bytes of each row of the result that are written at once"),
        "a cache line: 1000 x 1000 by blocks of 16 x 4 has 0.60 of a copy's rate, by "
        "4 x 4 0.46",
        power=True,
    ),
    "view.conflict": Number(
        *(2048, 256, 1 << 16, "bytes between lines that share few sets of L1"),
        "of an 8-way L1: 1024 x 1024 float32 from 10 to 31 GB/s through a buffer",
        power=True,
    ),
    "view.buffered": Number(
        *(64, 64, 512, "rows and columns of a tile that goes through a buffer"),
        "128 x 64, 64 x 128, 128 x 128, 256 x 64: 5 to 40 % slower",
        power=True,
    ),
    # Folds of windows, rows and columns (spec/windows.py, rows.py, softmax.py; pool,
    # halve, rows, columns, arg_*).
    "pool.vectors": Number(
        *(4, 1, 8, "registers of floats that share what a tap costs beside them"),
        "bytes, of which one register holds 16, take one: four would cost 0.7 KB",
    ),
    "pool.halve_unroll": Number(
        *(2, 1, 8, "registers of windows in a step, where maxima are halved"),
        "8 columns take 1.96 ns (Node 1.82), with an exit per register more; 4: no "
        "faster",
    ),
    "pool.reach": Number(
        *(16, 1, 1024, "elements below which a window's reach is not asked about"),
        "such windows never read an element more often than 4 times that",
    ),
    "pool.halve_columns": Number(
        *(16, 12, 1024, "columns from which 3 x 3 maxima, 2 apart, are halved"),
        "the micro-kernel takes 12 or more; with fewer than 16 it is no faster",
    ),
    "reduce.strip": Number(
        *(1024, 16, 1 << 14, "columns whose results stay in L1"),
        "256: reads are 15 % slower",
        multiple=16,
    ),
    "reduce.step": Number(
        *(8, 1, 8, "vectors of a row that are taken together"),
        "4: rows of 1000 take 1.00 to 1.02 of the time, 0.2 KB less of code; 16 spill",
        power=True,
    ),
    "reduce.rows": Number(
        *(16, 1, 1024, "rows of a block that columns are folded down in registers"),
        "32: 15 % slower where rows are 4 KB",
    ),
    "reduce.vectors": Number(
        *(4, 1, 8, "vectors of a tile of columns of floats"),
        "8 spill for a maximum, and are 5 % faster for a sum",
        power=True,
    ),
    "arg.rows": Number(
        *(4, 1, 8, "rows of a tile of columns whose best is looked for"),
        "what eight registers hold beside 2 vectors: 13 GB/s row by row, 24 to 36 so; "
        "8 rows: slower",
        power=True,
    ),
    "arg.vectors": Number(
        *(2, 1, 4, "vectors of the same tile"),
        "as arg.rows",
    ),
    "arg.block": Number(
        *(16, 8, 32, "elements of a row that are searched together"),
        "32: 1.5 KB more of code, 8: 0.1 KB less; their speed was not compared",
        power=True,
    ),
    "normalize.short_row": Number(
        *(512, 1, 1 << 14, "elements of a row up to which four are done together"),
        "rows of 128: roots and quotients of four rows in a vector 25 % faster; rows "
        "of 1000: four do not stay in L1, 12 % slower",
    ),
    "normalize.vectors": Number(
        *(4, 1, 8, "vectors in a step of the last pass over a row"),
        "2: rows of 128 take 1.04 of the time; 8: 0.98, and 0.1 KB more of code",
    ),
    "softmax.short_row": Number(
        *(
            32,
            0,
            1 << 14,
            "elements of a model's row that tries no exp without its peak",
        ),
        "shorter rows are not worth the code of a second path",
    ),
    # Products of 8-bit integers (toolchain/spec/eight_bit.py).
    "eight_bit.rows": Number(
        *(4, 1, 8, "rows of a tile of dots"), "as gemm.i32_rows", {SCALAR: 2}
    ),
    "eight_bit.columns": Number(
        *(8, 2, 16, "columns of a tile of dots"),
        "as a panel; without SIMD 2 x 4 sums stay in registers",
        {SCALAR: 4},
        power=True,
    ),
    "eight_bit.kc": Number(
        *(512, 32, 8192, "K of a block"),
        "a panel of rows, 4 x 256 words of 16 bytes (16 KiB), stays in L1 beside one "
        "of columns (8 KiB)",
        multiple=32,
    ),
    "eight_bit.nc": Number(
        *(512, 16, 8192, "columns of a block"),
        "512 of them (512 KiB) stay in L2",
        multiple=16,
    ),
    "eight_bit.sums": Number(
        *(512, 16, 8192, "rows and columns of int32 sums of an int8 result"),
        "1 MiB of sums at a time",
        multiple=16,
    ),
    "eight_bit.quadrant": Number(
        *(
            128,
            16,
            1 << 14,
            "the smallest quadrant of which Strassen's products are made",
        ),
        "from there on seven products cost less than eight",
        multiple=16,
    ),
    "eight_bit.unroll": Number(
        *(4, 1, 16, "steps of a tile between two updates of the pointers"),
        "2 and 8: 256^3 within 2 %, 0.3 KB less and 0.6 KB more of code",
    ),
    # Functions of arrays (toolchain/lower/arrays.py, forms.py, stages.py).
    "array.block": Number(
        *(256, 16, 1024, "elements that go through one stage before the next"),
        "their buffers stay in L1; 128: 2 % slower",
        multiple=16,
    ),
    "array.together": Number(
        *(2, 1, 4, "vectors in a step of a short formula"),
        "10 % faster than one, which leaves half of its instructions to the loop; 4: 2 "
        "% faster yet, and a third more code",
        power=True,
    ),
    "array.short": Number(
        *(40, 0, 1000, "operations up to which a formula is short"),
        "steps of two of all formulas: 1.2 KB more of code, which gelu and erf are",
    ),
    "array.stage": Number(
        *(24, 1, 1000, "cycles of a stage's chain of operations, about"),
        "two stages of 25 are better than one of 50; three are worse for exp",
    ),
    "array.cut": Number(
        *(5, 1, 100, "a part of a chain by this number is how far a cut may move"),
        "2 and 20: 0.1 KB more of code, as more values cross a cut",
    ),
    "array.crossing": Number(
        *(6, 1, 64, "most values that cross a cut, of more than two stages"),
        "more buffers than 6 cost more than the stages gain",
    ),
    "resize.step": Number(
        *(16, 4, 64, "columns of a step between two rows"),
        "four registers in a step",
        multiple=4,
    ),
}
