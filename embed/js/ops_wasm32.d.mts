// ops_wasm32.d.mts: operators and models in WebAssembly.
import type { Arrays, CallErrorCode, Operators, TargetName } from "./operators.mjs";

export type * from "./operators.mjs";

declare global {
  interface SymbolConstructor {
    readonly dispose: unique symbol;
  }
}

/** The dtypes of tensors, by numpy's names. */
export type Dtype = keyof Arrays;

/** What calls give: elements in the order of rows, one after the other. */
export interface Tensor<D extends Dtype = Dtype> {
  data: Arrays[D];
  shape: number[];
  dtype: D;
}

/** What calls take. dtype: where the array leaves it open; a Uint8Array is uint8, or
 *  bool where nothing else is taken. */
export interface TensorLike<D extends Dtype = Dtype> {
  readonly data: Arrays[D];
  readonly shape: readonly number[];
  readonly dtype?: D | undefined;
}

/** An input of an operator: a tensor; an array of one axis; a number, where the other
 *  inputs say its dtype. */
export type Input<D extends Dtype = Dtype> =
  | TensorLike<D>
  | Arrays[D]
  | number
  | bigint
  | boolean;

/** Shape and dtype of a tensor, without its elements. */
export interface Described<D extends Dtype = Dtype> {
  readonly shape: readonly number[];
  readonly dtype: D;
}

/** A tensor in a library's own memory, which calls do not copy. */
export interface ResidentTensor<D extends Dtype = Dtype> {
  /** A view of memory; a new one after memory has grown. */
  readonly data: Arrays[D];
  readonly dtype: D;
  shape: number[];
  /** Give the memory back. */
  dispose(): void;
  [Symbol.dispose](): void;
}

/** A manifest as the module has it. */
export type Manifest = Readonly<Record<string, unknown>>;

/** The operators of a module. Calls come one after the other. */
export interface Library extends Operators {
  readonly manifest: Manifest;
  readonly module: WebAssembly.Module;
  /** Target that the module was built for. */
  readonly target: string;
  /** Names of the operators, sorted. */
  readonly operators: string[];
  /** Run an operator by any of its names: `call("ArgMax", x, { axis: 1 })`. */
  call(operator: string, ...words: unknown[]): Tensor | Tensor[];
  /** Shape and dtype of each output of a call, without running it. */
  infer(operator: string, ...words: unknown[]): { shape: number[]; dtype: Dtype }[];
  /** A tensor in the module's own memory. dtype: float32 where left out. */
  tensor(shape: readonly number[]): ResidentTensor<"float32">;
  tensor<D extends Dtype>(shape: readonly number[], dtype: D): ResidentTensor<D>;
  /** Give memory up; the library cannot be called any more. */
  dispose(): void;
  [Symbol.dispose](): void;
}

/** An input or output of a model. A size is a number, or a text: an expression over
 *  the names in `sizes`. shape: null where even the rank is open. */
export interface ModelTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly (number | string)[] | null;
}

/** An input of a model: a typed array, with its shape where the model leaves it open. */
export type ModelInput = TensorLike | Arrays[Dtype];

/** A model in an instance of its own. Calls come one after the other.
 *
 *  Outputs: dtypes by name, where they are known: `{ probabilities: "float32" }`. */
export interface Model<Outputs extends Record<string, Dtype> = Record<string, Dtype>> {
  readonly manifest: Manifest;
  readonly module: WebAssembly.Module;
  readonly inputs: readonly ModelTensor[];
  readonly outputs: readonly ModelTensor[];
  /** Least and greatest of each size that shapes call by a name. */
  readonly sizes: Readonly<Record<string, readonly [number, number]>>;
  /** Outputs by name, for inputs by name. */
  run(inputs?: Record<string, ModelInput>): { [Name in keyof Outputs]: Tensor<Outputs[Name]> };
  /** Run, and write outputs into arrays that are given; nothing else is allocated. */
  runInto<Targets extends { [Name in keyof Outputs]?: unknown }>(
    inputs: Record<string, ModelInput>,
    outputs: Targets,
  ): Targets;
  /** The memory of an input or output of a known size. */
  view(name: string): Arrays[Dtype];
  /** Another instance of the same module, with the same weights. */
  clone(): Promise<Model<Outputs>>;
  /** Give memory up; the model cannot be called any more. */
  dispose(): void;
  [Symbol.dispose](): void;
}

/** How far loading is. total: undefined where the server does not say. */
export interface Progress {
  readonly part: "module" | "weights";
  readonly loaded: number;
  readonly total: number | undefined;
}

/** What files are loaded from. */
export type Source = string | URL | Response | ArrayBuffer | ArrayBufferView;
/** A module: a file, or one that was compiled before. */
export type ModuleSource = Source | WebAssembly.Module;

interface LoadOptions {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
}

export interface ModelOptions extends LoadOptions {
  /** The file of weights, where it is neither in the module nor beside it. */
  weights?: Source | undefined;
  /** Keep weights in Cache storage: true, or the cache's name. */
  cache?: boolean | string | undefined;
}

export interface LibraryOptions extends LoadOptions {
  /** A target, in place of the best that the engine takes. */
  target?: TargetName | undefined;
  /** A module of operators, in place of the package's. */
  source?: ModuleSource | undefined;
}

/** Anything that goes wrong here. */
export class OpsError extends Error {
  constructor(code: OpsError["code"], text: string, options?: { cause?: unknown });
  readonly code: CallErrorCode | "module" | "weights" | "file" | "engine";
  /** The message. */
  readonly text: string;
}

/** Load a model. Errors: OpsError; the signal's reason once it is aborted. */
export function loadModel<Outputs extends Record<string, Dtype> = Record<string, Dtype>>(
  source: ModuleSource,
  options?: ModelOptions,
): Promise<Model<Outputs>>;

/** A model of a module that was compiled before, at once. */
export function openModel<Outputs extends Record<string, Dtype> = Record<string, Dtype>>(
  module: WebAssembly.Module,
  options?: { weights?: ArrayBuffer | ArrayBufferView | undefined },
): Model<Outputs>;

/** Load the operators, for the best target that the engine takes. */
export function loadLibrary(options?: LibraryOptions): Promise<Library>;

/** The operators of a module that was compiled before, at once. */
export function openLibrary(module: WebAssembly.Module): Library;

/** Names of the targets that the engine takes, best first. */
export function supportedTargets(): TargetName[];

/** Names of the dtypes. */
export const dtypes: readonly Dtype[];

/** A typed array with its shape. */
export type ShapedArray = Arrays[Dtype] & { readonly shape: readonly number[] };

/** A model whose results are typed arrays with a shape: the earlier form of loadModel. */
export function load(
  source: ModuleSource,
  weights?: Source,
): Promise<Omit<Model, "run"> & {
  run(inputs?: Record<string, ModelInput>): Record<string, ShapedArray>;
}>;
