import { guestMemory, MemslotEngine } from "./node_modules/memslots/dist/index.js";

self.onmessage = async ({ data: { handle, ram } }) => {
  const engine = await MemslotEngine.attach(handle);
  const vcpu = engine.vcpu();
  let holes = 0;
  const guest = guestMemory(engine, ram, { vcpu, onHole: () => void holes++ });
  for (let round = 1; ; round++) {
    vcpu.enter(); // a read section: one layout until exit
    guest.setUint32(0x80_0000, round, true);
    guest.setUint32(0, guest.getUint32(0x80_0000, true), true);
    guest.setUint32(4, holes, true);
    vcpu.exit();
  }
};
