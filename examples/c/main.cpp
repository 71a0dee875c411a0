/* main.cpp: main.c in C++17, with an attribute and an error.
 *
 * In the folder of the unpacked SDK:
 *
 *   python -m ziglang c++ -target wasm32-wasi -O2 -Wl,--strip-debug \
 *       -fno-exceptions -nostdlib++ -Iinclude examples/c/main.cpp \
 *       -Llib/simd128 -lops_wasm32 -o main.wasm
 *   wasmtime main.wasm
 */
#include <ops_wasm32.hpp>
#include <stdio.h>

static int print(const char *what, ops::error error, const float *values) {
  if (error) {
    fprintf(stderr, "error %d: %s\n", (int)error.code, error.text);
    return 1;
  }
  printf("%s", what);
  for (int i = 0; i < 4; ++i) printf(" %g", values[i]);
  printf("\n");
  return 0;
}

int main() {
  float a_data[] = {1, 2, 3, 4}, b_data[] = {10, 20, 30, 40}, out_data[4];
  ops::tensor a(a_data, {2, 2}), b(b_data, {2, 2}), out(out_data, {2, 2});
  int failed = print("a + b:", ops::add(a, b, out), out_data);
  failed |= print("a @ b:", ops::matmul(a, b, out), out_data);
  ops::log_softmax_attributes wrong;
  wrong.axis = 2;
  if (!ops::log_softmax(a, out, wrong)) return 1; /* axis 2 is outside rank 2 */
  return failed;
}
