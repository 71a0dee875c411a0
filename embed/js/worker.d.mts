// worker.d.mts: models in workers of their own.
import type { Dtype, Model, ModelInput, ModelOptions, Tensor } from "./ops_wasm32.mjs";

/** A model in a worker. */
export interface WorkerModel<Outputs extends Record<string, Dtype> = Record<string, Dtype>> {
  readonly inputs: Model["inputs"];
  readonly outputs: Model["outputs"];
  readonly sizes: Model["sizes"];
  /** Outputs by name, for inputs by name. moved: buffers of inputs that the worker gets,
   *  and the caller loses, in place of a copy. */
  run(
    inputs?: Record<string, ModelInput>,
    moved?: ArrayBuffer[],
  ): Promise<{ [Name in keyof Outputs]: Tensor<Outputs[Name]> }>;
  /** End the worker, and with it a call that does not end. */
  dispose(): void;
  [Symbol.dispose](): void;
}

/** Load a model in a new worker. Errors: OpsError; the signal's reason. */
export function loadModel<Outputs extends Record<string, Dtype> = Record<string, Dtype>>(
  source: string | URL | ArrayBuffer | ArrayBufferView | WebAssembly.Module,
  options?: Omit<ModelOptions, "weights"> & {
    weights?: string | URL | ArrayBuffer | ArrayBufferView | undefined;
  },
): Promise<WorkerModel<Outputs>>;
