"""From tensor expressions to LLVM IR."""
