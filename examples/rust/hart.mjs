/** The thread of a hart: another instance of the module over the same memory, on a stack of its own. */
import { workerData } from "node:worker_threads";

const { module, core, memory, hart, header, pc } = workerData;
const memslots = new WebAssembly.Instance(core, { env: { memory } }).exports;
const { exports } = new WebAssembly.Instance(module, { env: { memory }, memslots });
exports.__stack_pointer.value = exports.stack_of(hart);
exports.run_hart(hart, header, pc);
