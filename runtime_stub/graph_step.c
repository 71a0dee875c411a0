/* graph_step.c: a step's tensors and attributes, and the graph's own
 * operations.
 */
#include "check.h"
#include "graph.h"

int32_t ops_graph_numbers(const ops_tensor *tensor, TVMFFIAny *to,
                          int32_t most) {
  const DLDataType *dtype = &ops_dtypes[tensor->dtype];
  if (tensor->count > most || tensor->rank > 1)
    return ops_fail_with(0, -1,
                         "an attribute is given by a tensor %s%v; it takes up "
                         "to %l numbers",
                         0, tensor, most, 0);
  for (int32_t i = 0; i < tensor->count; ++i) {
    const uint8_t *at = tensor->data + i * tensor->itemsize;
    to[i].type_index = OPS_KIND_INT;
    if (dtype->code == 2) {
      to[i].type_index = OPS_KIND_FLOAT;
      to[i].v_float64 = *(const float *)(const void *)at;
    } else if (dtype->bits == 64) {
      to[i].v_int64 = *(const int64_t *)(const void *)at;
    } else if (dtype->bits == 32) {
      to[i].v_int64 = *(const int32_t *)(const void *)at;
    } else {
      to[i].v_int64 = dtype->code ? *at : *(const int8_t *)at;
    }
  }
  return (int32_t)tensor->count;
}

/* The numbers of one attribute of a step. */
static int32_t numbers(ops_frame *frame, const ops_graph_attribute *attribute,
                       TVMFFIAny *to, int32_t most) {
  if (attribute->value != OPS_NO_VALUE)
    return ops_graph_numbers(&frame->values[attribute->value], to, most);
  for (int32_t i = 0; i < attribute->count; ++i) to[i] = attribute->numbers[i];
  return attribute->count;
}

/* Units as the compiler knows them, or by the first list that a value gives. */
static int32_t units_of(const ops_frame *frame, const ops_step *step) {
  const ops_attribute *known = step->op->family->attributes;
  for (int32_t a = 0; !step->units && a < step->attribute_count; ++a) {
    uint16_t value = step->attributes[a].value;
    if (value != OPS_NO_VALUE && known[a].per_unit)
      return (int32_t)frame->values[value].count / known[a].per_unit;
  }
  return step->units;
}

static int32_t bind_attributes(ops_frame *frame, const ops_step *step,
                               ops_request *call) {
  TVMFFIAny args[OPS_MAX_VALUES];
  int32_t at = 0;
  call->units = units_of(frame, step);
  if (call->units > step->op->family->units && !step->units)
    return ops_fail_with(call, OPS_ERROR_ATTRIBUTE,
                         "%s%sis given lists of %l entries; it takes %l", 0, 0,
                         call->units, step->op->family->units);
  for (int32_t a = 0; a < step->attribute_count; ++a) {
    int32_t per = call->family->attributes[a].per_unit;
    int32_t wanted = per ? per * call->units : 1, most = OPS_MAX_VALUES - at;
    int32_t found = numbers(frame, &step->attributes[a], args + at, most);
    if (found < 0) return OPS_ERROR_ATTRIBUTE;
    if (wanted <= most && !found)
      for (; found < wanted; ++found) args[at + found].type_index = 0;
    if (found != wanted)
      return ops_fail_with(call, OPS_ERROR_ATTRIBUTE,
                           "%s%s has %l entries but must have %l",
                           call->family->attributes[a].name, 0, found, wanted);
    at += wanted;
  }
  return ops_check_attributes(call, args);
}

int32_t ops_step_bind(ops_frame *frame, const ops_step *step,
                      int32_t inferring) {
  ops_request *call = &ops_state.call;
  const ops_family *family = step->op->family;
  const ops_param *param = family->params;
  const uint8_t *dtype = step->op->dtypes;
  ops_tensor *tensor = call->tensors;
  call->op = step->op;
  call->family = family;
  call->inputs = step->inputs;
  call->outputs = step->outputs;
  call->attributes = 0;
  call->units = step->units;
  call->inferring = inferring;
  int32_t more = step->inputs - family->inputs;
  for (int32_t t = 0; t < step->inputs + step->outputs; ++t, ++tensor) {
    uint16_t value = step->values[t];
    int32_t answer = inferring && t >= step->inputs;
    if (value == OPS_NO_VALUE || answer) {
      tensor->data = 0;
      tensor->rank = 0;
      tensor->count = answer;
      tensor->dtype = *dtype;
      tensor->itemsize = ops_dtypes[*dtype].bits / 8;
      tensor->bytes = tensor->itemsize * tensor->count;
      tensor->absent = !answer;
    } else {
      *tensor = frame->values[value];
      tensor->absent = 0;
    }
    tensor->name = param->name;
    tensor->room = 0;
    if (param->flags & OPS_PARAM_VARIADIC && more > 0 && t < step->inputs) {
      --more;
    } else if (!(param->flags & OPS_PARAM_VARIADIC && t >= step->inputs)) {
      ++param, ++dtype;
    }
  }
  return family->attribute_count ? bind_attributes(frame, step, call) : OPS_OK;
}

/* -- the graph's own operations -- */

typedef struct {
  int32_t rank;
  int64_t sizes[OPS_MAX_RANK + 1];
} shape;

static void push(shape *to, int64_t size) {
  if (to->rank <= OPS_MAX_RANK) to->sizes[to->rank++] = size;
}

static int32_t fail_axis(const ops_tensor *x, const char *name, int64_t axis) {
  return ops_fail_with(0, OPS_ERROR_ATTRIBUTE,
                       "%s: %v has no axis %l that it could take", name, x,
                       axis, 0);
}

