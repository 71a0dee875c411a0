/* standalone.c: linked into modules that hosts load, not into programs: then an
 * output below __heap_base (stack, statics) is an error. See check_tensor.c. */
extern const char ops_standalone;
const char ops_standalone = 1;
