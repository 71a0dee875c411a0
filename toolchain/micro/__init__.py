"""The innermost tiles, written as LLVM IR: a family of micro-kernels a file."""
