/**
 * What is where no slot is. An access that no device takes is an access fault of the guest.
 */

/** Addresses are offsets from `base`. */
export interface Device {
  readonly base: number;
  readonly bytes: number;
  load(offset: number, bytes: number): number;
  store(offset: number, bytes: number, value: number): void;
}

export class Bus {
  readonly #devices: readonly Device[];

  constructor(devices: readonly Device[]) {
    this.#devices = devices;
  }

  #at(address: number, bytes: number): Device | undefined {
    return this.#devices.find(
      (device) => address >= device.base && address + bytes <= device.base + device.bytes,
    );
  }

  /** Undefined if there is no device. */
  load(address: number, bytes: number): number | undefined {
    const device = this.#at(address, bytes);
    return device?.load(address - device.base, bytes);
  }

  /** False if there is no device. */
  store(address: number, bytes: number, value: number): boolean {
    const device = this.#at(address, bytes);
    device?.store(address - device.base, bytes, value);
    return device !== undefined;
  }
}
