/** The file that workers of a reproduction are started from. */
import { serveTasks } from "../../src/replay/crew.js";
import { runSecondWriter, type SecondWriterTask } from "./secondwriter.js";
import { runVcpu, type VcpuTask } from "./vcpu.js";

serveTasks<VcpuTask | SecondWriterTask>((task, number, progress) =>
  task.role === "vcpu" ? runVcpu(task, number, progress) : runSecondWriter(task, number, progress),
);