/* Bit i: axis i of `rank` is among the numbers; -1 where one is no axis. */
static int64_t axes_of(const TVMFFIAny *numbers, int32_t count, int32_t rank) {
  int64_t axes = 0;
  for (int32_t i = 0; i < count; ++i) {
    int64_t axis = numbers[i].v_int64 + (numbers[i].v_int64 < 0 ? rank : 0);
    if (axis < 0 || axis >= rank || axes >> axis & 1) return -1;
    axes |= (int64_t)1 << axis;
  }
  return axes;
}

static int32_t squeeze(const ops_tensor *x, const TVMFFIAny *numbers,
                       int32_t count, shape *to) {
  int64_t axes = axes_of(numbers, count, x->rank);
  for (int32_t i = 0; i < x->rank; ++i) {
    int32_t named = axes >> i & 1;
    if (axes < 0 || (named && x->shape[i] != 1))
      return fail_axis(x, "squeeze", axes < 0 ? numbers[0].v_int64 : i);
    if (!named && (count || x->shape[i] != 1)) push(to, x->shape[i]);
  }
  return OPS_OK;
}

static int32_t unsqueeze(const ops_tensor *x, const TVMFFIAny *numbers,
                         int32_t count, shape *to) {
  int32_t rank = x->rank + count, from = 0;
  int64_t axes = rank > OPS_MAX_RANK ? -1 : axes_of(numbers, count, rank);
  if (axes < 0)
    return fail_axis(x, "unsqueeze", count ? numbers[0].v_int64 : 0);
  for (int32_t i = 0; i < rank; ++i)
    push(to, axes >> i & 1 ? 1 : x->shape[from++]);
  return OPS_OK;
}

static int32_t flatten(const ops_tensor *x, int64_t axis, shape *to) {
  if (axis < 0) axis += x->rank;
  if (axis < 0 || axis > x->rank) return fail_axis(x, "flatten", axis);
  push(to, ops_product(x->shape, 0, (int32_t)axis));
  push(to, ops_product(x->shape, (int32_t)axis, x->rank));
  return OPS_OK;
}

/* numbers: allowzero, then sizes; 0 copies a size, -1 is what is left. */
static int32_t reshape(const ops_tensor *x, const TVMFFIAny *numbers,
                       int32_t count, shape *to) {
  const int64_t most = (int64_t)1 << 31;
  int64_t known = 1, open = -1;
  if (count - 1 > OPS_MAX_RANK)
    return ops_fail_with(0, OPS_ERROR_ATTRIBUTE,
                         "reshape: %s%v cannot get %l axes; use 0 to %l", 0, x,
                         count - 1, OPS_MAX_RANK);
  for (int32_t i = 0; i < count - 1; ++i) {
    int64_t size = numbers[i + 1].v_int64;
    if (!size && !numbers[0].v_int64) {
      if (i >= x->rank) return fail_axis(x, "reshape", i);
      size = x->shape[i];
    }
    if (size < -1 || size > most || (size < 0 && open >= 0))
      return ops_fail_with(0, OPS_ERROR_ATTRIBUTE,
                           "reshape: %s%v cannot get a size of %l on axis %l",
                           0, x, size, i);
    if (size < 0)
      open = i;
    else
      known = known * size > most ? most : known * size;
    push(to, size);
  }
  if (open >= 0 && known) to->sizes[open] = x->count / known;
  int64_t made = open >= 0 && known ? known * (x->count / known) : known;
  if (made == x->count && (open < 0 || known)) return OPS_OK;
  return ops_fail_with(0, OPS_ERROR_SHAPE,
                       "reshape: %s%v has %l elements, the sizes make %l", 0, x,
                       x->count, made);
}

/* Writes sizes [start, end) of x, where there is memory; the shape of that. */
static int32_t sizes(const ops_tensor *x, const TVMFFIAny *numbers,
                     ops_tensor *out, shape *to) {
  int64_t start = numbers[0].v_int64, end = numbers[1].v_int64;
  start = start < 0 ? start + x->rank : start;
  end = end < 0 ? end + x->rank : end;
  if (start < 0) start = 0;
  if (end > x->rank) end = x->rank;
  push(to, end > start ? end - start : 0);
  for (int64_t i = start; out->data && i < end; ++i)
    ((int64_t *)(void *)out->data)[i - start] = x->shape[i];
  return OPS_OK;
}

int32_t ops_step_shape(ops_frame *frame, const ops_step *step) {
  TVMFFIAny args[OPS_MAX_VALUES];
  const ops_tensor *x = &frame->values[step->values[0]];
  ops_tensor *out = &frame->values[step->values[1]];
  shape to = {.rank = 0};
  int32_t count = 0, code = OPS_OK;
  for (int32_t a = 0; a < step->attribute_count; ++a) {
    int32_t found = numbers(frame, &step->attributes[a], args + count,
                            OPS_MAX_VALUES - count);
    if (found < 0) return OPS_ERROR_ATTRIBUTE;
    count += found;
  }
  out->dtype = step->kind == OPS_STEP_SHAPE ? OPS_INT64 : x->dtype;
  out->itemsize = ops_dtypes[out->dtype].bits / 8;
  out->name = "a value";
  if (step->kind == OPS_STEP_SHAPE) code = sizes(x, args, out, &to);
  if (step->kind == OPS_STEP_RESHAPE) code = reshape(x, args, count, &to);
  if (step->kind == OPS_STEP_SQUEEZE) code = squeeze(x, args, count, &to);
  if (step->kind == OPS_STEP_UNSQUEEZE) code = unsqueeze(x, args, count, &to);
  if (step->kind == OPS_STEP_FLATTEN) code = flatten(x, args[0].v_int64, &to);
  return code ? code : ops_read_shape(0, out, to.rank, to.sizes);
}
