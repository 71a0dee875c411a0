/* ops_wasm32.hpp: the operators of ops_kernels.h for C++17: a function for each
 * operator, overloaded by dtype. No exceptions, no allocation, no headers of
 * the standard library.
 *
 *   float data[] = {1, 2, 3}, result[3];
 *   ops::tensor x(data, {1, 3}), y(result, {1, 3});
 *   if (ops::error e = ops::softmax(x, y, {-1})) puts(e.text);
 *
 * Inputs come first, then outputs, then attributes as one struct, whose members
 * have ONNX's names and defaults. infer_softmax(x, y) fills in the shape of y,
 * whose data may be absent. A program carries the kernels that it calls.
 */
#ifndef OPS_WASM32_HPP_
#define OPS_WASM32_HPP_

#include "ops_kernels.h"

namespace ops {

/* What a call returns: true where it failed. text: what, where, which value
 * and what to do; it stays valid until the next call. */
struct error {
  int32_t code = OPS_OK;
  const char *text = "";
  constexpr explicit operator bool() const { return code != OPS_OK; }
};

/* Sizes of axes. */
struct shape {
  int64_t sizes[OPS_MAX_RANK] = {};
  int32_t rank = 0;

  template <class... Sizes>
  constexpr shape(Sizes... given)
      : sizes{static_cast<int64_t>(given)...}, rank(sizeof...(given)) {
    static_assert(sizeof...(given) <= OPS_MAX_RANK, "too many axes");
  }

  /* How many elements there are. */
  constexpr int64_t count() const {
    int64_t product = 1;
    for (int32_t axis = 0; axis < rank; ++axis) product *= sizes[axis];
    return product;
  }
};

namespace detail {
template <class T>
struct dtype_of;
template <class From, class To>
struct reads_only {};
template <class T>
struct reads_only<T, const T> {
  using type = void;
};
}  // namespace detail

/* Elements of somebody else's, row after row. A default one is an optional
 * input that is absent. */
template <class T>
struct tensor {
  T *data = nullptr;
  ops::shape shape{};
  bool present = false;

  constexpr tensor() = default;
  constexpr tensor(T *elements, ops::shape sizes)
      : data(elements), shape(sizes), present(true) {}
  /* Elements that nobody will write into. */
  template <class U, class = typename detail::reads_only<U, T>::type>
  constexpr tensor(const tensor<U> &other)
      : data(other.data), shape(other.shape), present(other.present) {}
};

/* Some tensors: an array of them, or a pointer and a count. */
template <class T>
struct list {
  const T *values = nullptr;
  int32_t count = 0;

  constexpr list() = default;
  constexpr list(const T *first, int32_t many) : values(first), count(many) {}
  template <int32_t N>
  constexpr list(const T (&array)[N]) : values(array), count(N) {}
};

/* Some numbers, at most N: {1, 1}; of(first, count) copies them. */
template <class T, int32_t N>
struct values {
  T items[N] = {};
  int32_t count = 0;

  template <class... Numbers>
  constexpr values(Numbers... given)
      : items{static_cast<T>(given)...}, count(sizeof...(given)) {
    static_assert(sizeof...(given) <= N, "too many values");
  }

  static constexpr values of(const T *first, int32_t many) {
    values made;
    for (; made.count < many && made.count < N; ++made.count)
      made.items[made.count] = first[made.count];
    return made;
  }
};

/* An attribute that a call must give. */
template <class T>
struct required {
  T value;
  template <class First, class... Rest>
  constexpr required(First first, Rest... rest) : value(first, rest...) {}
};

namespace detail {
/* The arguments of a call, in the order of its signature. */
template <int32_t Tensors, int32_t Values>
class call {
 public:
  explicit call(const ops_operator *op) : op_(op) {}

  template <class T>
  void input(const tensor<const T> &given) {
    if (!given.present) return add(ops_arg(OPS_KIND_NONE));
    head<T>(const_cast<T *>(given.data), given.shape);
  }

  template <class T>
  void input(list<tensor<const T>> given) {
    units(given.count, 1);
    for (int32_t i = 0; i < given.count; ++i) input(given.values[i]);
  }

  template <class T>
  void output(const tensor<T> &given) {
    head<T>(given.data, given.shape);
  }

  template <class T>
  void output(list<tensor<T>> given) {
    units(given.count, 1);
    for (int32_t i = 0; i < given.count; ++i) output(given.values[i]);
  }

  /* Lists of a call are all for the same number of axes or tensors. */
  void units(int32_t count, int32_t each) {
    if (!count) return;
    if (count % each || (units_ && count / each != units_))
      problem_ =
          "lists of attributes or tensors that differ in length; give all "
          "for the same number of axes or tensors";
    units_ = count / each;
  }
  template <class T, int32_t N>
  void unit(const values<T, N> &given, int32_t each) {
    units(given.count, each);
  }
  template <class T>
  void unit(const required<T> &given, int32_t each) {
    unit(given.value, each);
  }

  void value(int64_t given) { add(ops_arg_int(given)); }
  void value(double given) { add(ops_arg_float(given)); }
  template <class T>
  void value(const required<T> &given) {
    value(given.value);
  }
  /* One of some names. */
  template <class T>
  void value(T given) {
    value(static_cast<int64_t>(given));
  }
  template <class T, int32_t N>
  void value(const values<T, N> &given, int32_t each) {
    for (int32_t i = 0; i < given.count; ++i) value(given.items[i]);
    if (given.count) return;
    for (int32_t i = 0; i < units_ * each; ++i) add(ops_arg(OPS_KIND_NONE));
  }
  template <class T>
  void value(const required<T> &given, int32_t each) {
    value(given.value, each);
  }

  error run() {
    if (problem_) return {OPS_ERROR_ARGUMENT, problem_};
    return result(ops_call_operator(op_, arguments_, count_));
  }

  /* Find the shapes of the outputs, which were the last tensors. */
  template <class... Outputs>
  error infer(Outputs &...outputs) {
    if (problem_) return {OPS_ERROR_ARGUMENT, problem_};
    const error found = result(ops_infer_operator(op_, arguments_, count_));
    int32_t at = tensors_ - static_cast<int32_t>(sizeof...(outputs));
    if (!found) ((outputs.shape.rank = heads_[at++].ndim), ...);
    return found;
  }

 private:
  static error result(int32_t code) {
    return {code, code ? ops_last_error() : ""};
  }

  void add(TVMFFIAny given) {
    if (count_ < Tensors + Values)
      arguments_[count_++] = given;
    else
      problem_ = "more tensors or values than a call takes";
  }

  template <class T>
  void head(T *data, const ops::shape &sizes) {
    if (tensors_ == Tensors) return add(ops_arg(OPS_KIND_NONE));
    DLTensor &made = heads_[tensors_++];
    made = DLTensor{};
    made.data = data;
    made.device.device_type = 1; /* the CPU */
    made.ndim = sizes.rank;
    made.dtype = dtype_of<T>::value;
    made.shape = const_cast<int64_t *>(sizes.sizes);
    add(ops_arg_tensor(&made));
  }

  const ops_operator *op_;
  const char *problem_ = nullptr;
  int32_t count_ = 0, tensors_ = 0, units_ = 0;
  DLTensor heads_[Tensors];
  TVMFFIAny arguments_[Tensors + Values];
};
}  // namespace detail

/* Operators. */

}  // namespace ops

#endif /* OPS_WASM32_HPP_ */
