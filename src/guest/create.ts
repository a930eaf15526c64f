/** Guest memory of an engine: the function that makes it, and its options. */
import { type Engine, threadOf } from "../core/thread.js";
import { checkFunction, checkOptionNames, show } from "../kvm/arguments.js";
import { Section, sectionOf } from "../read/section.js";
import type { Vcpu } from "../read/vcpu.js";
import { checkDevices, type Devices } from "./devices.js";
import { HostMemories, type HostMemory, type HostRange } from "./host.js";
import { GuestMemory } from "./memory.js";
import type { HoleHandler } from "./target.js";

/** Options of `guestMemory`. */
export interface GuestMemoryOptions {
  /**
   * Access through this vCPU: from the layout of its section, in its address space, in its thread. Begin and end its
   * sections by its own functions then, not through the wasm ABI.
   */
  vcpu?: Vcpu | undefined;
  /** Address space without a vCPU; 0 if not given. */
  asId?: number | undefined;
  /**
   * The devices behind the windows, by number: an array, or an object. An access that several things respond to gives
   * each its part.
   */
  devices?: Devices | undefined;
  /**
   * Called with every access, or part of one, that neither memory nor a device takes. Without it such an access throws.
   */
  onHole?: HoleHandler | undefined;
}

/**
 * Access to the bytes of guest memory: through a vCPU from the layout of its section, or without one, each access being
 * a section by itself.
 * @param host the memory whose byte 0 is host address 0, or several with the host address of their first byte
 * @throws TypeError naming the argument or option; RangeError for host ranges that overlap, or an unknown address space
 *
 * @example
 * const guest = guestMemory(engine, ram, { vcpu });
 * guest.setUint32(0x1000, guest.getUint32(0x2000, true) + 1, true);
 */
export function guestMemory(
  engine: Engine,
  host: HostMemory | readonly HostRange[],
  options: GuestMemoryOptions = {},
): GuestMemory {
  const thread = threadOf(engine);
  checkOptionNames<GuestMemoryOptions>(options, { vcpu: true, asId: true, devices: true, onHole: true });
  const { vcpu, asId = 0, devices, onHole } = options;
  if (onHole !== undefined) checkFunction(onHole, "onHole");
  thread.checkAsId(asId);
  if (vcpu !== undefined && options.asId !== undefined)
    throw new TypeError("asId must be left out: it is the vCPU's");
  const section = vcpu === undefined ? new Section(asId) : sectionOf(vcpu, thread.wasm);
  if (section === undefined) throw new TypeError(`vcpu must be a vCPU of this engine, not ${show(vcpu)}`);
  return new GuestMemory({
    thread,
    host: new HostMemories(host),
    section,
    onHole,
    devices: devices === undefined ? undefined : checkDevices(devices),
    watches: undefined,
    forget: [],
    vcpu: vcpu === undefined ? 0 : vcpu.reader,
  });
}
