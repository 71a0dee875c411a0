/* main.c: adds two tensors and multiplies two matrices.
 *
 * In the folder of the unpacked SDK:
 *
 *   python -m ziglang cc -target wasm32-wasi -O2 -Wl,--strip-debug \
 *       -Iinclude examples/c/main.c -Llib/simd128 -lops_wasm32 -o main.wasm
 *   wasmtime main.wasm
 *
 * The program carries the kernels that it names and no other.
 */
#include <ops_kernels.h>
#include <stdio.h>

static DLTensor matrix(float *data, int64_t *shape) {
  DLTensor tensor = {.data = data, .device = {1, 0}, .ndim = 2};
  tensor.dtype = (DLDataType){.code = 2, .bits = 32, .lanes = 1}; /* float32 */
  tensor.shape = shape;
  return tensor;
}

static int print(const char *what, int32_t code, const float *values) {
  if (code) {
    fprintf(stderr, "error %d: %s\n", (int)code, ops_last_error());
    return 1;
  }
  printf("%s", what);
  for (int i = 0; i < 4; ++i) printf(" %g", values[i]);
  printf("\n");
  return 0;
}

int main(void) {
  float a_data[] = {1, 2, 3, 4}, b_data[] = {10, 20, 30, 40}, out_data[4];
  int64_t shape[] = {2, 2};
  DLTensor a = matrix(a_data, shape), b = matrix(b_data, shape);
  DLTensor out = matrix(out_data, shape);
  int failed = print("a + b:", ops_run_add_float32(&a, &b, &out), out_data);
  failed |= print("a @ b:", ops_run_matmul_float32(&a, &b, &out), out_data);
  return failed;
}
